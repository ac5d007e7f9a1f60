//! Refused runs: each has its own code, a hint, and exit status 1, and changes nothing.

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::{Value as Json, json};
use twinkey_stores::stage;
use twinkey_testkit::postgres::LocalPostgres;

use twinkey_testkit::environment::{
    Database, Environment, MASTER_SECRET, SECRET, Setup, run, value,
};

/// Runs `rotate` and `check`. Both must report the code and change nothing.
pub async fn is_refused<D: Database>(env: &Environment<D>, code: &str) -> String {
    let before = env.state().await;
    let message = env.fails(&["rotate", "shop"], 1, code).await;
    let check = env.twinkey(&["check", "--json"]).await;
    assert_eq!(check.status.code(), Some(1));
    let reports: Json = serde_json::from_slice(&check.stdout).unwrap();
    let findings = reports[0]["findings"].as_array().unwrap();
    let found = findings.iter().find(|f| f["code"] == code);
    let found = found.unwrap_or_else(|| panic!("check does not say {code}: {findings:#?}"));
    assert!(
        found["fix"].as_str().is_some_and(|fix| !fix.is_empty()),
        "{found}"
    );
    assert_eq!(env.state().await, before, "{code}");
    assert!(
        !message.contains("0123456789"),
        "a password is in: {message}"
    );
    message
}

pub fn with(mut document: Json, field: &str, value: Json) -> Json {
    document[field] = value;
    document
}

/// The document with a field that makes it `bytes` long.
fn padded(document: &Json, bytes: usize) -> Json {
    let mut padded = with(document.clone(), "padding", json!(""));
    padded["padding"] = json!("x".repeat(bytes - padded.to_string().len()));
    padded
}

fn without(mut document: Json, field: &str) -> Json {
    document.as_object_mut().unwrap().remove(field);
    document
}

#[tokio::test(flavor = "multi_thread")]
async fn each_broken_secret_has_its_own_code_and_names_what_is_wrong() {
    let env = Environment::open(Setup::default()).await;
    let (current, _) = env.read(stage::CURRENT).await;
    let master = env.document("rdsmaster", "Master-0123456789-abcdef-XYZ");

    for field in ["username", "password", "host", "engine"] {
        env.put(SECRET, &without(current.clone(), field)).await;
        let message = is_refused(&env, "secret_malformed").await;
        assert!(message.contains(&format!("`{field}`")), "{message}");
    }
    for (field, value) in [
        ("port", json!("many")),
        ("host", json!(7)),
        ("username", json!("")),
        ("ssl", json!("perhaps")),
        ("dbname", json!([])),
    ] {
        env.put(SECRET, &with(current.clone(), field, value)).await;
        let message = is_refused(&env, "secret_malformed").await;
        assert!(message.contains(&format!("`{field}`")), "{message}");
    }
    for (host, words) in [
        ("db.internal:5432", "has a port"),
        ("[::1]", "has a port or brackets"),
        ("127.0.0.1,db.internal", "more than one host"),
        ("mongodb+srv://cluster.example.com", "`mongodb+srv` URL"),
        ("postgres://db.internal/shop", "is a URL"),
    ] {
        env.put(SECRET, &with(current.clone(), "host", json!(host)))
            .await;
        let message = is_refused(&env, "secret_malformed").await;
        assert!(message.contains(words), "{message}");
    }
    let url = "postgres://app:Older-0123456789@db.internal/shop";
    env.put(SECRET, &with(current.clone(), "url", json!(url)))
        .await;
    let message = is_refused(&env, "secret_malformed").await;
    assert!(
        message.contains("`url` contains the user's password"),
        "{message}"
    );
    let longest = padded(&current, 65_536);
    env.put(SECRET, &longest).await;
    let message = is_refused(&env, "secret_malformed").await;
    assert!(message.contains("would have 65"), "{message}");
    env.put_text(SECRET, "no JSON 0123456789").await;
    is_refused(&env, "secret_malformed").await;
    env.put(SECRET, &with(current.clone(), "engine", json!("oracle")))
        .await;
    is_refused(&env, "unsupported_engine").await;
    env.put(
        SECRET,
        &with(current.clone(), "password", json!("Wrong-0123456789")),
    )
    .await;
    is_refused(&env, "current_signin_failed").await;
    env.put(SECRET, &current).await;

    env.put(
        MASTER_SECRET,
        &with(master.clone(), "password", json!("Wrong-0123456789")),
    )
    .await;
    is_refused(&env, "master_signin_failed").await;
    env.put(MASTER_SECRET, &without(master.clone(), "username"))
        .await;
    is_refused(&env, "secret_malformed").await;
    // A managed master secret has only the credentials, and nothing names its host here.
    env.put(
        MASTER_SECRET,
        &json!({"username": "rdsmaster", "password": master["password"]}),
    )
    .await;
    is_refused(&env, "host_untrusted").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_secrets_and_unreachable_hosts_have_their_own_codes() {
    let env = Environment::open(Setup {
        rotation: String::new(),
        ..Setup::default()
    })
    .await;
    let (current, _) = env.read(stage::CURRENT).await;
    env.put(SECRET, &with(current.clone(), "port", json!(1)))
        .await;
    env.put(MASTER_SECRET, &with(current.clone(), "port", json!(1)))
        .await;
    is_refused(&env, "db_unreachable").await;

    let config = std::fs::read_to_string(env.config()).unwrap();
    std::fs::write(env.config(), config.replace(SECRET, "prod/nowhere")).unwrap();
    is_refused(&env, "secret_not_found").await;
    std::fs::write(env.config(), config.replace(MASTER_SECRET, "prod/missing")).unwrap();
    is_refused(&env, "secret_not_found").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_with_another_rotator_is_refused() {
    let env = Environment::open(Setup::default()).await;
    let arn = "arn:aws:lambda:eu-west-1:000000000000:function:rotate";
    let faults = env.stand_in().faults();
    faults.patch_description(
        SECRET,
        json!({"RotationEnabled": true, "RotationLambdaARN": arn}),
    );
    let message = is_refused(&env, "managed_elsewhere").await;
    assert!(message.contains("cancel-rotate-secret"), "{message}");
    faults.patch_description(SECRET, json!({"OwningService": "rds"}));
    is_refused(&env, "managed_elsewhere").await;
    faults.patch_description(SECRET, json!({"PrimaryRegion": "ap-southeast-4"}));
    let message = is_refused(&env, "managed_elsewhere").await;
    assert!(
        message.contains("a replica of the secret in ap-southeast-4"),
        "{message}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_denies_or_is_unreachable_has_its_own_code() {
    let env = Environment::open(Setup::default()).await;
    env.stand_in().faults().deny("PutSecretValue");
    let message = env.refuses(&["rotate", "shop"], "store_denied").await;
    assert!(
        message.contains("secretsmanager:PutSecretValue"),
        "{message}"
    );

    let config = std::fs::read_to_string(env.config()).unwrap();
    let gone = config.replace(&env.stand_in().url(), "http://127.0.0.1:1");
    std::fs::write(env.config(), gone).unwrap();
    env.refuses(&["rotate", "shop"], "store_unavailable").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_pending_version_is_refused_and_kept() {
    let env = Environment::open(Setup::default()).await;
    let theirs = twinkey_stores::VersionId(uuid::Uuid::new_v4().to_string());
    let foreign =
        secrecy::SecretString::from(env.document("app", "Another-0123456789").to_string());
    use twinkey_stores::SecretStore;
    env.stand_in()
        .store()
        .put(SECRET, &theirs, &foreign, stage::PENDING)
        .await
        .unwrap();
    let message = is_refused(&env, "pending_conflict").await;
    assert!(message.contains(&theirs.0), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pending_version_of_an_own_run_is_no_conflict_after_edits() {
    let env = Environment::open(Setup::default()).await;
    env.run_ok(&["rotate", "shop"]).await;
    let (mut document, rotated) = env.read(stage::CURRENT).await;
    for edit in ["first", "second"] {
        document["comment"] = edit.into();
        env.put(SECRET, &document).await;
    }
    // The run left AWSPENDING there, and both other labels have moved on.
    assert_eq!(env.read(stage::PENDING).await.1, rotated);
    env.run_ok(&["check", "shop"]).await;
    env.run_ok(&["rotate", "shop"]).await;
    let (current, _) = env.read(stage::CURRENT).await;
    assert_eq!(
        (&current["username"], &current["comment"]),
        (&json!("app"), &json!("second"))
    );
    env.signed_in(stage::CURRENT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_admin_option_is_reported_with_its_statement() {
    for (version, _) in LocalPostgres::installed() {
        let env = Environment::open(Setup {
            version: Some(version),
            ..Setup::default()
        })
        .await;
        let mut root = env.root("postgres").await;
        if version < 16 {
            // CREATEROLE suffices in these versions.
            run(&mut root, "ALTER ROLE rdsmaster NOCREATEROLE").await;
        } else {
            run(&mut root, "REVOKE app FROM rdsmaster").await;
        }
        let message = is_refused(&env, "privileges_missing").await;
        let fix = if version < 16 {
            "ALTER ROLE \"rdsmaster\" CREATEROLE"
        } else {
            "GRANT \"app\" TO \"rdsmaster\" WITH ADMIN OPTION, INHERIT FALSE, SET FALSE"
        };
        assert!(message.contains(fix), "{version}: {message}");
        run(&mut root, fix).await;
        env.run_ok(&["rotate", "shop"]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn min_interval_refuses_a_second_rotation_unless_forced() {
    let env = Environment::open(Setup {
        rotation: "min_interval = \"1h\"".into(),
        ..Setup::default()
    })
    .await;
    env.run_ok(&["rotate", "shop"]).await;
    let message = env.refuses(&["rotate", "shop"], "too_soon").await;
    assert!(message.contains("--force"), "{message}");
    env.run_ok(&["rotate", "shop", "--force"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_of_the_standby_stop_a_manual_run() {
    let env = Environment::open(Setup::default()).await;
    env.run_ok(&["rotate", "shop"]).await;
    let lingering = env.signed_in(stage::PREVIOUS).await;
    let message = env.refuses(&["rotate", "shop"], "standby_in_use").await;
    assert!(message.contains("app"), "{message}");
    env.run_ok(&["rotate", "shop", "--force"]).await;
    drop(lingering);
}

/// A root certificate, and a certificate for `name` with its key, as PEM.
fn certificate(name: &str) -> (String, String, String) {
    let root_key = KeyPair::generate().unwrap();
    let mut root = CertificateParams::new(Vec::new()).unwrap();
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root_pem = root.clone().self_signed(&root_key).unwrap().pem();
    let issuer = Issuer::new(root, root_key);
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec![name.to_owned()]).unwrap();
    let leaf = leaf.signed_by(&key, &issuer).unwrap();
    (root_pem, leaf.pem(), key.serialize_pem())
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_verified_and_has_no_fallback() {
    let (root, chain, key) = certificate("localhost");
    let plan = Setup {
        tls: Some((chain, key)),
        rotation: "tls = { mode = \"verify-full\", ca_file = \"ca.pem\" }".into(),
        ..Setup::default()
    };
    let env = Environment::open(plan).await;
    std::fs::write(env.folder.path().join("ca.pem"), &root).unwrap();

    // The secret has 127.0.0.1, and the certificate localhost.
    is_refused(&env, "tls_failed").await;

    let (current, _) = env.read(stage::CURRENT).await;
    let master = env.document("rdsmaster", "Master-0123456789-abcdef-XYZ");
    env.put(SECRET, &with(current.clone(), "host", json!("localhost")))
        .await;
    env.put(
        MASTER_SECRET,
        &with(master.clone(), "host", json!("localhost")),
    )
    .await;
    env.run_ok(&["rotate", "shop"]).await;

    let (stranger, _, _) = certificate("localhost");
    std::fs::write(env.folder.path().join("ca.pem"), stranger).unwrap();
    is_refused(&env, "tls_failed").await;
    assert!(
        !env.log().contains("no encryption"),
        "no connection without TLS"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_tls_is_refused_by_default() {
    let env = Environment::open(Setup {
        rotation: "tls = { mode = \"verify-full\" }".into(),
        ..Setup::default()
    })
    .await;
    is_refused(&env, "tls_failed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_on_another_server_is_refused() {
    let env = Environment::open(Setup::default()).await;
    let other = Environment::open(Setup::default()).await;
    env.put(
        MASTER_SECRET,
        &other.document("rdsmaster", "Master-0123456789-abcdef-XYZ"),
    )
    .await;
    is_refused(&env, "host_mismatch").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_with_another_name_of_the_same_server_is_accepted() {
    let env = Environment::open(Setup::default()).await;
    let master = env.document("rdsmaster", "Master-0123456789-abcdef-XYZ");
    env.put(MASTER_SECRET, &with(master, "host", json!("localhost")))
        .await;
    env.run_ok(&["rotate", "shop"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_connection_has_the_remedy_of_its_cause() {
    let env = Environment::open(Setup::default()).await;
    let mut root = env.root("shop").await;
    for (fault, code, remedy, mend) in [
        (
            "ALTER ROLE app CONNECTION LIMIT 0",
            "db_unreachable",
            "ALTER ROLE \"app\" CONNECTION LIMIT",
            "ALTER ROLE app CONNECTION LIMIT -1",
        ),
        (
            "REVOKE CONNECT ON DATABASE shop FROM PUBLIC; GRANT CONNECT ON DATABASE shop TO rdsmaster",
            "db_refused",
            "GRANT CONNECT ON DATABASE \"shop\" TO \"app\"",
            "GRANT CONNECT ON DATABASE \"shop\" TO \"app\"",
        ),
        (
            "ALTER ROLE app NOLOGIN",
            "current_signin_failed",
            "ALTER ROLE \"app\" LOGIN",
            "ALTER ROLE \"app\" LOGIN",
        ),
        (
            "ALTER ROLE app VALID UNTIL '2020-01-01'",
            "current_signin_failed",
            "ALTER ROLE \"app\" VALID UNTIL 'infinity'",
            "ALTER ROLE \"app\" VALID UNTIL 'infinity'",
        ),
    ] {
        run(&mut root, fault).await;
        let message = is_refused(&env, code).await;
        assert!(message.contains(remedy), "{message}");
        run(&mut root, mend).await;
        env.run_ok(&["check", "shop"]).await;
    }
    env.run_ok(&["rotate", "shop"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_proof_is_a_failed_step() {
    let env = Environment::open(Setup::default()).await;
    let mut root = env.root("postgres").await;
    let hba: String = value(&mut root, "SHOW hba_file").await;
    let lines = std::fs::read_to_string(&hba).unwrap();
    let rejected = format!("host all app_clone 127.0.0.1/32 ident\n{lines}");
    std::fs::write(&hba, rejected).unwrap();
    run(&mut root, "SELECT pg_reload_conf()").await;
    let failed = env.twinkey(&["rotate", "shop"]).await;
    assert_eq!(failed.status.code(), Some(1));
    let shown = String::from_utf8(failed.stdout).unwrap();
    assert!(shown.contains("✗ test"), "{shown}");
    assert!(!shown.contains("✓ test"), "{shown}");
    let history = env.run_ok(&["history", "--json"]).await;
    let runs: Json = serde_json::from_str(&history).unwrap();
    let steps = runs[0]["steps"].as_array().unwrap();
    let test = steps.iter().find(|step| step["name"] == "test").unwrap();
    assert_eq!(test["state"], "failed", "{test:#}");
    let code = &runs[0]["error"]["code"];
    assert_eq!(code, "pending_signin_failed", "{runs:#}");
}
