//! The setup of `docker-compose.yml` without Docker: its SQL, secrets and config on test servers
//! and moto.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use secrecy::ExposeSecret;
use twinkey_engines::Credentials;
use twinkey_testkit::mysql::{self, Flavor, LocalMysql};
use twinkey_testkit::postgres::{self, LocalPostgres};

use twinkey_testkit::moto::Moto;

fn compose(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("deploy/compose")
        .join(file)
}

/// Executes a file of SQL with a client program.
fn feed(program: &str, superuser: &Credentials, args: &[String], file: &str) {
    let password = superuser.password.expose_secret();
    let fed = Command::new(program)
        .args(args)
        .env("PGPASSWORD", password)
        .env("MYSQL_PWD", password)
        .stdin(std::fs::File::open(compose(file)).unwrap())
        .output();
    good(program, &fed.unwrap());
}

fn good(what: &str, output: &Output) -> String {
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what}: {message}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_compose_setup_is_checked_and_rotated() {
    let (postgres, mariadb) = tokio::task::spawn_blocking(|| {
        let options = postgres::Options::new(LocalPostgres::find(None).unwrap());
        let postgres = LocalPostgres::start(&options).unwrap();
        let options = mysql::Options::new(LocalMysql::find(Flavor::Mariadb).unwrap());
        (postgres, LocalMysql::start(&options).unwrap())
    })
    .await
    .unwrap();
    let moto = Moto::start().await;
    let to = |user: &Credentials, port: u16| {
        ["--host=127.0.0.1", "--port", &port.to_string(), "--user"]
            .map(str::to_owned)
            .into_iter()
            .chain([user.username.clone()])
            .collect::<Vec<_>>()
    };
    let mut psql = to(postgres.superuser(), postgres.port());
    psql[3] = "--username".into();
    psql.extend(["-d", "postgres", "-v", "ON_ERROR_STOP=1"].map(str::to_owned));
    feed("psql", postgres.superuser(), &psql, "postgres.sql");
    let client = to(mariadb.superuser(), mariadb.port());
    feed("mariadb", mariadb.superuser(), &client, "mariadb.sql");

    let folder = tempfile::tempdir().unwrap();
    let aws = |command: &mut Command| {
        command
            .env("AWS_ENDPOINT_URL", moto.url())
            .env("AWS_REGION", "eu-west-1")
            .env("AWS_ACCESS_KEY_ID", "look-around")
            .env("AWS_SECRET_ACCESS_KEY", "look-around")
            .stdin(Stdio::null())
            .output()
            .unwrap()
    };
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache/venv/bin/python");
    let mut seed = Command::new(python);
    seed.arg(compose("seed.py"))
        .env("POSTGRES", format!("127.0.0.1:{}", postgres.port()))
        .env("MARIADB", format!("127.0.0.1:{}", mariadb.port()));
    assert_eq!(good("the seed", &aws(&mut seed)).lines().count(), 4);
    let again = good("the seed, again", &aws(&mut seed));
    assert!(
        again.lines().all(|line| line.ends_with("is there")),
        "{again}"
    );

    let twinkey = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_twinkey"));
        command
            .arg("--config")
            .arg(compose("twinkey.toml"))
            .args(args)
            .current_dir(folder.path())
            .env(
                "TWINKEY__JOURNAL__URL",
                format!("sqlite://{}/j.db", folder.path().display()),
            );
        good(&format!("{args:?}"), &aws(&mut command))
    };
    twinkey(&["check"]);
    for rotation in ["shop-postgres", "shop-mariadb"] {
        let message = twinkey(&["rotate", rotation]);
        assert!(message.contains("shop -> shop_clone"), "{message}");
    }
}
