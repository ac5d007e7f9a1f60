//! Poolers in front of the database: where a master does not sign in, and where applications do.

use std::cell::Cell;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use twinkey_core::secret::Credentials;
use twinkey_stores::stage;
use twinkey_testkit::environment::mariadb::MariadbEnvironment;
use twinkey_testkit::environment::{
    Backend, Database, Environment, FIRST, MASTER_SECRET, SECRET, Setup, value,
};
use twinkey_testkit::pgbouncer::{Options, PgBouncer};

use super::postgres::{application, connect};
use super::{connecting, credentials, is_refused};

/// A PgBouncer in front of the environment's server.
pub async fn pgbouncer(env: &Environment, users: &[Credentials], settings: &[&str]) -> PgBouncer {
    let options = Options {
        server: env.server.port(),
        settings: settings.iter().map(|&line| line.into()).collect(),
        users: users.to_vec(),
    };
    let start = move || PgBouncer::start(&options).unwrap();
    tokio::task::spawn_blocking(start).await.unwrap()
}

/// The settings with which PgBouncer reads all users from the database.
pub fn auth_query(env: &Environment, more: &[&str]) -> Vec<String> {
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
pub async fn master_at<D: Database>(env: &Environment<D>, port: u16) {
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
        let refused = is_refused(&env, "host_is_pooler").await;
        assert!(
            refused.contains("give the master a host of its own"),
            "{refused}"
        );
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
        let refused = is_refused(&env, "host_is_pooler").await;
        assert!(refused.contains(sign), "{refused}");
    }
    master_at(&env, env.server.port()).await;
    env.run_ok(&["rotate", "shop"]).await;
}

fn user(username: &str, password: &str) -> Credentials {
    Credentials {
        username: username.into(),
        password: SecretString::from(password.to_owned()),
    }
}

/// `poolers` with these ports and other keys of the rotation.
fn poolers(ports: &[u16], more: &str) -> String {
    let all: Vec<String> = (ports.iter())
        .map(|port| format!("{{ host = \"127.0.0.1:{port}\" }}"))
        .collect();
    format!("poolers = [{}]\n{more}", all.join(", "))
}

/// A hook before the flip with a shell script.
fn before_flip(script: &str) -> String {
    let script = Json::from(script);
    format!(
        "[[hook]]\nkind = \"exec\"\nwhen = \"before_flip\"\ntimeout = \"5s\"\ncommand = [\"/bin/sh\", \"-c\", {script}]\n"
    )
}

/// A script that writes a pooler's list from the secret, as an operator would.
///
/// `PgBouncer` takes a file with the size and the second of the last one for the same. The script
/// waits for the next second. It replaces the file at once: one that `PgBouncer` reads while it is
/// empty counts as read.
fn list_script(env: &Environment, pooler: &PgBouncer) -> String {
    let twinkey = twinkey_testkit::locations::twinkey_program();
    let get = |label: &str, field: &str| {
        format!(
            "$({} --config {} secret get {SECRET} --stage {label} --field {field})",
            twinkey.display(),
            env.config().display()
        )
    };
    let line = |label: &str| {
        format!(
            "\\\"{}\\\" \\\"{}\\\"\\n",
            get(label, "username"),
            get(label, "password")
        )
    };
    let list = pooler.user_list();
    let list = list.display();
    format!(
        "set -e; lines=\"{}{}\"; while [ \"$(stat -c %Y {list})\" -ge \"$(date +%s)\" ]; do sleep 0.1; done; cp -p {list} {list}.new; printf \"$lines\" >{list}.new; mv {list}.new {list}; kill -HUP $(cat {})",
        line("AWSCURRENT"),
        line("AWSPENDING"),
        pooler.pid_file().display()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unlisted_user_is_refused_until_a_hook_writes_the_list() {
    let env = Environment::open_with(Setup::default(), Backend::Local).await;
    let listed = [user("app", FIRST)];
    let pooler = pgbouncer(
        &env,
        &listed,
        &["pool_mode = session", "server_idle_timeout = 1"],
    )
    .await;
    let rotation = || poolers(&[pooler.port()], "in_use = \"ignore\"");
    let configure = |config: String| {
        env.configure(&Setup {
            config,
            rotation: rotation(),
            ..Setup::default()
        });
    };
    configure(String::new());
    let before = env.read(stage::CURRENT).await;
    let refused = env.fails(&["rotate", "shop"], 1, "pooler_refused").await;
    let name = format!("the pooler 127.0.0.1:{}", pooler.port());
    assert!(
        refused.contains(&format!(
            "{name} does not accept AWSPENDING of \"app_clone\""
        )),
        "{refused}"
    );
    assert_eq!(env.read(stage::CURRENT).await, before, "AWSCURRENT moved");
    let (pending, _) = env.read(stage::PENDING).await;

    // A hook that fails, and one that hangs.
    let record = env.folder.path().join("record");
    let variables = format!("env >{}; exit 3", record.display());
    for script in [variables.as_str(), "sleep 60"] {
        configure(before_flip(script));
        let refused = env.fails(&["rotate", "shop"], 1, "hook_refused").await;
        assert!(refused.contains("exec /bin/sh: "), "{refused}");
        assert_eq!(env.read(stage::CURRENT).await, before, "AWSCURRENT moved");
        let (carried, _) = env.read(stage::PENDING).await;
        assert_eq!(carried, pending, "another password");
    }
    let variables = std::fs::read_to_string(record).unwrap();
    for line in [
        "TWINKEY_EVENT=before_flip".to_owned(),
        "TWINKEY_ROTATION=shop".into(),
        "TWINKEY_FROM_USER=app".into(),
        "TWINKEY_TO_USER=app_clone".into(),
        format!("TWINKEY_HOST=127.0.0.1:{}", env.server.port()),
        format!("TWINKEY_POOLERS=127.0.0.1:{}", pooler.port()),
    ] {
        assert!(
            variables.lines().any(|one| one == line),
            "{line}: {variables}"
        );
    }
    assert!(variables.contains("TWINKEY_VERSION_ID="), "{variables}");
    let runs = env.run_ok(&["history", "--json"]).await;
    let run = variables
        .lines()
        .find_map(|line| line.strip_prefix("TWINKEY_RUN="));
    let run = run.unwrap_or_else(|| panic!("no run: {variables}"));
    assert!(runs.contains(run), "{run}: {runs}");
    let password = pending["password"].as_str().unwrap();
    assert!(!variables.contains(password), "a hook has the password");
    assert!(!variables.contains("TWINKEY_CONFIG"), "{variables}");

    configure(before_flip(&list_script(&env, &pooler)));
    let planned = env.run_ok(&["plan", "shop"]).await;
    assert!(
        planned.contains("the hook exec /bin/sh must succeed"),
        "{planned}"
    );
    let ports = [env.server.port(), pooler.port()];
    let output = env.run_ok(&["rotate", "shop"]).await;
    assert!(
        output.contains(&format!("it signs in at {name}")),
        "{output}"
    );
    assert_eq!(env.read(stage::CURRENT).await.0, pending);
    let history = env.run_ok(&["history", "--json"]).await;
    assert!(
        history.contains("the hooks before the flip succeeded: exec /bin/sh"),
        "{history}"
    );
    assert!(history.contains("hook_refused"), "{history}");
    let rotations = async {
        for _ in 0..3 {
            env.run_ok(&["rotate", "shop"]).await;
        }
    };
    let count = connecting(&env, &ports, application, rotations).await;
    println!("{count} connections, 0 refused");
    env.run_ok(&["rollback", "shop"]).await;

    // The same list is that of the secret's own host.
    let (mut document, _) = env.read(stage::CURRENT).await;
    document["port"] = pooler.port().into();
    env.put(SECRET, &document).await;
    env.configure(&Setup {
        config: before_flip(&list_script(&env, &pooler)),
        rotation: "in_use = \"ignore\"".into(),
        ..Setup::default()
    });
    let rotations = async {
        for _ in 0..2 {
            env.run_ok(&["rotate", "shop"]).await;
        }
    };
    connecting(&env, &ports, application, rotations).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn applications_behind_pgbouncer_are_never_refused() {
    let env = Environment::open(Setup::default()).await;
    let root = env.server.superuser().clone();
    let mut running = Vec::new();
    for mode in ["pool_mode = session", "pool_mode = transaction"] {
        let settings = auth_query(&env, &[mode]);
        let lines: Vec<&str> = settings.iter().map(String::as_str).collect();
        running.push(pgbouncer(&env, std::slice::from_ref(&root), &lines).await);
    }
    let mut ports: Vec<u16> = running.iter().map(PgBouncer::port).collect();
    env.configure(&Setup {
        rotation: poolers(&ports, "in_use = \"ignore\""),
        ..Setup::default()
    });
    let checked = env.run_ok(&["check"]).await;
    for port in &ports {
        let line = format!("\"app\" signs in (AWSCURRENT) at the pooler 127.0.0.1:{port}");
        assert!(checked.contains(&line), "{checked}");
    }
    ports.push(env.server.port());
    let rotations = async {
        for _ in 0..4 {
            env.run_ok(&["rotate", "shop"]).await;
        }
    };
    let count = connecting(&env, &ports, application, rotations).await;
    println!("{count} connections, 0 refused");

    // The secret names a pooler, the master secret the database.
    for pooler in &running {
        let (mut document, _) = env.read(stage::CURRENT).await;
        document["port"] = pooler.port().into();
        env.put(SECRET, &document).await;
        env.configure(&Setup {
            rotation: "in_use = \"ignore\"".into(),
            ..Setup::default()
        });
        env.run_ok(&["rotate", "shop"]).await;
        let (document, _) = env.read(stage::CURRENT).await;
        let (user, password) = credentials(&document);
        application(pooler.port(), user, password).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_of_a_pooler_is_named() {
    let env = Environment::open(Setup::default()).await;
    let root = env.server.superuser().clone();
    let settings = auth_query(&env, &["pool_mode = session"]);
    let lines: Vec<&str> = settings.iter().map(String::as_str).collect();
    let pooler = pgbouncer(&env, std::slice::from_ref(&root), &lines).await;
    env.configure(&Setup {
        rotation: poolers(&[pooler.port()], ""),
        ..Setup::default()
    });
    env.run_ok(&["rotate", "shop"]).await;
    let (user, password) = credentials(&env.read(stage::PREVIOUS).await.0);
    let session = connect(pooler.port(), user, password).await.unwrap();
    drop(session);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let refused = env.refuses(&["rotate", "shop"], "standby_in_use").await;
    let kept = format!(
        "an idle connection that the pooler 127.0.0.1:{} keeps open",
        pooler.port()
    );
    assert!(refused.contains(&kept), "{refused}");
    let checked = env.run_ok(&["check"]).await;
    assert!(checked.contains(&kept), "{checked}");
    env.run_ok(&["rotate", "shop", "--force"]).await;
}

/// A document of a user's own secret at a pooler.
fn own_secret(name: &str, password: &str) -> Json {
    json!({"username": name, "password": password, "note": {"kept": true}})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_with_a_secret_for_each_user_refuses_nobody() {
    let env = Environment::open(Setup::default()).await;
    let pooler = pgbouncer(&env, &[user("app", FIRST)], &["pool_mode = transaction"]).await;
    let secrets = ["proxy/app", "proxy/app_clone"];
    env.put(secrets[0], &own_secret("app", FIRST)).await;
    let more = |names: [&str; 2]| {
        format!(
            "poolers = [{{ host = \"127.0.0.1:{}\", secrets = {{ app = \"{}\", app_clone = \"{}\" }} }}]\nin_use = \"ignore\"",
            pooler.port(),
            names[0],
            names[1]
        )
    };
    let configure = |names: [&str; 2]| {
        env.configure(&Setup {
            rotation: more(names),
            ..Setup::default()
        });
    };
    configure(secrets);
    env.refuses(&["rotate", "shop"], "secret_not_found").await;
    env.put(
        secrets[1],
        &own_secret("app_clone", "Nothing-yet-0123456789"),
    )
    .await;
    configure([secrets[1], secrets[0]]);
    let refused = env.refuses(&["rotate", "shop"], "config_invalid").await;
    assert!(
        refused.contains("its own user name is \"app_clone\""),
        "{refused}"
    );
    let checked = env.twinkey(&["check"]).await;
    assert_eq!(checked.status.code(), Some(1));
    configure(secrets);
    // AWS refuses writes to a replica, and the other rotator of a secret would replace them.
    let faults = env.stand_in().faults();
    let replica = json!({"PrimaryRegion": "ap-southeast-4"});
    faults.patch_description(secrets[1], replica);
    let refused = is_refused(&env, "managed_elsewhere").await;
    assert!(refused.contains("a replica of the secret in"), "{refused}");
    faults.patch_description(secrets[1], json!({"RotationEnabled": true}));
    is_refused(&env, "managed_elsewhere").await;
    faults.patch_description(secrets[1], json!({}));
    let planned = env.run_ok(&["plan", "shop"]).await;
    assert!(
        planned.contains("is written into the secret \"proxy/app_clone\""),
        "{planned}"
    );

    // As RDS Proxy, it reads AWSCURRENT of the registered secrets a moment later.
    let is_done = Cell::new(false);
    let proxy = async {
        while !is_done.get() {
            let mut list = String::new();
            for secret in secrets {
                let current = twinkey_stores::Selector::Stage(stage::CURRENT);
                let store = env.stand_in().store();
                let version = twinkey_stores::SecretStore::get(store, secret, current).await;
                let document: Json =
                    serde_json::from_str(version.unwrap().value.expose_secret()).unwrap();
                list.push_str(&format!(
                    "{} {}\n",
                    document["username"], document["password"]
                ));
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
            std::fs::write(pooler.user_list(), list).unwrap();
            let pid = std::fs::read_to_string(pooler.pid_file()).unwrap();
            let mut kill = tokio::process::Command::new("kill");
            kill.args(["-HUP", pid.trim()]).status().await.unwrap();
        }
    };
    let rotations = async {
        for _ in 0..4 {
            env.run_ok(&["rotate", "shop"]).await;
        }
        let own = env.stand_in().store();
        let current = twinkey_stores::Selector::Stage(stage::CURRENT);
        let version = twinkey_stores::SecretStore::get(own, secrets[0], current)
            .await
            .unwrap();
        let document: Json = serde_json::from_str(version.value.expose_secret()).unwrap();
        assert_eq!(
            document["password"],
            env.read(stage::CURRENT).await.0["password"]
        );
        assert_eq!(document["note"], json!({"kept": true}));
        is_done.set(true);
    };
    let ports = [env.server.port(), pooler.port()];
    let work = async {
        tokio::join!(proxy, rotations);
    };
    let count = connecting(&env, &ports, application, work).await;
    println!("{count} connections, 0 refused");
    let policy = ["iam-policy", "--account", "111122223333"];
    let policy = env.run_ok(&policy).await;
    assert!(
        policy.contains("SecretsOfPoolers") && policy.contains("proxy/app_clone"),
        "{policy}"
    );
}
