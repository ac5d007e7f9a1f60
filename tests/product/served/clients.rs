//! Clients of AWS in Python with another endpoint (`tests/clients/served.py`).

use std::path::PathBuf;

use tokio::process::Command;

use super::ServedWorker;

fn python() -> PathBuf {
    let cache = std::env::var_os("TWINKEY_CACHE").unwrap_or_else(|| ".cache".into());
    let manifest = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    manifest.join(cache).join("venv-clients/bin/python")
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs clients that are installed by make test-clients"]
async fn aws_s_own_clients_work_with_the_served_store() {
    let worker = ServedWorker::open().await;
    let admin = worker.key("admin", &["*"], "*").await;
    let reads = ["GetSecretValue", "DescribeSecret"];
    let reader = worker.key("reader", &reads, "prod/*").await;
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/clients/served.py");
    let output = Command::new(python())
        .arg(script)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("HOME", worker.env.folder.path())
        .env("AWS_ENDPOINT_URL_SECRETS_MANAGER", worker.url())
        .env("AWS_DEFAULT_REGION", "eu-west-1")
        .env("AWS_ACCESS_KEY_ID", &admin.id)
        .env("AWS_SECRET_ACCESS_KEY", &admin.secret)
        .env("READER_ID", &reader.id)
        .env("READER_SECRET", &reader.secret)
        .output()
        .await
        .expect("the clients are installed by make test-clients");
    let message = String::from_utf8_lossy(&output.stderr);
    println!("{message}");
    assert!(output.status.success(), "{message}");
    assert!(message.contains("Ran 9 tests"), "{message}");
}
