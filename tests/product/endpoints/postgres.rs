//! PostgreSQL with a streaming replica.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{ConnectOptions, Connection, Row};
use twinkey_stores::aws::AwsStore;
use twinkey_stores::{SecretStore, VersionId, stage};
use twinkey_testkit::aws::sdk_config;
use twinkey_testkit::environment::{Environment, SECRET, Setup, free_address, quoted, run, until};
use twinkey_testkit::postgres::LocalPostgres;

use super::poolers::master_at;
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
async fn check_names_what_stops_a_run_at_a_replica() {
    let (env, replica) = with_replica(Setup::default(), &[]).await;
    let port = replica.port();
    let with_reader = || {
        env.configure(&Setup {
            rotation: readers(&[port], ""),
            ..Setup::default()
        });
    };
    with_reader();
    env.run_ok(&["rotate", "shop"]).await;
    let store = AwsStore::from_config(&sdk_config(&env.stand_in().url()));
    let put_pending = async |user: &str, password: &str, id: u32| {
        let (mut document, _) = env.read(stage::CURRENT).await;
        document["username"] = user.into();
        document["password"] = password.into();
        let id = VersionId(format!("00000000-0000-4000-8000-{id:012}"));
        let value = SecretString::from(document.to_string());
        let put = store.put(SECRET, &id, &value, stage::PENDING);
        put.await.unwrap();
        id
    };

    // Another party set the password of AWSPENDING. The replica has not received it.
    let root = replica.superuser();
    let mut at_replica = PgConnectOptions::new_without_pgpass()
        .host("127.0.0.1")
        .port(port)
        .username(&root.username)
        .password(root.password.expose_secret())
        .database("postgres")
        .connect()
        .await
        .unwrap();
    run(&mut at_replica, "SELECT pg_wal_replay_pause()").await;
    let password = "Pending-0123456789-abcdef";
    let mut primary = env.root("shop").await;
    run(
        &mut primary,
        &format!("ALTER ROLE app PASSWORD '{password}'"),
    )
    .await;
    put_pending("app", password, 1).await;
    for command in [["check", "--json"].as_slice(), &["plan", "shop", "--json"]] {
        let output = env.twinkey(command).await;
        let is_check = command[0] == "check";
        assert_eq!(
            output.status.code(),
            Some(i32::from(is_check)),
            "{command:?}"
        );
        let printed = String::from_utf8(output.stdout).unwrap();
        assert!(printed.contains("\"reader_behind\""), "{printed}");
        assert!(printed.contains("does not accept AWSPENDING"), "{printed}");
    }
    tokio::join!(env.run_ok(&["rotate", "shop"]), async {
        until("the run waits for the replica", async || {
            let run = &status(&env).await["last_run"];
            run["steps"].to_string().contains("waiting: the reader")
        })
        .await;
        run(&mut at_replica, "SELECT pg_wal_replay_resume()").await;
    });
    assert_eq!(env.read(stage::CURRENT).await.0["password"], password);

    // AWSPENDING has another user, with the replica as reader, then as the secret's host.
    put_pending("stranger", password, 2).await;
    is_refused(&env, "pending_conflict").await;
    env.configure(&Setup::default());
    let (mut document, _) = env.read(stage::CURRENT).await;
    document["port"] = port.into();
    env.put(SECRET, &document).await;
    is_refused(&env, "pending_conflict").await;

    // The master signs in at the replica too.
    master_at(&env, port).await;
    is_refused(&env, "db_refused").await;
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
