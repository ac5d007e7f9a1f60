//! `strategy = "single"`: one user, whose password changes.

use crate::serving::worker::signal;
use secrecy::SecretString;
use twinkey_stores::{SecretStore as _, VersionId, stage};
use twinkey_testkit::aws::faults::{Call, Cut};
use twinkey_testkit::environment::mariadb::mysql_is_installed;
use twinkey_testkit::environment::{
    Database, Environment, MASTER_SECRET, SECRET, Setup, run, until, value,
};
use twinkey_testkit::mysql::Flavor;
use twinkey_testkit::pki::Pki;

fn single() -> Setup {
    Setup {
        rotation: "strategy = \"single\"\ngap = \"accept\"\nmin_interval = \"0s\"".into(),
        ..Setup::default()
    }
}

/// Rotates, and checks both versions.
async fn rotate<D: Database>(env: &Environment<D>) {
    let (before, _) = env.read(stage::CURRENT).await;
    env.run_ok(&["check"]).await;
    env.run_ok(&["rotate", "shop"]).await;
    drop(env.signed_in(stage::CURRENT).await);
    let (after, current) = env.read(stage::CURRENT).await;
    assert_eq!(after["username"], before["username"]);
    assert_ne!(after["password"], before["password"]);
    let (previous, _) = env.read(stage::PREVIOUS).await;
    assert_eq!(previous, before);
    let (_, pending) = env.read(stage::PENDING).await;
    assert_eq!(pending, current, "no run has begun since");
    let replaced = SecretString::from(before["password"].as_str().unwrap());
    let user = before["username"].as_str().unwrap();
    assert!(env.connect(user, &replaced, "shop").await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_user_gets_a_new_password_in_each_run() {
    let env = Environment::open(single()).await;
    for _ in 0..3 {
        rotate(&env).await;
    }
    let sql = "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'app%'";
    let users: i64 = value(&mut env.root("shop").await, sql).await;
    assert_eq!(users, 1, "no run creates a user");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_without_a_master_rotates_itself() {
    let env = Environment::open(single()).await;
    let config = std::fs::read_to_string(env.config()).unwrap();
    let config = config.replace(MASTER_SECRET, SECRET);
    std::fs::write(env.config(), config).unwrap();
    for _ in 0..3 {
        rotate(&env).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_changes_one_user_too() {
    let env = Environment::on_mariadb(single()).await;
    for _ in 0..3 {
        rotate(&env).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql_keeps_the_replaced_password() {
    if !mysql_is_installed() {
        return;
    }
    let pki = Pki::new();
    let ca_file = pki.ca_file.display();
    let setup = Setup {
        flavor: Flavor::Mysql,
        rotation: format!(
            "strategy = \"single\"\ntls = {{ mode = \"verify-ca\", ca_file = \"{ca_file}\" }}"
        ),
        tls: Some(pki.server.clone()),
        ..Setup::default()
    };
    let env = Environment::on_mariadb(setup).await;
    for _ in 0..3 {
        env.run_ok(&["rotate", "shop"]).await;
        drop(env.signed_in(stage::CURRENT).await);
        drop(env.signed_in(stage::PREVIOUS).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gap_that_is_not_accepted_refuses_the_run() {
    let setup = Setup {
        rotation: "strategy = \"single\"".into(),
        ..Setup::default()
    };
    let env = Environment::open(setup).await;
    env.refuses(&["rotate", "shop"], "config_invalid").await;
    let check = env.twinkey(&["check", "--json"]).await;
    let report = String::from_utf8(check.stdout).unwrap();
    assert!(report.contains("config_invalid"), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn any_later_run_leaves_the_gap() {
    let setup = Setup {
        rotation: "strategy = \"single\"\ngap = \"accept\"\nmin_interval = \"1h\"".into(),
        ..Setup::default()
    };
    let env = Environment::open(setup).await;
    env.run_ok(&["rotate", "shop"]).await;
    env.refuses(&["rotate", "shop"], "too_soon").await;
    let with_sessions = ["rotate", "shop", "--force", "--end-sessions"];
    env.refuses(&with_sessions, "config_invalid").await;
    // A run that exited between `set` and `finish`.
    let pending = env.document("app", "Gap-0123456789-abcdef-XYZ");
    let id = VersionId("0f3a5f7e-0000-4000-8000-000000000001".into());
    let value = SecretString::from(pending.to_string());
    let store = env.stand_in().store();
    store
        .put(SECRET, &id, &value, stage::PENDING)
        .await
        .unwrap();
    let sql = "ALTER ROLE app PASSWORD 'Gap-0123456789-abcdef-XYZ'";
    run(&mut env.root("shop").await, sql).await;

    env.run_ok(&["rotate", "shop"]).await;
    drop(env.signed_in(stage::CURRENT).await);
    let (current, own) = env.read(stage::CURRENT).await;
    assert_eq!(current["password"], pending["password"]);
    assert_ne!(own, id, "the run has its own version");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_effect_is_refused() {
    let env = Environment::open(Setup {
        rotation: "strategy = \"single\"\ngap = \"accept\"\nretire_after = \"24h\"".into(),
        ..Setup::default()
    })
    .await;
    env.refuses(&["rotate", "shop"], "config_invalid").await;
    let check = env.twinkey(&["check"]).await;
    let report = String::from_utf8(check.stdout).unwrap();
    assert!(report.contains("retire_after has no effect"), "{report}");

    let mut other = env.read(stage::CURRENT).await.0;
    other["engine"] = "mongo".into();
    env.put(SECRET, &other).await;
    env.refuses(&["rotate", "shop"], "unsupported_engine").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_of_two_secrets_is_refused() {
    let env = Environment::open(single()).await;
    env.run_ok(&["rotate", "shop"]).await;
    let (document, _) = env.read(stage::CURRENT).await;
    env.put("other/app", &document).await;
    let config = std::fs::read_to_string(env.config()).unwrap();
    let rotation = config.split_once("[[rotation]]").unwrap().1;
    let second = rotation
        .replace("\"shop\"", "\"other\"")
        .replace(SECRET, "other/app");
    std::fs::write(env.config(), format!("{config}\n[[rotation]]{second}")).unwrap();
    env.refuses(&["rotate", "other"], "pair_shared").await;
    env.refuses(&["rotate", "shop"], "pair_shared").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_is_refused() {
    let env = Environment::open(single()).await;
    rotate(&env).await;
    env.refuses(&["rollback", "shop"], "config_invalid").await;
}

/// A stop between the change and the flip does not leave a gap.
#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_run_leaves_its_gap_first() {
    let env = Environment::open(single()).await;
    env.run_ok(&["rotate", "shop"]).await;
    let faults = env.stand_in().faults();
    let before = faults.calls().len();
    env.run_ok(&["rotate", "shop"]).await;
    let calls = faults.calls();
    let is_flip = |call: &Call| call.action == "UpdateSecretVersionStage";
    let flip = calls.iter().rposition(is_flip).unwrap() - before + 1;

    // The first tries of the flip fail, and the next one follows after a pause.
    let already = faults.calls().len();
    for call in flip..flip + 3 {
        faults.cut(call, Cut::Answer(400, "ThrottlingException"));
    }
    let log = std::fs::File::create(env.folder.path().join("stopped.log")).unwrap();
    let mut run = (env.command(env!("CARGO_BIN_EXE_twinkey")))
        .args(["rotate", "shop", "-v"])
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap();
    until("the flip fails", async || {
        env.stand_in().faults().calls().len() >= already + flip
    })
    .await;
    signal(&run, "INT");
    assert!(run.wait().await.unwrap().success());
    let log = std::fs::read_to_string(env.folder.path().join("stopped.log")).unwrap();
    assert!(log.contains("run continues until it has moved"), "{log}");
    drop(env.signed_in(stage::CURRENT).await);
}
