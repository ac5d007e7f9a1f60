//! `twinkey secret` through the served store with and without TLS, and `twinkey keys`.

use std::process::Output;

use twinkey_testkit::environment::{Backend, Environment, SECRET, Setup, free_address, until};
use twinkey_testkit::pki::{Pki, write_key};

use super::{IssuedKey, ServedWorker, add_key, serve_store};

async fn as_key(
    env: &Environment,
    key: &IssuedKey,
    args: &[&str],
    more: &[(&str, &str)],
) -> Output {
    let mut command = env.command(env!("CARGO_BIN_EXE_twinkey"));
    command
        .args(args)
        .env("AWS_ACCESS_KEY_ID", &key.id)
        .env("AWS_SECRET_ACCESS_KEY", &key.secret)
        .envs(more.iter().copied());
    command.output().await.unwrap()
}

fn printed(output: &Output) -> String {
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{message}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_use_the_served_store_with_a_key_else_the_file() {
    let worker = ServedWorker::open().await;
    let env = &worker.env;
    let reads = ["GetSecretValue", "ListSecrets", "ListSecretVersionIds"];
    let key = worker.key("app", &reads, SECRET).await;
    for args in [
        &["secret", "get", SECRET][..],
        &["secret", "get", SECRET, "--field", "username"],
        &["secret", "versions", SECRET],
        &["secret", "versions", SECRET, "--json"],
    ] {
        let served = printed(&as_key(env, &key, args, &[]).await);
        assert_eq!(served, env.run_ok(args).await, "{args:?}");
    }
    // The key may read one of the two secrets.
    let served = printed(&as_key(env, &key, &["secret", "list"], &[]).await);
    assert_eq!(served, format!("{SECRET}\n"));
    assert_eq!(
        env.run_ok(&["secret", "list"]).await,
        format!("prod/master\n{SECRET}\n")
    );

    let file = env.folder.path().join("document.json");
    std::fs::write(
        &file,
        env.document("app", "Other-0123456789-abcdef").to_string(),
    )
    .unwrap();
    let file_name = file.to_str().unwrap();
    let put = ["secret", "put", SECRET, "--force", "--file", file_name];
    let denied = as_key(env, &key, &put, &[]).await;
    let message = String::from_utf8_lossy(&denied.stderr);
    assert!(message.contains("error[store_denied]: "), "{message}");
    let writer = worker
        .key("ci", &["PutSecretValue", "CreateSecret"], "prod/*")
        .await;
    printed(&as_key(env, &writer, &put, &[]).await);
    let new = [
        "secret",
        "put",
        "prod/new",
        "--file",
        file.to_str().unwrap(),
    ];
    printed(&as_key(env, &writer, &new, &[]).await);
    let password = ["secret", "get", "prod/new", "--field", "password"];
    assert_eq!(env.run_ok(&password).await, "Other-0123456789-abcdef\n");
    let removed = IssuedKey {
        id: "TWKYTHISKEYDOESNOTEX".into(),
        ..key
    };
    let message = as_key(env, &removed, &["secret", "list"], &[]).await;
    let message = String::from_utf8_lossy(&message.stderr).into_owned();
    assert!(message.contains("UnrecognizedClientException"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_is_served_over_tls() {
    let (admin, address) = (free_address(), free_address());
    let pki = Pki::new();
    let plan = Setup {
        config: format!("[server]\nlisten = \"{admin}\""),
        ..Setup::default()
    };
    let env = Environment::open_with(plan, Backend::Local).await;
    serve_store(
        &env,
        &address,
        ", tls = { cert = \"cert.pem\", key = \"key.pem\" }",
    );
    let write = |name: &str, text: &str| {
        std::fs::write(env.folder.path().join(name), text).unwrap();
    };
    write("cert.pem", &pki.server.0);
    write_key(&env.folder.path().join("key.pem"), &pki.server.1);
    let key = add_key(&env, "app", &["GetSecretValue"], "*").await;
    let _serve = env.serve(&admin).await;
    let url = address.replace("127.0.0.1", "https://localhost");
    let more = [
        ("AWS_ENDPOINT_URL_SECRETS_MANAGER", &*url),
        ("SSL_CERT_FILE", pki.ca_file.to_str().unwrap()),
    ];
    let args = ["secret", "get", SECRET, "--field", "username"];
    until("the store is served", async || {
        let output = as_key(&env, &key, &args, &more).await;
        output.status.success() && output.stdout == b"app\n"
    })
    .await;
    let strange = as_key(&env, &key, &args, &more[..1]).await;
    let message = String::from_utf8_lossy(&strange.stderr);
    assert!(message.contains("error[store_unavailable]: "), "{message}");
}

#[tokio::test]
async fn useless_keys_and_keys_without_a_served_store_are_refused() {
    let env = Environment::open_with(Setup::default(), Backend::Local).await;
    let add = ["keys", "add", "app", "--secret", "*"];
    let message = env.fails(&add, 2, "config_invalid").await;
    assert!(message.contains("the config has none"), "{message}");
    serve_store(&env, &free_address(), "");
    let slip = [&add[..], &["--action", "GetSecret"]].concat();
    let message = env.fails(&slip, 2, "config_invalid").await;
    assert!(message.contains("\"GetSecret\" is no action"), "{message}");
    std::fs::write(env.folder.path().join("keys.toml"), "[[key]]\nid = 1\n").unwrap();
    let message = env.fails(&["keys", "list"], 2, "config_invalid").await;
    assert!(message.contains("keys.toml"), "{message}");
    let message = env.fails(&["serve"], 2, "config_invalid").await;
    assert!(message.contains("keys.toml"), "{message}");
}
