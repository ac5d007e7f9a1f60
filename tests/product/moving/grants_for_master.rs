//! The printed statements of `grants-for-master`, executed: they suffice for a run, and each is
//! necessary.

use mongodb::bson::Document;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value as Json, json};
use tokio::process::Command;

use crate::engines::redshift::fixture::{self, Deployment, RedshiftFixture};
use crate::engines::redshift::rotations::furnish;
use twinkey_testkit::aws::redshift::{CLUSTER, HOME};
use twinkey_testkit::environment::documentdb::MongoEnvironment;
use twinkey_testkit::environment::mariadb::{MariadbEnvironment, RDS_MASTER, run as run_mariadb};
use twinkey_testkit::environment::{Database, Environment, MASTER_SECRET, Setup, run};

const MASTER: &str = "new \"master\"";
const PASSWORD: &str = "New-master-0123456789-abcdef";

/// The output of the command.
struct PrintedGrants {
    needed: Vec<String>,
    optional: Vec<String>,
    last: Option<String>,
}

impl PrintedGrants {
    /// The optional grant of `privilege`, which only `--end-sessions` uses, and those that `check`
    /// reports.
    fn by_use(&self, privilege: &str) -> (&str, Vec<&String>) {
        let all = self.optional.iter();
        let (ends, reported): (Vec<_>, Vec<_>) = all.partition(|one| one.contains(privilege));
        (ends[0], reported)
    }
}

async fn printed(engine: &str, more: &[&str]) -> PrintedGrants {
    let mut command = Command::new(env!("CARGO_BIN_EXE_twinkey"));
    command.args(["grants-for-master", engine, "--master", MASTER]);
    let output = command.args(more).arg("--json").output().await.unwrap();
    assert!(output.status.success(), "{output:?}");
    let all: Json = serde_json::from_slice(&output.stdout).unwrap();
    let of = |optional: bool| -> Vec<String> {
        let grants = all["grants"].as_array().unwrap().iter();
        let grants = grants.filter(|grant| grant["optional"] == optional);
        grants
            .map(|grant| grant["statement"].as_str().unwrap().to_owned())
            .collect()
    };
    let last = all["set_password"].as_str();
    PrintedGrants {
        needed: of(false),
        optional: of(true),
        last: last.map(|last| last.replace('…', PASSWORD)),
    }
}

/// Stores the new master in the master secret.
async fn install<D: Database>(env: &Environment<D>) {
    let document = env.document(MASTER, PASSWORD);
    env.put(MASTER_SECRET, &document).await;
}

/// The output of `check` with any status.
async fn found<D: Database>(env: &Environment<D>) -> String {
    let output = env.twinkey(&["check"]).await;
    String::from_utf8(output.stdout).unwrap()
}

async fn rotates_both_ways<D: Database>(env: &Environment<D>) {
    for user in ["app_clone", "app"] {
        env.run_ok(&["rotate", "shop"]).await;
        let (document, _) = env.read("AWSCURRENT").await;
        assert_eq!(document["username"], user);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgresql_master_needs_each_printed_statement() {
    let env = Environment::open(Setup::default()).await;
    let all = printed("postgres", &["--user", "app"]).await;
    let mut root = env.root("postgres").await;
    run(&mut root, &all.needed[0]).await;
    run(&mut root, all.last.as_deref().unwrap()).await;
    install(&env).await;
    // `check` reports each missing statement.
    let rest = &all.needed[1..];
    assert!(!rest.is_empty());
    for statement in rest {
        let message = found(&env).await;
        assert!(message.contains(statement), "{statement}: {message}");
        run(&mut root, statement).await;
    }
    let (ends, reported) = all.by_use("pg_signal_backend");
    for statement in &reported {
        let message = found(&env).await;
        assert!(message.contains(*statement), "{statement}: {message}");
    }
    rotates_both_ways(&env).await;
    let arguments = ["rotate", "shop", "--end-sessions"];
    let message = env.refuses(&arguments, "privileges_missing").await;
    assert!(message.contains(ends), "{message}");
    run(&mut root, ends).await;
    env.run_ok(&arguments).await;
    for statement in reported {
        run(&mut root, statement).await;
        let message = found(&env).await;
        assert!(!message.contains(statement), "{statement}: {message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgresql_master_gets_an_existing_pair() {
    let env = Environment::open(Setup::default()).await;
    env.run_ok(&["rotate", "shop"]).await;
    let all = printed("postgres", &["--user", "app", "--clone", "app_clone"]).await;
    let mut root = env.root("postgres").await;
    for statement in all.needed.iter().chain(&all.last) {
        run(&mut root, statement).await;
    }
    install(&env).await;
    env.run_ok(&["rotate", "shop"]).await;
    env.run_ok(&["rotate", "shop"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mariadb_master_needs_each_printed_statement() {
    let env = MariadbEnvironment::on_mariadb(Setup::default()).await;
    let all = printed("mariadb", &["--database", "shop"]).await;
    let first = [all.needed[0].as_str(), all.last.as_deref().unwrap()];
    env.sql(&first).await;
    install(&env).await;
    for statement in &all.needed[1..] {
        // Without the statement no run starts.
        let output = env.twinkey(&["rotate", "shop"]).await;
        assert_eq!(output.status.code(), Some(1), "{statement}");
        assert!(
            !env.labels()
                .await
                .iter()
                .any(|(_, on)| on.contains(&"AWSPENDING".into()))
        );
        env.sql(&[statement]).await;
    }
    let (ends, reported) = all.by_use("CONNECTION ADMIN");
    for statement in reported {
        let what = statement.split(" TO ").next().unwrap();
        assert!(found(&env).await.contains(what), "{what}");
        rotates_both_ways(&env).await;
        env.sql(&[statement]).await;
        assert!(!found(&env).await.contains(what), "{what}");
    }
    let arguments = ["rotate", "shop", "--end-sessions"];
    let message = env.refuses(&arguments, "privileges_missing").await;
    assert!(
        message.contains("GRANT CONNECTION ADMIN ON *.*"),
        "{message}"
    );
    env.sql(&[ends]).await;
    env.run_ok(&arguments).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_master_of_rds_may_run_each_statement_for_mariadb() {
    let env = MariadbEnvironment::on_mariadb(Setup::default()).await;
    let all = printed("mariadb", &["--database", "shop"]).await;
    let password = SecretString::from("Rds-master-0123456789");
    env.sql(&[
        &format!(
            "CREATE USER rds@'%' IDENTIFIED BY '{}'",
            password.expose_secret()
        ),
        &format!("GRANT {RDS_MASTER} ON *.* TO rds@'%' WITH GRANT OPTION"),
    ])
    .await;
    let mut rds = env.server.connect("rds", &password, "shop").await.unwrap();
    for statement in all.needed.iter().chain(&all.last) {
        run_mariadb(&mut rds, statement).await;
    }
    install(&env).await;
    rotates_both_ways(&env).await;
}

/// A printed command of the MongoDB shell, and its database.
fn in_shell(printed: &str) -> (String, Document) {
    let rest = printed.strip_prefix("db.getSiblingDB(").unwrap();
    let (database, rest) = rest.split_once(").runCommand(").unwrap();
    let command = rest.strip_suffix(')').unwrap();
    let password = Json::from(PASSWORD).to_string();
    let command: Json =
        serde_json::from_str(&command.replace("passwordPrompt()", &password)).unwrap();
    let database: String = serde_json::from_str(database).unwrap();
    (
        database,
        mongodb::bson::serialize_to_document(&command).unwrap(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_documentdb_master_needs_each_printed_command() {
    let env = MongoEnvironment::on_mongo(Setup::default()).await;
    let all = printed("documentdb", &[]).await;
    assert!(all.last.is_none() && all.needed[0].contains("passwordPrompt()"));
    let give = async |printed: &str| {
        let (database, command) = in_shell(printed);
        env.run(&database, command).await;
    };
    give(&all.needed[0]).await;
    install(&env).await;
    for statement in &all.needed[1..] {
        let output = env.twinkey(&["rotate", "shop"]).await;
        assert_eq!(output.status.code(), Some(1), "{statement}");
        give(statement).await;
    }
    for statement in &all.optional {
        assert!(found(&env).await.contains(statement), "{statement}");
        rotates_both_ways(&env).await;
        give(statement).await;
        assert!(!found(&env).await.contains(statement), "{statement}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redshift_admin_rotates_with_the_printed_statements() {
    let house = RedshiftFixture::open(
        Deployment::Cluster,
        "",
        &format!("master_secret = \"{}\"", fixture::MASTER_SECRET),
    )
    .await;
    furnish(&house).await;
    // The API rejects quotes in the name of a secret's user.
    let mut command = Command::new(env!("CARGO_BIN_EXE_twinkey"));
    command.args(["grants-for-master", "redshift", "--master", "new_admin"]);
    let text = String::from_utf8(command.output().await.unwrap().stdout).unwrap();
    // The printed statements, then those in the last line, which is a comment.
    let password = "NewAdmin0123456789abcdef";
    let (comments, statements): (Vec<&str>, Vec<&str>) =
        text.lines().partition(|line| line.starts_with("--"));
    let last = comments
        .last()
        .unwrap()
        .trim_start_matches("-- ")
        .replace('…', password);
    assert_eq!(statements.len(), 1, "{text}");
    for statement in statements.into_iter().chain(last.split("; ")) {
        house.dba(HOME, &[statement.trim_end_matches(';')]).await;
    }
    let document = json!({
        "username": "new_admin", "password": password, "dbClusterIdentifier": CLUSTER,
    });
    let value = SecretString::from(document.to_string());
    let store = house.stand_in.store();
    store
        .create_or_put(fixture::MASTER_SECRET, &value)
        .await
        .unwrap();
    for user in ["app_clone", "app"] {
        house.good(&["rotate", "house"]).await;
        assert_eq!(house.current_user().await, user);
    }
    assert!(!text.contains(value.expose_secret()));
}
