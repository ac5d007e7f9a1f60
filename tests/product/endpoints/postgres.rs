//! PostgreSQL with a streaming replica.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{ConnectOptions, Connection, Row};
use twinkey_stores::stage;
use twinkey_testkit::environment::{Environment, SECRET, Setup, free_address, quoted, run, until};
use twinkey_testkit::postgres::LocalPostgres;

use super::{connecting, credentials, is_refused, readers, status};
use crate::serving::worker::{known_before, open_now};

/// An environment and a replica of its server.
pub async fn with_replica(
    setup: Setup,
    settings: &'static [&'static str],
) -> (Environment, LocalPostgres) {
    let (version, bin) = LocalPostgres::find_for_replicas().unwrap();
    let env = Environment::open(Setup {
        version: Some(version),
        ..setup
    })
    .await;
    let replica = tokio::task::block_in_place(|| env.server.start_replica(bin, settings).unwrap());
    (env, replica)
}

pub async fn connect(
    port: u16,
    user: String,
    password: SecretString,
) -> Result<PgConnection, sqlx::Error> {
    PgConnectOptions::new_without_pgpass()
        .host("127.0.0.1")
        .port(port)
        .username(&user)
        .password(password.expose_secret())
        .database("shop")
        .ssl_mode(PgSslMode::Disable)
        .extra_float_digits(None)
        .disable_statement_logging()
        .connect()
        .await
}

/// One connection of an application, which ends at once.
pub async fn application(port: u16, user: String, password: SecretString) -> Result<(), String> {
    let connection = connect(port, user, password).await;
    let mut connection = connection.map_err(|error| format!("port {port}: {error}"))?;
    // A pooler in transaction mode has no prepared statements.
    let role = sqlx::raw_sql("SELECT current_user::text").fetch_one(&mut connection);
    let role = role
        .await
        .map_err(|error| format!("port {port}: {error}"))?;
    let role: String = role.get(0);
    // An error of the close is no refusal.
    let _ = connection.close().await;
    if role == "app" {
        Ok(())
    } else {
        Err(format!("port {port}: the role is {role}"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn applications_at_a_lagging_replica_are_never_refused() {
    let (env, replica) = with_replica(Setup::default(), &["recovery_min_apply_delay=1s"]).await;
    let ports = [env.server.port(), replica.port()];
    env.configure(&Setup {
        rotation: readers(&ports[1..], "in_use = \"ignore\""),
        ..Setup::default()
    });
    let checked = env.run_ok(&["check"]).await;
    let reader = format!("the reader 127.0.0.1:{}", ports[1]);
    assert!(
        checked.contains(&format!("{reader} (a replica, ")),
        "{checked}"
    );
    let planned = env.run_ok(&["plan", "shop"]).await;
    assert!(
        planned.contains(&format!("must sign in at {reader}")),
        "{planned}"
    );

    let rotations = async {
        for _ in 0..4 {
            let output = env.run_ok(&["rotate", "shop"]).await;
            let waiting = format!("waiting: {reader}");
            assert!(output.contains(&waiting), "{output}");
            assert!(
                output.contains(&format!("; it signs in at {reader}")),
                "{output}"
            );
        }
    };
    let count = connecting(&env, &ports, application, rotations).await;
    println!("{count} connections, 0 refused");
    assert!(count >= 20, "too few to see a refusal");

    // The secret names the replica, the master secret the primary.
    env.configure(&Setup {
        rotation: "in_use = \"ignore\"".into(),
        ..Setup::default()
    });
    let (mut document, _) = env.read(stage::CURRENT).await;
    document["port"] = ports[1].into();
    env.put(SECRET, &document).await;
    let rotations = async {
        for _ in 0..2 {
            let output = env.run_ok(&["rotate", "shop"]).await;
            let waiting = format!("waiting: the secret's host 127.0.0.1:{}", ports[1]);
            assert!(output.contains(&waiting), "{output}");
        }
    };
    connecting(&env, &ports, application, rotations).await;
    env.configure(&Setup::default());
    let (user, password) = credentials(&env.read(stage::PREVIOUS).await.0);
    let _session = connect(ports[1], user, password).await.unwrap();
    env.refuses(&["rotate", "shop"], "standby_in_use").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_outages_and_strangers_at_readers_stop_a_run() {
    let (env, replica) = with_replica(Setup::default(), &[]).await;
    let port = replica.port();
    let configure = |ports: &[u16], more: &str| {
        env.configure(&Setup {
            rotation: readers(ports, more),
            ..Setup::default()
        });
    };
    configure(&[port], "");
    env.run_ok(&["rotate", "shop"]).await;

    // A session of the standby on the replica only.
    let (user, password) = credentials(&env.read(stage::PREVIOUS).await.0);
    let session = connect(port, user, password).await.unwrap();
    env.refuses(&["rotate", "shop"], "standby_in_use").await;
    let checked = env.run_ok(&["check"]).await;
    assert!(
        checked.contains("sessions of the standby \"app\" are open"),
        "{checked}"
    );
    drop(session);
    until("the session has ended", async || {
        env.twinkey(&["rotate", "shop"]).await.status.success()
    })
    .await;

    // A server that accepts connections and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_port = silent.local_addr().unwrap().port();
    configure(&[port, silent_port], "");
    let since = std::time::Instant::now();
    let refused = env.refuses(&["rotate", "shop"], "reader_unreachable").await;
    assert!(refused.contains(&silent_port.to_string()), "{refused}");
    assert!(
        since.elapsed() < Duration::from_secs(30),
        "{:?}",
        since.elapsed()
    );

    // Another server, first without the user, then with its password.
    let other = tokio::task::block_in_place(|| {
        let bin = LocalPostgres::find(None).unwrap();
        LocalPostgres::start(&twinkey_testkit::postgres::Options::new(bin)).unwrap()
    });
    configure(&[other.port()], "");
    let refused = is_refused(&env, "reader_behind").await;
    assert!(refused.contains("does not accept AWSCURRENT"), "{refused}");
    let root = other.superuser();
    let mut root = PgConnectOptions::new_without_pgpass()
        .host("127.0.0.1")
        .port(other.port())
        .username(&root.username)
        .password(root.password.expose_secret())
        .database("postgres")
        .connect()
        .await
        .unwrap();
    let (user, password) = credentials(&env.read(stage::CURRENT).await.0);
    let create = format!(
        "CREATE ROLE {} LOGIN PASSWORD '{}'",
        quoted(&user),
        password.expose_secret()
    );
    run(&mut root, &create).await;
    run(&mut root, "CREATE DATABASE shop").await;
    let refused = is_refused(&env, "host_mismatch").await;
    assert!(refused.contains("is no replica of the server"), "{refused}");

    // The replica is down.
    drop(replica);
    configure(&[port], "");
    is_refused(&env, "reader_unreachable").await;
    env.refuses(&["rollback", "shop"], "reader_unreachable")
        .await;
    configure(&[port], "readers_down = \"skip\"");
    let checked = env.run_ok(&["check"]).await;
    assert!(checked.contains("runs skip it"), "{checked}");
    let output = env.run_ok(&["rotate", "shop"]).await;
    assert!(output.contains("was skipped"), "{output}");
    env.run_ok(&["rollback", "shop"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scheduled_run_waits_for_a_replica_in_its_window() {
    let address = free_address();
    let (schedule, opens) = open_now();
    let setup = |rotation: String| Setup {
        config: format!("[server]\nlisten = \"{address}\""),
        rotation,
        ..Setup::default()
    };
    let (env, replica) = with_replica(setup(String::new()), &[]).await;
    let scheduled = format!("{schedule}\nmissed = \"run\"\nin_use = \"ignore\"");
    env.configure(&setup(readers(&[replica.port()], &scheduled)));
    env.run_ok(&["rotate", "shop"]).await;
    known_before(&env.folder.path().join("journal.db"), opens).await;
    let root = env.server.superuser();
    let mut at_replica = connect(replica.port(), root.username.clone(), root.password.clone())
        .await
        .unwrap();
    run(&mut at_replica, "SELECT pg_wal_replay_pause()").await;
    let before = env.read(stage::CURRENT).await;

    let mut serve = env.serve(&address).await;
    until("the run waits for the replica", async || {
        let now = status(&env).await;
        now["state"] == "waiting" && now["last_run"]["error"]["code"] == "reader_behind"
    })
    .await;
    assert_eq!(
        env.read(stage::CURRENT).await,
        before,
        "AWSCURRENT has not moved"
    );
    env.signed_in(stage::CURRENT).await;
    let (pending, id) = env.read(stage::PENDING).await;

    // A run on demand would wait too, and continues with the same password.
    run(&mut at_replica, "SELECT pg_wal_replay_resume()").await;
    until("the run is finished", async || {
        env.read(stage::CURRENT).await != before
    })
    .await;
    assert_eq!(env.read(stage::CURRENT).await, (pending.clone(), id));
    let (user, password) = credentials(&pending);
    application(replica.port(), user, password).await.unwrap();
    serve.kill().await.unwrap();
}
