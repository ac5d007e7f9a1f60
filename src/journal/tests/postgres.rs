//! What only a PostgreSQL must do, for several workers at once.

use std::num::NonZeroU32;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{AssertSqlSafe, Connection, Executor};
use tokio::time::Instant;

use super::sentences::*;
use super::*;
use crate::config::settings::{JournalPassword, PostgresLocation};
use crate::journal::postgres::host_slots::HostSlots;
use crate::journal::postgres::store_quota::SharedWriteLimiter;
use twinkey_engines::{Tls, TlsMode};
use twinkey_testkit::postgres::{LocalPostgres, Options};

/// One server for all tests of this process, which it does not outlive.
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

/// An empty database of its own.
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

/// An empty journal whose leases go by the time that it is told.
pub async fn by_our_time() -> PostgresJournal {
    PostgresJournal::for_tests(&empty().await).await
}

/// Two workers' openings of one empty journal, as they are in use.
async fn two() -> (PostgresLocation, [PostgresJournal; 2]) {
    let place = empty().await;
    let (first, second) =
        tokio::join!(PostgresJournal::open(&place), PostgresJournal::open(&place));
    (place, [first.unwrap(), second.unwrap()])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_claims_at_once_by_two_workers_exactly_one_of_each_rotation_is_granted() {
    let (_, journals) = two().await;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_that_take_over_a_dead_workers_run_at_once_are_one() {
    let (_, journals) = two().await;
    let mut dead = request("orders", 1);
    dead.lease = Duration::from_millis(1);
    claimed(&journals[0], &dead).await;
    // The server's clock has moved on by then.
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
async fn a_worker_whose_clock_is_ahead_or_behind_takes_no_live_lease() {
    let (_, [first, second]) = two().await;
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
async fn all_workers_writes_together_keep_to_the_quota() {
    let (_, journals) = two().await;
    // One turn a second.
    let rate = NonZeroU32::MIN;
    let paces = journals.map(|journal| SharedWriteLimiter::new(journal, rate));
    let begun = Instant::now();
    for n in 0..10_u32 {
        let wait = paces[n as usize % 2].request_turns(1).await.unwrap();
        // However long the answers take: no turn is earlier than its place in the line.
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
async fn a_host_takes_no_more_than_its_limit_of_all_workers_and_a_place_is_freed_by_its_holder() {
    let (place, [first, second]) = two().await;
    let (first, second) = (HostSlots::new(first), HostSlots::new(second));
    let one = first.take("db", 2).await.unwrap().unwrap();
    let two = second.take("db", 2).await.unwrap().unwrap();
    assert!(first.take("db", 2).await.unwrap().is_none());
    assert!(second.take("db", 2).await.unwrap().is_none());
    assert!(second.take("other", 2).await.unwrap().is_some());

    // The first worker has been suspended for so long that its place is the second's.
    let mut root = root(&place.database).await;
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
    assert!(taken.is_some(), "the second's first place was given back");
    assert!(
        first.take("db", 2).await.unwrap().is_none(),
        "and its other one is its own"
    );
    drop(three);
}

#[tokio::test]
async fn a_server_that_refuses_or_is_not_there_is_told_of_without_the_password() {
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
        let told = format!("{error} {error:?}");
        assert!(told.contains(&location.to_string()), "{told}");
        assert!(!told.contains("hunter2"), "{told}");
    }
}

#[tokio::test]
async fn a_replica_does_not_answer_a_ping() {
    let place = empty().await;
    let journal = PostgresJournal::open(&place).await.unwrap();
    journal.ping().await.unwrap();
    // Its next connections are to one that takes no writes.
    let sql = format!(
        "ALTER DATABASE {0} SET default_transaction_read_only = on;
         SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{0}'",
        place.database
    );
    root("postgres")
        .await
        .execute(AssertSqlSafe(sql))
        .await
        .unwrap();
    journal.ping().await.unwrap_err();
}

#[tokio::test]
async fn what_postgresql_cannot_store_is_replaced() {
    let (_, [journal, _]) = two().await;
    let mut request = request("orders", 1);
    request.reason = Some("a\0b".into());
    let run = claimed(&journal, &request).await;
    assert_eq!(run.reason.as_deref(), Some("a\u{fffd}b"));
    let word = step(StepName::Set, StepState::Failed, "c\0d");
    tell(&journal, &run, &word).await.unwrap();
    let read = read(&journal, &run).await;
    assert_eq!(read.steps[0].detail.as_deref(), Some("c\u{fffd}d"));
}
