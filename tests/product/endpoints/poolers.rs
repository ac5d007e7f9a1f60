//! Poolers in front of the database: where a master does not sign in, and where applications do.

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use twinkey_core::secret::Credentials;
use twinkey_testkit::environment::mariadb::MariadbEnvironment;
use twinkey_testkit::environment::{Database, Environment, MASTER_SECRET, Setup, value};
use twinkey_testkit::pgbouncer::{Options, PgBouncer};

/// A PgBouncer in front of the environment's server.
async fn pgbouncer(env: &Environment, users: &[Credentials], settings: &[&str]) -> PgBouncer {
    let options = Options {
        server: env.server.port(),
        settings: settings.iter().map(|&line| line.into()).collect(),
        users: users.to_vec(),
    };
    let start = move || PgBouncer::start(&options).unwrap();
    tokio::task::spawn_blocking(start).await.unwrap()
}

/// The settings with which PgBouncer reads all users from the database.
fn auth_query(env: &Environment, more: &[&str]) -> Vec<String> {
    let user = &env.server.superuser().username;
    let query = "SELECT usename, passwd FROM pg_shadow WHERE usename = $1";
    let mut settings = vec![
        format!("auth_user = {user}"),
        format!("auth_query = {query}"),
    ];
    settings.extend(more.iter().map(|&line| line.to_owned()));
    settings
}

/// Gives the master secret another port.
async fn master_at<D: Database>(env: &Environment<D>, port: u16) {
    let password = secrecy::ExposeSecret::expose_secret(&env.master);
    let mut document = env.document("rdsmaster", password);
    document["port"] = json!(port);
    env.put(MASTER_SECRET, &document).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_at_a_pooler_is_refused_before_anything_is_locked() {
    let env = Environment::open(Setup::default()).await;
    let root = env.server.superuser().clone();
    let ignored = "ignore_startup_parameters = options";
    let mut unlisted = vec!["auth_type = scram-sha-256".to_owned()];
    unlisted.push("pool_mode = session".into());
    for settings in [
        auth_query(&env, &["pool_mode = session"]),
        auth_query(&env, &["pool_mode = transaction", ignored]),
        auth_query(&env, &["pool_mode = session", ignored]),
        unlisted,
    ] {
        let lines: Vec<&str> = settings.iter().map(String::as_str).collect();
        let pooler = pgbouncer(&env, std::slice::from_ref(&root), &lines).await;
        master_at(&env, pooler.port()).await;
        let before = env.state().await;
        let refused = env.refuses(&["rotate", "shop"], "host_is_pooler").await;
        assert!(
            refused.contains("give the master a host of its own"),
            "{refused}"
        );
        let checked = env.twinkey(&["check", "--json"]).await;
        let checked = String::from_utf8(checked.stdout).unwrap();
        assert!(checked.contains("\"host_is_pooler\""), "{checked}");
        assert_eq!(env.state().await, before, "{settings:?}");
        let locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'";
        let locks: i64 = value(&mut env.root("shop").await, locks).await;
        assert_eq!(locks, 0, "{settings:?}");

        master_at(&env, env.server.port()).await;
        env.run_ok(&["rotate", "shop"]).await;
    }
}

/// What a relay changes in the greeting of a MySQL server.
#[derive(Clone, Copy)]
enum Greeting {
    /// The number of the session.
    Number,
    /// The version.
    Version,
}

/// Relays sessions to a server on this machine with another greeting, as ProxySQL sends its own.
async fn greeting_relay(server: u16, change: Greeting) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut server = TcpStream::connect(("127.0.0.1", server)).await?;
                let mut header = [0; 4];
                server.read_exact(&mut header).await?;
                let length = u32::from_le_bytes([header[0], header[1], header[2], 0]);
                let mut greeting = vec![0; length as usize];
                server.read_exact(&mut greeting).await?;
                let end = greeting.iter().position(|byte| *byte == 0).unwrap();
                match change {
                    Greeting::Number => greeting[end + 1] ^= 1,
                    Greeting::Version => {
                        greeting.splice(1..end, *b"8.0.30-ProxySQL");
                    }
                }
                let length = u32::try_from(greeting.len()).unwrap().to_le_bytes();
                client
                    .write_all(&[&length[..3], &header[3..]].concat())
                    .await?;
                client.write_all(&greeting).await?;
                tokio::io::copy_bidirectional(&mut client, &mut server).await
            });
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mariadb_master_at_a_proxy_is_refused() {
    let env = MariadbEnvironment::on_mariadb(Setup::default()).await;
    for (change, sign) in [
        (Greeting::Number, "the number of the session"),
        (Greeting::Version, "its version is \"8.0.30-ProxySQL\""),
    ] {
        let port = greeting_relay(env.server.port(), change).await;
        master_at(&env, port).await;
        let refused = env.refuses(&["rotate", "shop"], "host_is_pooler").await;
        assert!(refused.contains(sign), "{refused}");
        assert!(env.twinkey(&["check"]).await.status.code() == Some(1));
    }
    master_at(&env, env.server.port()).await;
    env.run_ok(&["rotate", "shop"]).await;
}
