//! Commands sent to a running worker (`--server`) over TLS with a token, and reloads of its token
//! and certificate.

use reqwest::{Certificate, Client, StatusCode};
use serde_json::Value as Json;
use twinkey_stores::stage;

use twinkey_testkit::environment::{Environment, Setup, free_address, until};
use twinkey_testkit::pki::{Pki, write_key};

const TOKEN: &str = "an-admin-token-of-some-length";

/// A worker with TLS and a token.
struct TlsWorker {
    env: Environment,
    pki: Pki,
    url: String,
    _serve: tokio::process::Child,
}

impl TlsWorker {
    async fn start() -> Self {
        let address = free_address();
        let pki = Pki::new();
        let env = Environment::open(Setup {
            config: format!(
                "[server]\nlisten = \"{address}\"\nadmin_token_file = \"token\"\ntls = {{ cert = \"cert.pem\", key = \"key.pem\" }}"
            ),
            ..Setup::default()
        })
        .await;
        let write = |name: &str, text: &str| {
            std::fs::write(env.folder.path().join(name), text).unwrap();
        };
        // A readable one would be a finding of the local `check` only.
        write_key(&env.folder.path().join("token"), TOKEN);
        write("cert.pem", &pki.server.0);
        write_key(&env.folder.path().join("key.pem"), &pki.server.1);
        let log = std::fs::File::create(env.folder.path().join("serve.log")).unwrap();
        let mut command = env.command(env!("CARGO_BIN_EXE_twinkey"));
        let serve = command.arg("serve").stderr(log).spawn().unwrap();
        let url = address.replace("127.0.0.1", "https://localhost");
        let worker = Self {
            env,
            url,
            pki,
            _serve: serve,
        };
        let client = client(&worker.pki);
        until("the worker is ready", async || {
            let ready = client.get(format!("{}/readyz", worker.url)).send().await;
            ready.is_ok_and(|answer| answer.status().is_success())
        })
        .await;
        worker
    }

    /// The arguments of a command that uses this worker.
    fn to<'a>(&'a self, args: &[&'a str]) -> Vec<&'a str> {
        let ca_file = self.pki.ca_file.to_str().unwrap();
        let reach = [
            "--server",
            &self.url,
            "--token-file",
            "token",
            "--ca-file",
            ca_file,
        ];
        [args, &reach].concat()
    }

    async fn json(&self, args: &[&str]) -> Json {
        let printed = self
            .env
            .run_ok(&self.to(&[args, &["--json"]].concat()))
            .await;
        serde_json::from_str(&printed).unwrap()
    }
}

fn client(pki: &Pki) -> Client {
    let root = Certificate::from_pem(&std::fs::read(&pki.ca_file).unwrap()).unwrap();
    Client::builder().tls_certs_only([root]).build().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_sent_to_a_worker_print_the_same_as_local_ones() {
    let worker = TlsWorker::start().await;
    let env = &worker.env;
    let here = async |args: &[&str]| -> Json {
        let printed = env.run_ok(&[args, &["--json"]].concat()).await;
        serde_json::from_str(&printed).unwrap()
    };

    let shown = env
        .run_ok(&worker.to(&["rotate", "shop", "--reason", "a test"]))
        .await;
    for step in ["create", "set", "test", "finish", "app -> app_clone"] {
        assert!(shown.contains(step), "{step}: {shown}");
    }
    assert_eq!(env.read(stage::CURRENT).await.0["username"], "app_clone");
    let run = worker.json(&["rotate", "shop"]).await;
    assert_eq!(
        (&run["state"], &run["to_user"]),
        (&"succeeded".into(), &"app".into())
    );

    for command in [
        ["status"].as_slice(),
        &["status", "shop"],
        &["history"],
        &["history", "shop", "--limit", "1"],
        &["plan", "shop"],
        &["check"],
        &["check", "shop"],
    ] {
        let (mut there, here) = (worker.json(command).await, here(command).await);
        if command[0] == "status" {
            // Only the worker has signed in at the endpoints.
            assert_eq!(there[0]["endpoints"][0]["state"], "up");
            there[0]["endpoints"][0]["state"] = "unknown".into();
            let host = format!("127.0.0.1:{}", env.server.port());
            assert_eq!(here[0]["endpoints"][0]["host"], host);
            // It was read a moment later.
            let age = there[0]["password_age"].as_u64().unwrap();
            assert!(age <= here[0]["password_age"].as_u64().unwrap());
            there[0]["password_age"] = here[0]["password_age"].clone();
        }
        assert_eq!(there, here, "{command:?}");
    }

    worker.json(&["pause", "shop"]).await;
    assert_eq!(here(&["status"]).await[0]["state"], "paused");
    worker.json(&["resume", "shop"]).await;
    assert_eq!(here(&["status"]).await[0]["state"], "idle");

    let back = worker
        .json(&["rollback", "shop", "--reason", "a test"])
        .await;
    assert_eq!(
        (&back["from_user"], &back["to_user"]),
        (&"app".into(), &"app_clone".into())
    );
    assert_eq!(env.read(stage::CURRENT).await.0["username"], "app_clone");
}

#[tokio::test(flavor = "multi_thread")]
async fn connection_errors_differ_from_refusals() {
    let worker = TlsWorker::start().await;
    let env = &worker.env;
    let ca_file = worker.pki.ca_file.to_str().unwrap();
    std::fs::write(
        env.folder.path().join("wrong"),
        "a-wrong-token-of-some-length",
    )
    .unwrap();

    let message = env
        .fails(&worker.to(&["status", "shup"]), 2, "config_invalid")
        .await;
    assert!(message.contains("shup"), "{message}");
    let wrong = [
        "status",
        "--server",
        &worker.url,
        "--ca-file",
        ca_file,
        "--token-file",
        "wrong",
    ];
    let message = env.fails(&wrong, 2, "config_invalid").await;
    assert!(
        message.contains("token") && !message.contains("a-wrong-token"),
        "{message}"
    );
    let message = env
        .fails(&["status", "--server", &worker.url], 1, "internal")
        .await;
    assert!(
        message.contains("certificate"),
        "the root is unknown: {message}"
    );
    let plain = worker.url.replace("https", "http");
    env.fails(&["status", "--server", &plain], 1, "internal")
        .await;
    let unused = format!("http://{}", free_address());
    let message = env
        .fails(&["status", "--server", &unused], 1, "internal")
        .await;
    assert!(message.contains("refused"), "{message}");
    for (args, says) in [
        (worker.to(&["serve"]), "leave out --server"),
        (worker.to(&["check", "--offline"]), "leave out one"),
        (vec!["status", "--server", "ftp://x"], "--server"),
        (
            vec!["status", "--server", "http://user:token@x"],
            "--server",
        ),
        (vec!["status", "--token-file", "token"], "--server"),
    ] {
        let message = env.fails(&args, 2, "config_invalid").await;
        assert!(message.contains(says), "{args:?}: {message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn token_and_certificate_reload_and_invalid_ones_are_refused() {
    let worker = TlsWorker::start().await;
    let path = |name: &str| worker.env.folder.path().join(name);
    let asked = async |pki: &Pki, token: &str| {
        let url = format!("{}/v1/rotations", worker.url);
        let answer = client(pki).get(url).bearer_auth(token).send().await;
        answer.map(|answer| answer.status()).ok()
    };
    let is_logged = |what: &str| {
        std::fs::read_to_string(path("serve.log"))
            .unwrap()
            .contains(what)
    };

    std::fs::write(path("token"), "short").unwrap();
    std::fs::write(path("key.pem"), &Pki::new().server.1).unwrap();
    until("the bad ones are refused", async || {
        is_logged("new admin token refused") && is_logged("new certificate refused")
    })
    .await;
    assert_eq!(asked(&worker.pki, TOKEN).await, Some(StatusCode::OK));

    let (second, other) = ("the-second-token-0123", Pki::new());
    std::fs::write(path("token"), second).unwrap();
    std::fs::write(path("cert.pem"), &other.server.0).unwrap();
    std::fs::write(path("key.pem"), &other.server.1).unwrap();
    until("both are reloaded", async || {
        asked(&other, second).await == Some(StatusCode::OK)
    })
    .await;
    assert_eq!(asked(&other, TOKEN).await, Some(StatusCode::UNAUTHORIZED));
    assert_eq!(
        asked(&worker.pki, second).await,
        None,
        "the old certificate is not used"
    );
}
