//! Rotation functions after AWS's contract (`tests/clients/rotation_functions.py`), started by RotateSecret.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::error::ProvideErrorMetadata;
use aws_sdk_secretsmanager::operation::describe_secret::DescribeSecretOutput;
use secrecy::SecretString;
use serde_json::{Value as Json, json};
use tokio::process::{Child, Command};

use super::{IssuedKey, add_key, serve_store};
use twinkey_testkit::environment::mariadb::MariadbEnvironment;
use twinkey_testkit::environment::{
    Backend, Database, Environment, FIRST, MASTER_SECRET, Setup, free_address, until,
};

/// The ARN of a function.
fn function(name: &str) -> String {
    format!("arn:aws:lambda:eu-west-1:123456789012:function:{name}")
}

/// The functions, which use the served store at `url`.
fn start_functions(folder: &Path, key: &IssuedKey, url: &str, port: &str) -> Child {
    let cache = std::env::var_os("TWINKEY_CACHE").unwrap_or_else(|| ".cache".into());
    let manifest = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let log = std::fs::File::create(folder.join("functions.log")).unwrap();
    Command::new(manifest.join(cache).join("venv/bin/python"))
        .arg(manifest.join("tests/clients/rotation_functions.py"))
        .arg(port)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("HOME", folder)
        .env("AWS_ENDPOINT_URL_SECRETS_MANAGER", url)
        .env("AWS_DEFAULT_REGION", "eu-west-1")
        .env("AWS_ACCESS_KEY_ID", &key.id)
        .env("AWS_SECRET_ACCESS_KEY", &key.secret)
        .stdout(log.try_clone().unwrap())
        .stderr(Stdio::from(log))
        .kill_on_drop(true)
        .spawn()
        .expect("scripts/setup makes .cache/venv")
}

async fn describe(client: &Client, secret: &str) -> DescribeSecretOutput {
    let describe = client.describe_secret().secret_id(secret);
    describe.send().await.unwrap()
}

async fn current(client: &Client, secret: &str) -> Json {
    let value = client.get_secret_value().secret_id(secret);
    let value = value.send().await.unwrap();
    serde_json::from_str(value.secret_string().unwrap()).unwrap()
}

/// A rotation by a function with this token, and the value afterwards.
async fn rotate(client: &Client, secret: &str, name: &str, token: &str) -> Json {
    let rotate = client.rotate_secret().secret_id(secret);
    let rotate = rotate.rotation_lambda_arn(function(name));
    let answer = rotate.client_request_token(token).send().await.unwrap();
    assert_eq!(answer.version_id(), Some(token));
    until(
        "the version is AWSCURRENT and the run is over",
        async || {
            let seen = describe(client, secret).await;
            let labels = &seen.version_ids_to_stages().unwrap()[token];
            *labels == ["AWSCURRENT"] && seen.last_rotated_date().is_some()
        },
    )
    .await;
    current(client, secret).await
}

async fn functions_rotate<D: Database>(env: Environment<D>, admin: &str) {
    let (address, url) = (free_address(), |address: &str| format!("http://{address}"));
    let functions = free_address();
    let named = ["single", "multi", "broken"]
        .map(|name| format!("\"{}\" = \"http://{functions}/{name}\"", function(name)));
    let more = format!(", functions = {{ {} }}", named.join(", "));
    serve_store(&env, &address, &more);
    let key = add_key(&env, "functions", &["*"], "*").await;
    let _serve = env.serve(admin).await;
    let port = functions.rsplit(':').next().unwrap();
    let folder = env.folder.path();
    let _functions = start_functions(folder, &key, &url(&address), port);
    let log = || std::fs::read_to_string(folder.join("functions.log")).unwrap();
    until("the functions listen", async || log().contains("listening")).await;
    let client = Client::new(&key.config(&url(&address)));
    let signs_in = async |document: &Json| {
        let password = SecretString::from(document["password"].as_str().unwrap());
        let user = document["username"].as_str().unwrap();
        env.connect(user, &password, "shop").await.is_ok()
    };

    // One user: its password changes.
    let first = env.document(&env.user, FIRST);
    env.put("app/single", &first).await;
    let token = "1".repeat(32);
    let second = rotate(&client, "app/single", "single", &token).await;
    assert_eq!(second["username"], first["username"]);
    assert_eq!(second["zeta"], first["zeta"]);
    assert!(signs_in(&second).await && !signs_in(&first).await);
    let seen = describe(&client, "app/single").await;
    assert_eq!(
        (seen.rotation_enabled(), seen.rotation_lambda_arn()),
        (Some(true), Some(&*function("single")))
    );

    // Two users: both work, and the third rotation changes the first again.
    let mut document = second.clone();
    document["masterarn"] = json!(MASTER_SECRET);
    env.put("app/multi", &document).await;
    let clone = rotate(&client, "app/multi", "multi", &"2".repeat(32)).await;
    assert_eq!(clone["username"], format!("{}_clone", env.user));
    assert!(signs_in(&second).await && signs_in(&clone).await);
    let third = "3".repeat(32);
    let third = rotate(&client, "app/multi", "multi", &third).await;
    assert_eq!(third["username"], first["username"]);
    assert!(signs_in(&third).await && signs_in(&clone).await && !signs_in(&second).await);

    // A function that fails leaves AWSPENDING, and no other function continues with it.
    let token = "4".repeat(32);
    let broken = client.rotate_secret().secret_id("app/multi");
    let broken = broken.rotation_lambda_arn(function("broken"));
    broken.client_request_token(&token).send().await.unwrap();
    until("the function failed", async || {
        log().contains("/broken testSecret")
    })
    .await;
    assert_eq!(current(&client, "app/multi").await, third);
    let again = client.rotate_secret().secret_id("app/multi");
    let again = again.rotation_lambda_arn(function("multi")).send().await;
    let again = again.unwrap_err();
    assert_eq!(again.code(), Some("InvalidRequestException"));
    assert!(again.message().unwrap().contains("will be reattempted"));
    let cancel = client.cancel_rotate_secret().secret_id("app/multi");
    let canceled = cancel.send().await.unwrap();
    assert_eq!(canceled.version_id(), Some(&*token));
    let remove = client.update_secret_version_stage().secret_id("app/multi");
    let remove = remove
        .version_stage("AWSPENDING")
        .remove_from_version_id(&token);
    remove.send().await.unwrap();
    let fifth = rotate(&client, "app/multi", "multi", &"5".repeat(32)).await;
    assert_eq!(fifth["username"], clone["username"]);
    assert!(signs_in(&fifth).await);

    let cancel = client.cancel_rotate_secret().secret_id("app/multi");
    cancel.send().await.unwrap();
    let seen = describe(&client, "app/multi").await;
    assert_eq!(seen.rotation_enabled(), Some(false));
    let worker = std::fs::read_to_string(folder.join("serve.log")).unwrap();
    assert!(worker.contains("rotation by function failed"), "{worker}");
    for document in [&first, &second, &clone, &third] {
        let password = document["password"].as_str().unwrap();
        assert!(!worker.contains(password), "{worker}");
    }
}

fn setup(admin: &str) -> Setup {
    Setup {
        config: format!("[server]\nlisten = \"{admin}\""),
        ..Setup::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_rotate_users_of_postgres() {
    let admin = free_address();
    let env = Environment::open_with(setup(&admin), Backend::Local).await;
    functions_rotate(env, &admin).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_rotate_users_of_mariadb() {
    let admin = free_address();
    let env = MariadbEnvironment::on_mariadb_with(setup(&admin), Backend::Local).await;
    functions_rotate(env, &admin).await;
}
