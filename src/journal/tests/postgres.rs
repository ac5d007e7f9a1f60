//! Properties of PostgreSQL alone, for several workers at once.

use std::num::NonZeroU32;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{AssertSqlSafe, Connection, Executor};
use tokio::time::Instant;

use super::fixture::*;
use super::*;
use crate::config::settings::{JournalPassword, PostgresLocation};
use crate::journal::postgres::host_slots::HostSlots;
use crate::journal::postgres::store_quota::SharedWriteLimiter;
use twinkey_core::tasks::Tasks;
use twinkey_core::telemetry::metrics::Metrics;
use twinkey_engines::{Tls, TlsMode};
use twinkey_testkit::postgres::{LocalPostgres, Options};

/// One server for all tests of this process.
fn server() -> &'static LocalPostgres {
    static SERVER: OnceLock<LocalPostgres> = OnceLock::new();
    SERVER.get_or_init(|| {
        let mut options = Options::new(LocalPostgres::find(None).unwrap());
        options.settings = vec!["fsync=off".into(), "max_connections=300".into()];
        LocalPostgres::start(&options).unwrap()
    })
}

async fn root(database: &str) -> PgConnection {
    let who = server().superuser();
    let options = PgConnectOptions::new_without_pgpass()
        .host("127.0.0.1")
        .port(server().port())
        .username(&who.username)
        .password(secrecy::ExposeSecret::expose_secret(&who.password))
        .database(database)
        .ssl_mode(PgSslMode::Disable);
    PgConnection::connect_with(&options).await.unwrap()
}

/// A new empty database.
async fn empty() -> PostgresLocation {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    tokio::task::spawn_blocking(server).await.unwrap();
    let database = format!("journal_{}", COUNT.fetch_add(1, Ordering::Relaxed));
    let sql = format!("CREATE DATABASE {database}");
    root("postgres")
        .await
        .execute(AssertSqlSafe(sql))
        .await
        .unwrap();
    let who = server().superuser();
    PostgresLocation {
        host: "127.0.0.1".into(),
        port: server().port(),
        user: who.username.clone(),
        password: Some(JournalPassword::InUrl(who.password.clone())),
        database,
        tls: Tls {
            mode: TlsMode::Disable,
            ca_file: None,
        },
    }
}

/// An empty journal whose leases use the time of each call.
pub async fn with_test_time() -> PostgresJournal {
    PostgresJournal::for_tests(&empty().await).await
}

/// One empty journal, opened by two workers.
async fn two_workers() -> (PostgresLocation, [PostgresJournal; 2]) {
    let location = empty().await;
    let (first, second) = tokio::join!(
        PostgresJournal::open(&location),
        PostgresJournal::open(&location)
    );
    (location, [first.unwrap(), second.unwrap()])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_of_many_claims_by_two_workers_is_granted() {
    let (_, journals) = two_workers().await;
    let claims: Vec<_> = (0..96)
        .map(|n| {
            let journal = journals[n as usize % 2].clone();
            let request = request(&format!("r{}", n % 4), n % 3);
            tokio::spawn(async move { (n % 4, journal.claim(&request).await.unwrap()) })
        })
        .collect();
    let mut granted = [0; 4];
    for claim in claims {
        match claim.await.unwrap() {
            (rotation, Claim::Claimed(_)) => granted[rotation as usize] += 1,
            (_, Claim::Running { .. }) => {}
            (_, Claim::Over(run)) => panic!("over: {run:?}"),
        }
    }
    assert_eq!(granted, [1; 4]);
}

#[tokio::test]
async fn a_run_from_before_the_records_has_no_actor() {
    let location = empty().await;
    let journal = PostgresJournal::for_tests(&location).await;
    let run = claimed(&journal, &request("orders", 1)).await;
    let mut database = root(&location.database).await;
    let forget = sqlx::query("UPDATE runs SET actor = NULL");
    forget.execute(&mut database).await.unwrap();
    assert_eq!(read(&journal, &run).await, Run { actor: None, ..run });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_of_many_takeovers_is_granted() {
    let (_, journals) = two_workers().await;
    let mut dead = request("orders", 1);
    dead.lease = Duration::from_millis(1);
    claimed(&journals[0], &dead).await;
    // Lets the server's clock advance.
    root("postgres")
        .await
        .execute("SELECT pg_sleep(0.01)")
        .await
        .unwrap();
    let claims: Vec<_> = (0..32)
        .map(|n| {
            let journal = journals[n % 2].clone();
            tokio::spawn(async move { journal.claim(&request("orders", 1)).await.unwrap() })
        })
        .collect();
    let mut granted = Vec::new();
    for claim in claims {
        if let Claim::Claimed(claimed) = claim.await.unwrap() {
            granted.push(claimed.run.attempt);
        }
    }
    assert_eq!(granted, [2]);
}

#[tokio::test]
async fn a_wrong_worker_clock_takes_no_live_lease() {
    let (_, [first, second]) = two_workers().await;
    let run = claimed(&first, &request("orders", 1)).await;
    for skewed in [at(-100_000), at(100_000)] {
        for n in [1, 2] {
            match second
                .claim(&by("b", skewed, request("orders", n)))
                .await
                .unwrap()
            {
                Claim::Running { run: held, left } => {
                    assert_eq!(held.id, run.id);
                    assert!(left <= LEASE && left > Duration::ZERO, "{left:?}");
                }
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(second.sweep(at(100_000)).await.unwrap(), []);
}

#[tokio::test]
async fn the_writes_of_all_workers_keep_to_the_quota() {
    let (_, journals) = two_workers().await;
    // One turn a second.
    let rate = NonZeroU32::MIN;
    let paces = journals.map(|journal| SharedWriteLimiter::new(journal, "secrets", rate));
    let begun = Instant::now();
    for n in 0..10_u32 {
        let wait = paces[n as usize % 2].request_turns(1).await.unwrap();
        // No turn is earlier than its position, however long the responses take.
        let turn = begun.elapsed() + wait;
        assert!(
            turn.as_secs_f64() > f64::from(n) - 0.001,
            "turn {n} at {turn:?}"
        );
    }
    let wait = paces[0].request_turns(5).await.unwrap() + begun.elapsed();
    assert!(wait.as_secs_f64() > 9.999, "{wait:?}");
    let wait = paces[1].request_turns(1).await.unwrap() + begun.elapsed();
    assert!(wait.as_secs_f64() > 14.999, "{wait:?}");
}

#[tokio::test]
async fn host_slots_are_limited_and_freed_by_their_holder() {
    let (location, [first, second]) = two_workers().await;
    let tasks = || Tasks::new(Metrics::default());
    let first = HostSlots::new(first, tasks());
    let second = HostSlots::new(second, tasks());
    let one = first.take("db", 2).await.unwrap().unwrap();
    let two = second.take("db", 2).await.unwrap().unwrap();
    assert!(first.take("db", 2).await.unwrap().is_none());
    assert!(second.take("db", 2).await.unwrap().is_none());
    assert!(second.take("other", 2).await.unwrap().is_some());

    // The first worker was suspended, and its slot now belongs to the second.
    let mut root = root(&location.database).await;
    root.execute(
        "UPDATE host_places SET until = clock_timestamp() WHERE host = 'db' AND place = 1",
    )
    .await
    .unwrap();
    let three = second.take("db", 2).await.unwrap().unwrap();
    drop(one);
    drop(two);
    let mut taken = None;
    for _ in 0..1000 {
        taken = first.take("db", 2).await.unwrap();
        if taken.is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(
        taken.is_some(),
        "the first slot of the second worker was freed"
    );
    assert!(
        first.take("db", 2).await.unwrap().is_none(),
        "its other slot is still in use"
    );
    drop(three);
}

#[tokio::test]
async fn connection_errors_omit_the_password() {
    let good = empty().await;
    let mut wrong = good.clone();
    wrong.password = Some(JournalPassword::InUrl("hunter2-hunter2".into()));
    let mut nowhere = good.clone();
    nowhere.port = 1;
    let mut unset = good.clone();
    unset.password = Some(JournalPassword::Source(
        crate::config::settings::TokenSource::Env("TWINKEY_TEST_IS_NOT_SET".into()),
    ));
    for location in [wrong, nowhere, unset] {
        let Err(error) = PostgresJournal::open(&location).await else {
            panic!("{location} was opened");
        };
        let message = format!("{error} {error:?}");
        assert!(message.contains(&location.to_string()), "{message}");
        assert!(!message.contains("hunter2"), "{message}");
    }
}

#[tokio::test]
async fn ping_fails_if_the_disk_of_the_server_is_full() {
    let location = empty().await;
    let journal = PostgresJournal::open(&location).await.unwrap();
    journal.ping().await.unwrap();
    // As the server does it: reads succeed, and writes have SQLSTATE 53100.
    let full = "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$
                  BEGIN RAISE disk_full USING MESSAGE = 'could not extend file'; END $$;
                CREATE TRIGGER full_disk BEFORE INSERT OR UPDATE ON pings
                  FOR EACH ROW EXECUTE FUNCTION full_disk()";
    root(&location.database).await.execute(full).await.unwrap();
    journal.rotation_records().await.unwrap();
    let error = journal.ping().await.unwrap_err();
    assert!(
        error.to_string().contains("could not extend file"),
        "{error}"
    );
}

#[tokio::test]
async fn ping_fails_on_a_replica() {
    let location = empty().await;
    let journal = PostgresJournal::open(&location).await.unwrap();
    journal.ping().await.unwrap();
    // The next connections accept no writes.
    let sql = format!(
        "ALTER DATABASE {0} SET default_transaction_read_only = on;
         SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{0}'",
        location.database
    );
    root("postgres")
        .await
        .execute(AssertSqlSafe(sql))
        .await
        .unwrap();
    journal.ping().await.unwrap_err();
}

#[tokio::test]
async fn characters_that_postgresql_cannot_store_are_replaced() {
    let (_, [journal, _]) = two_workers().await;
    let mut request = request("orders", 1);
    request.cause.reason = Some("a\0b".into());
    let run = claimed(&journal, &request).await;
    assert_eq!(run.reason.as_deref(), Some("a\u{fffd}b"));
    let word = step(StepName::Set, StepState::Failed, "c\0d");
    record(&journal, &run, &word).await.unwrap();
    let read = read(&journal, &run).await;
    assert_eq!(read.steps[0].detail.as_deref(), Some("c\u{fffd}d"));
}
