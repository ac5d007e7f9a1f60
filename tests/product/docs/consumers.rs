//! The examples of docs/consumers.md during rotations.
//!
//! Each opens connections with `psql` or sqlx. After two rotations its cached credentials are
//! refused. It must connect nevertheless, after it reads the secret once more.

#[path = "../../../docs/consumers/reader.rs"]
mod reader;

use std::time::Duration;

use secrecy::SecretString;
use serde_json::Value as Json;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;

use super::blocks::repository;
use super::parsed::parse_with;
use twinkey_testkit::aws::sdk_config;
use twinkey_testkit::environment::{Environment, SECRET, Setup};

#[tokio::test(flavor = "multi_thread")]
async fn the_rust_example_reads_the_secret_again_when_refused() {
    let env = Environment::open(Setup::default()).await;
    let config = sdk_config(&env.stand_in().url());
    let mut credentials = reader::Credentials {
        client: aws_sdk_secretsmanager::Client::new(&config),
        secret_id: SECRET.into(),
        keep: Duration::from_secs(3600),
        kept: None,
    };
    let open = async |it: Json| {
        let password = SecretString::from(it["password"].as_str().unwrap());
        env.connect(it["username"].as_str().unwrap(), &password, "shop")
            .await
    };
    let is_refused = |error: &sqlx::Error| {
        let code = error.as_database_error().and_then(|error| error.code());
        code.is_some_and(|code| code.starts_with("28"))
    };
    let reads = || env.stand_in().faults().count("GetSecretValue");
    reader::connect(&mut credentials, open, is_refused)
        .await
        .unwrap();
    for _ in 0..2 {
        env.run_ok(&["rotate", "shop"]).await;
    }
    let before = reads();
    reader::connect(&mut credentials, open, is_refused)
        .await
        .unwrap();
    assert_eq!(reads(), before + 1, "the refusal causes one read");
    reader::connect(&mut credentials, open, is_refused)
        .await
        .unwrap();
    assert_eq!(reads(), before + 1, "the new credentials are cached");
    // Other errors are not retried.
    let lost = async |_: Json| Err::<(), _>(sqlx::Error::PoolClosed);
    reader::connect(&mut credentials, lost, is_refused)
        .await
        .unwrap_err();
    assert_eq!(reads(), before + 1);
}

/// Runs a program that opens a connection for each input line, and prints the user and the number
/// of its reads of the secret.
async fn gets_in(env: &Environment, mut program: Command) {
    let mut child = program
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env("AWS_REGION", "eu-west-1")
        .env("AWS_DEFAULT_REGION", "eu-west-1")
        .env("AWS_ENDPOINT_URL", env.stand_in().url())
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut to = child.stdin.take().unwrap();
    let mut from = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut ask = async || {
        to.write_all(b"connect\n").await.unwrap();
        from.next_line().await.unwrap().expect("it answers")
    };
    assert_eq!(ask().await, "app 1");
    env.run_ok(&["rotate", "shop"]).await;
    // The cached credentials still sign in.
    assert_eq!(ask().await, "app 1");
    env.run_ok(&["rotate", "shop"]).await;
    assert_eq!(ask().await, "app 2");
    assert_eq!(ask().await, "app 2");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_example_reads_the_secret_again_when_refused() {
    let env = Environment::open(Setup::default()).await;
    let script = r#"
import os, subprocess, sys
import boto3, reader
class Counted:
    reads, real = 0, boto3.client("secretsmanager")
    def get_secret_value(self, **asked):
        self.reads += 1
        return self.real.get_secret_value(**asked)
client = Counted()
credentials = reader.Credentials("prod/shop", keep=3600, client=client)
def psql(it):
    place = f"host={it['host']} port={it['port']} dbname={it['dbname']} user={it['username']}"
    done = subprocess.run(["psql", "-X", "-A", "-t", "-c", "SELECT session_user", place], text=True,
                          capture_output=True, env={**os.environ, "PGPASSWORD": it["password"]})
    if done.returncode:
        raise PermissionError(done.stderr)
    return done.stdout.strip()
refused = lambda error: "password authentication failed" in str(error)
for line in sys.stdin:
    print(reader.connect(credentials, psql, refused), client.reads, flush=True)
"#;
    let mut python = Command::new(repository().join(".cache/venv/bin/python"));
    python
        .args(["-c", script])
        .env("PYTHONPATH", repository().join("docs/consumers"));
    python.env("PYTHONDONTWRITEBYTECODE", "1");
    gets_in(&env, python).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_node_example_reads_the_secret_again_when_refused() {
    let env = Environment::open(Setup::default()).await;
    let script = format!(
        r#"
import {{ execFileSync }} from "node:child_process";
import {{ createInterface }} from "node:readline";
import {{ Credentials, connect }} from "{}";
let reads = 0;
const read = (id) => {{
  reads += 1;
  const asked = {{ method: "POST", body: JSON.stringify({{ SecretId: id }}), headers: {{ "x-amz-target": "secretsmanager.GetSecretValue" }} }};
  return fetch(process.env.AWS_ENDPOINT_URL, asked).then((answer) => answer.json()).then((it) => it.SecretString);
}};
const credentials = new Credentials("prod/shop", {{ keep: 3_600_000, read }});
const psql = (it) => execFileSync("psql", ["-X", "-A", "-t", "-c", "SELECT session_user", "-h", it.host, "-p", `${{it.port}}`, "-U", it.username, "-d", it.dbname],
  {{ env: {{ ...process.env, PGPASSWORD: it.password }}, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] }}).trim();
const refused = (error) => `${{error.stderr}}`.includes("password authentication failed");
for await (const _ of createInterface({{ input: process.stdin }})) {{
  console.log(`${{await connect(credentials, psql, refused)}} ${{reads}}`);
}}
"#,
        repository().join("docs/consumers/reader.mjs").display()
    );
    let mut node = Command::new("node");
    node.args(["--input-type=module", "-e", &script]);
    gets_in(&env, node).await;
}

#[test]
fn the_examples_in_java_and_go_are_parsed() {
    let script = r#"
import sys
from tree_sitter import Language, Parser
import tree_sitter_go, tree_sitter_java
name, text = sys.argv[1], sys.stdin.buffer.read()
language = tree_sitter_go if name.endswith(".go") else tree_sitter_java
tree = Parser(Language(language.language())).parse(text)
sys.exit(f"{name} has an error" if tree.root_node.has_error else 0)
"#;
    let python = repository().join(".cache/venv-docs/bin/python");
    assert!(
        python.exists(),
        "run scripts/setup, which makes .cache/venv-docs"
    );
    for name in ["Reader.java", "reader.go"] {
        let text = std::fs::read_to_string(repository().join("docs/consumers").join(name)).unwrap();
        let read = |text: &str| parse_with(&python.to_string_lossy(), &["-c", script, name], text);
        read(&text).unwrap();
        read(&text.replacen('{', "", 1)).unwrap_err();
    }
}
