//! Whose the pair is: users of other secrets, programs and people are not taken.

use std::time::SystemTime;

use secrecy::SecretString;
use serde_json::{Value as Json, json};
use twinkey_core::telemetry::Clock;
use twinkey_stores::stage;
use twinkey_testkit::environment::documentdb::MongoEnvironment;
use twinkey_testkit::environment::mariadb::MariadbEnvironment;
use twinkey_testkit::environment::{
    Backend, Database, Environment, FIRST, SECRET, Setup, run, value,
};
use twinkey_testkit::signed;

use crate::faults::failures::{is_refused, with};

/// A second rotation in the config, of the secret `prod/copy`.
const COPY: &str = r#"
tls = { mode = "disable" }
min_interval = "0s"
[[rotation]]
name = "copy"
secret = "prod/copy"
master_secret = "prod/master"
tls = { mode = "disable" }
min_interval = "0s"
"#;

fn two_rotations() -> Setup {
    Setup {
        rotation: COPY.into(),
        ..Setup::default()
    }
}

async fn signs_in<D: Database>(env: &Environment<D>, document: &Json) -> bool {
    let password = SecretString::from(document["password"].as_str().unwrap());
    let user = document["username"].as_str().unwrap();
    env.connect(user, &password, "shop").await.is_ok()
}

/// Removes the journal, as another worker with another config has none in common.
fn forget_journal<D: Database>(env: &Environment<D>) {
    for file in ["journal.db", "journal.db-wal", "journal.db-shm"] {
        // The last two exist after a kill only.
        let _ = std::fs::remove_file(env.folder.path().join(file));
    }
}

/// Asserts that `check` fails with this code.
async fn check_reports<D: Database>(env: &Environment<D>, name: &str, code: &str) {
    let check = env.twinkey(&["check", name, "--json"]).await;
    assert_eq!(check.status.code(), Some(1));
    let reports: Json = serde_json::from_slice(&check.stdout).unwrap();
    let findings = reports[0]["findings"].as_array().unwrap();
    assert!(findings.iter().any(|f| f["code"] == code), "{findings:#?}");
}

async fn two_secrets_of_one_pair<D: Database>(env: Environment<D>) {
    env.configure(&two_rotations());
    let document = env.document("app", FIRST);
    env.put("prod/copy", &document).await;
    // Before any run the config is a mistake, for both.
    check_reports(&env, "shop", "pair_shared").await;
    check_reports(&env, "copy", "pair_shared").await;
    env.run_ok(&["rotate", "shop"]).await;

    for common_journal in [true, false] {
        if !common_journal {
            forget_journal(&env);
        }
        let users = env.server.users().await;
        check_reports(&env, "copy", "pair_shared").await;
        let plan = env.twinkey(&["plan", "copy", "--json"]).await;
        let plan: Json = serde_json::from_slice(&plan.stdout).unwrap();
        assert_eq!(plan["refused"]["code"], "pair_shared");
        env.fails(&["rotate", "copy"], 1, "pair_shared").await;
        assert_eq!(env.server.users().await, users);
        assert!(signs_in(&env, &document).await, "AWSCURRENT of the copy");
        env.signed_in(stage::CURRENT).await;
    }
    // The first secret's next run would change the password that the copy has.
    env.fails(&["rotate", "shop"], 1, "pair_shared").await;
    assert!(signs_in(&env, &document).await, "AWSCURRENT of the copy");
    env.put("prod/copy", &env.document("other", FIRST)).await;
    env.run_ok(&["rotate", "shop"]).await;
    env.signed_in(stage::CURRENT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_secret_of_a_pair_is_refused() {
    two_secrets_of_one_pair(Environment::open(Setup::default()).await).await;
    let env = Environment::open_with(Setup::default(), Backend::Local).await;
    two_secrets_of_one_pair(env).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_secret_of_a_mariadb_pair_is_refused() {
    two_secrets_of_one_pair(MariadbEnvironment::on_mariadb(Setup::default()).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_secret_of_a_documentdb_pair_is_refused() {
    two_secrets_of_one_pair(MongoEnvironment::on_mongo(Setup::default()).await).await;
}

/// The second rotation never ran, so that only its secret shows whose login a user is.
async fn a_login_of_a_new_rotation<D: Database>(env: Environment<D>) {
    env.configure(&two_rotations());
    env.put("prod/copy", &env.document("app", FIRST)).await;
    env.run_ok(&["rotate", "shop"]).await;
    let state = env.state().await;
    check_reports(&env, "shop", "pair_shared").await;
    let plan = env.twinkey(&["plan", "shop", "--json"]).await;
    let plan: Json = serde_json::from_slice(&plan.stdout).unwrap();
    assert_eq!(plan["refused"]["code"], "pair_shared");
    let message = env
        .fails(&["rotate", "shop", "--force"], 1, "pair_shared")
        .await;
    assert!(message.contains("prod/copy"), "{message}");
    assert_eq!(env.state().await, state);
    // The journal has the pair of the rotation that never ran. It ends when the secret has its own.
    env.put("prod/copy", &env.document("other", FIRST)).await;
    env.run_ok(&["rotate", "shop"]).await;
    env.signed_in(stage::CURRENT).await;
    // And it begins again with an edit.
    let (previous, _) = env.read(stage::PREVIOUS).await;
    env.put("prod/copy", &previous).await;
    env.fails(&["rotate", "shop"], 1, "pair_shared").await;
    assert!(signs_in(&env, &previous).await, "AWSCURRENT of the copy");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_login_of_a_rotation_that_never_ran_is_kept() {
    a_login_of_a_new_rotation(Environment::open(Setup::default()).await).await;
    a_login_of_a_new_rotation(MariadbEnvironment::on_mariadb(Setup::default()).await).await;
    a_login_of_a_new_rotation(MongoEnvironment::on_mongo(Setup::default()).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_cannot_be_read_is_named_and_not_a_verdict() {
    let env = Environment::open(two_rotations()).await;
    let checked = env.run_ok(&["check", "shop"]).await;
    assert!(checked.contains("\"copy\""), "{checked}");
    env.run_ok(&["rotate", "shop"]).await;
    env.run_ok(&["rotate", "shop"]).await;
}

/// A standby that needs no proof, and that AWSCURRENT of a rotation that never ran is.
#[tokio::test(flavor = "multi_thread")]
async fn no_exemption_takes_another_secrets_login() {
    let env = Environment::open(two_rotations()).await;
    let mut root = env.root("shop").await;
    for sql in [
        "CREATE ROLE app_clone LOGIN PASSWORD 'Clone-0123456789-abcdef'",
        "GRANT app TO app_clone",
        "GRANT app, app_clone TO rdsmaster WITH ADMIN OPTION",
    ] {
        run(&mut root, sql).await;
    }
    let clone = env.document("app_clone", "Clone-0123456789-abcdef");
    let base = env.document("app", FIRST);
    env.put("prod/copy", &clone).await;
    for standby in ["existing", "adopt"] {
        let rotation = format!("standby = \"{standby}\"\n{COPY}");
        env.configure(&Setup {
            rotation,
            ..Setup::default()
        });
        let state = env.state().await;
        check_reports(&env, "shop", "pair_shared").await;
        env.fails(&["rotate", "shop", "--force"], 1, "pair_shared")
            .await;
        assert_eq!(env.state().await, state);
    }
    // AWS's function made the pair, and its clone is active in this secret.
    env.put("prod/aws", &clone).await;
    env.put("prod/copy", &base).await;
    env.configure(&two_rotations());
    let config = std::fs::read_to_string(env.config()).unwrap();
    let made_by_aws = config.replace(SECRET, "prod/aws");
    std::fs::write(env.config(), made_by_aws).unwrap();
    check_reports(&env, "shop", "pair_shared").await;
    env.fails(&["rotate", "shop", "--force"], 1, "pair_shared")
        .await;
    assert!(signs_in(&env, &base).await);
    assert!(signs_in(&env, &clone).await);

    // Without the other rotation `check` names what the run replaces. Clients may not be cut off.
    let alone = config.replace(SECRET, "prod/aws");
    let alone = alone.split("[[rotation]]\nname = \"copy\"").next().unwrap();
    std::fs::write(env.config(), alone).unwrap();
    forget_journal(&env);
    let checked = env.run_ok(&["check", "shop"]).await;
    assert!(checked.contains("AWS's rotation function"), "{checked}");
    let _client = env.connect("app", &FIRST.into(), "shop").await.unwrap();
    let message = env.fails(&["rotate", "shop"], 1, "standby_in_use").await;
    assert!(message.contains("lock them out"), "{message}");
    assert!(!message.contains("--force"), "{message}");
}

/// Both users of a copy of the secret with all of its versions sign in.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_with_all_versions_of_a_secret_is_refused() {
    let env = Environment::open(two_rotations()).await;
    env.run_ok(&["rotate", "shop"]).await;
    let (current, _) = env.read(stage::CURRENT).await;
    env.put("prod/copy", &env.document("app", FIRST)).await;
    env.put("prod/copy", &current).await;
    check_reports(&env, "copy", "pair_shared").await;
    let message = env.fails(&["rotate", "copy"], 1, "pair_shared").await;
    assert!(message.contains("rotation \"shop\""), "{message}");
    env.run_ok(&["rotate", "shop"]).await;
    env.signed_in(stage::CURRENT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_that_exists_already_is_not_taken() {
    let env = Environment::open(Setup::default()).await;
    let mut root = env.root("shop").await;
    run(&mut root, "CREATE ROLE app_clone LOGIN PASSWORD 'theirs'").await;
    run(&mut root, "GRANT app_clone TO rdsmaster WITH ADMIN OPTION").await;
    run(
        &mut root,
        "CREATE TABLE theirs (id int); ALTER TABLE theirs OWNER TO app_clone",
    )
    .await;
    let message = is_refused(&env, "standby_foreign").await;
    assert!(message.contains("standby = \"adopt\""), "{message}");
    let theirs = with(
        env.document("app_clone", "theirs"),
        "alpha",
        json!("not in the store"),
    );
    assert!(signs_in(&env, &theirs).await);
    let owner = "SELECT tableowner::text FROM pg_tables WHERE tablename = 'theirs'";
    assert_eq!(value::<String>(&mut root, owner).await, "app_clone");

    // Adoption counts once.
    let adopt = Setup {
        rotation: "standby = \"adopt\"".into(),
        ..Setup::default()
    };
    env.configure(&adopt);
    let checked = env.run_ok(&["check", "shop"]).await;
    assert!(checked.contains("takes it over"), "{checked}");
    let shown = env.run_ok(&["rotate", "shop"]).await;
    assert!(shown.contains("standby = \"adopt\""), "{shown}");
    env.run_ok(&["rotate", "shop"]).await;
    run(&mut root, "ALTER ROLE app_clone PASSWORD 'changed by hand'").await;
    let message = is_refused(&env, "standby_foreign").await;
    assert!(message.contains("counts once"), "{message}");
    let (previous, _) = env.read(stage::PREVIOUS).await;
    let restore = format!(
        "ALTER ROLE app_clone PASSWORD '{}'",
        previous["password"].as_str().unwrap()
    );
    run(&mut root, &restore).await;
    env.run_ok(&["rotate", "shop"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mariadb_user_that_exists_already_is_not_taken() {
    let env = MariadbEnvironment::on_mariadb(Setup::default()).await;
    env.sql(&["CREATE USER app_clone@'%' IDENTIFIED BY 'theirs'"])
        .await;
    is_refused(&env, "standby_foreign").await;
    env.sql(&["DROP USER app_clone@'%'"]).await;
    env.run_ok(&["rotate", "shop"]).await;
    env.run_ok(&["rotate", "shop"]).await;
    env.sql(&["ALTER USER app_clone@'%' IDENTIFIED BY 'by-hand-9'"])
        .await;
    is_refused(&env, "standby_foreign").await;
}

/// An edit of the secret moves AWSPREVIOUS away from the standby's version.
async fn edits_between_runs<D: Database>(env: Environment<D>) {
    env.run_ok(&["rotate", "shop"]).await;
    for note in ["one", "two"] {
        let (current, _) = env.read(stage::CURRENT).await;
        env.put(SECRET, &with(current, "note", json!(note))).await;
    }
    forget_journal(&env);
    env.run_ok(&["check", "shop"]).await;
    env.run_ok(&["rotate", "shop"]).await;
    env.signed_in(stage::CURRENT).await;
    env.signed_in(stage::PREVIOUS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_of_the_secret_lose_no_standby() {
    edits_between_runs(Environment::open(Setup::default()).await).await;
    edits_between_runs(Environment::open_with(Setup::default(), Backend::Local).await).await;
    edits_between_runs(MariadbEnvironment::on_mariadb(Setup::default()).await).await;
}

/// Stores bytes under a label, as a program that keeps another kind of value there does.
async fn put_binary(env: &Environment, label: &str) {
    let url = env.stand_in().url();
    let host = url.strip_prefix("http://").unwrap().trim_end_matches('/');
    let body = json!({
        "SecretId": SECRET, "SecretBinary": "AAEC", "ClientRequestToken": uuid::Uuid::new_v4(),
        "VersionStages": [label],
    });
    let body = body.to_string();
    let now = SystemTime::from(Clock::system().now());
    let headers = signed::headers(host, ("test", "test"), "PutSecretValue", &body, now);
    let request = reqwest::Client::new().post(format!("http://{host}/"));
    let request = headers
        .iter()
        .fold(request.body(body), |request, (name, value)| {
            request.header(name, value)
        });
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_binary_previous_version_loses_no_standby() {
    let env = Environment::open(Setup::default()).await;
    env.run_ok(&["rotate", "shop"]).await;
    let (current, _) = env.read(stage::CURRENT).await;
    put_binary(&env, stage::CURRENT).await;
    let message = env.fails(&["rotate", "shop"], 1, "secret_malformed").await;
    assert!(message.contains("SecretBinary"), "{message}");
    check_reports(&env, "shop", "secret_malformed").await;
    env.put(SECRET, &current).await;
    forget_journal(&env);
    env.run_ok(&["check", "shop"]).await;
    env.run_ok(&["rotate", "shop"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_binary_pending_version_is_a_conflict() {
    let env = Environment::open(Setup::default()).await;
    put_binary(&env, stage::PENDING).await;
    check_reports(&env, "shop", "pending_conflict").await;
    env.refuses(&["rotate", "shop"], "pending_conflict").await;
    env.run_ok(&["repair", "shop", "--apply"]).await;
    env.run_ok(&["rotate", "shop"]).await;
}

/// A pair as AWS's rotation function leaves it, of which only AWSCURRENT is in the store.
#[tokio::test(flavor = "multi_thread")]
async fn a_pair_that_awss_function_made_is_rotated() {
    let env = Environment::open(Setup::default()).await;
    let mut root = env.root("shop").await;
    for sql in [
        "CREATE ROLE app_clone LOGIN PASSWORD 'Clone-0123456789-abcdef'",
        "GRANT app TO app_clone",
        "GRANT app, app_clone TO rdsmaster WITH ADMIN OPTION",
    ] {
        run(&mut root, sql).await;
    }
    let document = env.document("app_clone", "Clone-0123456789-abcdef");
    env.put("prod/adopted", &document).await;
    let config = std::fs::read_to_string(env.config()).unwrap();
    let adopted = config.replace(SECRET, "prod/adopted");
    std::fs::write(env.config(), adopted).unwrap();
    run(&mut root, "ALTER ROLE app PASSWORD 'in no store'").await;
    let shown = env.run_ok(&["rotate", "shop"]).await;
    assert!(shown.contains("app_clone -> app"), "{shown}");
    env.run_ok(&["rotate", "shop"]).await;
}
