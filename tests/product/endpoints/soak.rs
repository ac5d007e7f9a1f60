//! An application that connects to the primary, to two replicas and through a PgBouncer by turns, with
//! credentials kept for up to `min_interval`, during many rotations and restarts of a replica.
//!
//! A connection fails the test if the server refuses it. One to a replica that restarts has no server.

use std::cell::Cell;
use std::time::{Duration, Instant};

use secrecy::SecretString;
use twinkey_stores::stage;
use twinkey_testkit::environment::mariadb::{MariadbEnvironment, mysql_is_installed};
use twinkey_testkit::environment::{Database, Environment, Setup};
use twinkey_testkit::mysql::Flavor;
use twinkey_testkit::postgres::LocalPostgres;

use super::poolers::{auth_query, pgbouncer};
use super::{credentials, mysql, postgres};

const MIN_INTERVAL: Duration = Duration::from_secs(3);
/// The rest of `min_interval` is for the connection.
const CACHE: Duration = Duration::from_millis(2500);
const RESTARTS: usize = 3;

/// The keys of the rotation.
fn rotation(readers: &[u16], poolers: &[u16]) -> String {
    let list = |ports: &[u16], one: &dyn Fn(u16) -> String| {
        let all: Vec<String> = ports.iter().map(|port| one(*port)).collect();
        all.join(", ")
    };
    format!(
        "readers = [{}]\npoolers = [{}]\nin_use = \"ignore\"\nmin_interval = \"{}s\"",
        list(readers, &|port| format!("\"127.0.0.1:{port}\"")),
        list(poolers, &|port| format!(
            "{{ host = \"127.0.0.1:{port}\" }}"
        )),
        MIN_INTERVAL.as_secs()
    )
}

/// Rotates this often, and restarts a replica a few times, while the application connects.
async fn trial<D: Database>(
    env: &Environment<D>,
    ports: &[u16],
    rotations: usize,
    connect: impl AsyncFn(u16, String, SecretString) -> Result<(), String>,
    mut restart: impl FnMut(),
) {
    let is_done = Cell::new(false);
    let restarted = ports[1];
    let work = async {
        let mut done = 0;
        while done < rotations {
            let output = env.twinkey(&["rotate", "shop"]).await;
            if output.status.success() {
                done += 1;
                if done.is_multiple_of(rotations.div_ceil(RESTARTS + 1)) {
                    restart();
                }
                continue;
            }
            let message = String::from_utf8_lossy(&output.stderr).into_owned();
            let waits = ["too_soon", "reader_unreachable", "reader_behind"];
            let waits = waits.iter().any(|code| message.contains(code));
            assert!(waits, "{message}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        is_done.set(true);
    };
    let application = async {
        let (mut count, mut without_server, mut refused) = (0_usize, 0_usize, Vec::new());
        let mut cached = None;
        let mut turns = ports.iter().cycle();
        while !is_done.get() {
            let (document, since) = match cached.take() {
                Some((document, since)) if Instant::elapsed(&since) < CACHE => (document, since),
                _ => (env.read(stage::CURRENT).await.0, Instant::now()),
            };
            let port = *turns.next().unwrap();
            let (user, password) = credentials(&document);
            match connect(port, user, password).await {
                Ok(()) => count += 1,
                Err(error) if port == restarted && is_without_server(&error) => {
                    without_server += 1;
                }
                // The application itself was slow.
                Err(_) if since.elapsed() > MIN_INTERVAL => {}
                Err(error) => refused.push(error),
            }
            cached = Some((document, since));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        (count, without_server, refused)
    };
    let ((), (count, without_server, refused)) = tokio::join!(work, application);
    println!(
        "{rotations} rotations, {count} connections, {} failed; {without_server} tried a replica that restarted",
        refused.len()
    );
    assert!(refused.is_empty(), "{}: {}", refused.len(), refused[0]);
    assert!(count > rotations * 10, "too few to see a refusal");
}

/// Whether a connection failed because no server was there, or it was starting.
fn is_without_server(error: &str) -> bool {
    [
        "Connection refused",
        "reset by peer",
        "starting up",
        "not yet accepting",
        "shutting down",
        "end-of-file",
        "expected to read",
        "closed",
        "unexpected end",
        "administrator command",
        "Broken pipe",
    ]
    .iter()
    .any(|reason| error.contains(reason))
}

async fn on_postgres(rotations: usize) {
    let settings: &'static [&'static str] = &["recovery_min_apply_delay=1s"];
    let (env, mut behind) = postgres::with_replica(Setup::default(), settings).await;
    let (_, bin) = LocalPostgres::find_for_replicas().unwrap();
    let far_behind = tokio::task::block_in_place(|| {
        let settings = ["recovery_min_apply_delay=5s"];
        env.server.start_replica(bin, &settings).unwrap()
    });
    let root = env.server.superuser().clone();
    let settings = auth_query(&env, &["pool_mode = transaction"]);
    let lines: Vec<&str> = settings.iter().map(String::as_str).collect();
    let pooler = pgbouncer(&env, std::slice::from_ref(&root), &lines).await;
    let readers = [behind.port(), far_behind.port()];
    env.configure(&Setup {
        rotation: rotation(&readers, &[pooler.port()]),
        ..Setup::default()
    });
    let ports = [env.server.port(), readers[0], readers[1], pooler.port()];
    let restart = || tokio::task::block_in_place(|| behind.restart().unwrap());
    trial(&env, &ports, rotations, postgres::application, restart).await;
}

async fn on_mysql(flavor: Flavor, rotations: usize) {
    let servers = mysql::Servers::new(flavor);
    let env = MariadbEnvironment::on_mariadb(servers.primary(String::new(), String::new())).await;
    let mut behind = servers.replica(&env, 2, 1).await;
    let far_behind = servers.replica(&env, 3, 5).await;
    let readers = [behind.port(), far_behind.port()];
    env.configure(&servers.primary(String::new(), rotation(&readers, &[])));
    let ports = [env.server.port(), readers[0], readers[1]];
    let restart = || tokio::task::block_in_place(|| behind.restart().unwrap());
    trial(&env, &ports, rotations, mysql::application, restart).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn six_rotations_with_replicas_and_a_pooler_refuse_nobody() {
    on_postgres(6).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn six_rotations_with_mariadb_replicas_refuse_nobody() {
    on_mysql(Flavor::Mariadb, 6).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn six_rotations_with_mysql_replicas_refuse_nobody() {
    if mysql_is_installed() {
        on_mysql(Flavor::Mysql, 6).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "ten minutes: make soak-endpoints"]
async fn fifty_rotations_with_endpoints_refuse_nobody() {
    tokio::join!(on_postgres(50), on_mysql(Flavor::Mariadb, 50));
}
