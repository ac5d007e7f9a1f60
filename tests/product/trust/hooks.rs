//! The environment of a hook's program, while secrets are in the environment of the worker.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;

use secrecy::ExposeSecret;

use twinkey_testkit::environment::{Backend, Environment, Setup, free_address, run, until};

const TOKEN: &str = "Token-0123456789-abcdef-XYZ";
const KEY: &str = "Webhook-0123456789-abcdef-XYZ";
const OTHER: &str = "Other-0123456789-abcdef-XYZ";

/// A hook that prints its environment to the file.
fn hook(file: &Path, keys: &str) -> String {
    format!(
        "[[hook]]\nkind = \"exec\"\n{keys}\ncommand = [\"/bin/sh\", \"-c\", \"/usr/bin/env > {0}.new; mv {0}.new {0}\"]\n",
        file.display()
    )
}

fn printed(file: &Path) -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(file).unwrap();
    text.lines()
        .filter_map(|line| line.split_once('='))
        // The shell sets these itself.
        .filter(|(name, _)| !["PWD", "OLDPWD", "SHLVL", "_"].contains(name))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// Runs one rotation under a worker with secrets in its environment. Returns the environments of a
/// hook without `aws`, and of one with it.
async fn environments(keys: [&str; 2]) -> [BTreeMap<String, String>; 2] {
    let folder = tempfile::tempdir().unwrap();
    let files = [folder.path().join("one"), folder.path().join("other")];
    let hooks = hook(&files[0], keys[0]) + &hook(&files[1], keys[1]);
    let address = free_address();
    let setup = Setup {
        config: format!(
            "{hooks}\n[[notify]]\nkind = \"webhook\"\nurl = \"http://127.0.0.1:9/\"\nkey = \"env:OUR_KEY\"\n\
             [server]\nlisten = \"{address}\"\nadmin_token = \"env:OUR_TOKEN\"\n"
        ),
        ..Setup::default()
    };
    let env = Environment::open_with(setup, Backend::Local).await;
    run(&mut env.root("postgres").await, "CREATE DATABASE journal").await;
    let superuser = env.server.superuser();
    let journal = format!(
        "url = \"postgres://{}@127.0.0.1:{}/journal\"\npassword = \"env:OUR_JOURNAL\"",
        superuser.username,
        env.server.port()
    );
    let config = std::fs::read_to_string(env.config()).unwrap();
    let config = config.replace("url = \"sqlite://journal.db\"", &journal);
    std::fs::write(env.config(), config).unwrap();

    let mut command = env.command(env!("CARGO_BIN_EXE_twinkey"));
    command
        .arg("serve")
        .env("OUR_TOKEN", TOKEN)
        .env("OUR_KEY", KEY)
        .env("OUR_JOURNAL", superuser.password.expose_secret())
        .env("AWS_REGION", "eu-west-1")
        .env("AWS_NOT_OF_THE_SDK", OTHER)
        .env("TWINKEY__LIMITS__PER_HOST", "3")
        .env("UNRELATED", OTHER)
        .stderr(Stdio::null());
    let _serve = command.spawn().unwrap();
    until("the worker accepts a rotation", async || {
        let url = format!("http://{address}/v1/rotations/shop/rotate");
        let sent = reqwest::Client::new().post(url).bearer_auth(TOKEN).send();
        sent.await.is_ok_and(|response| response.status() == 202)
    })
    .await;
    until("both hooks have run", async || {
        files.iter().all(|file| file.exists())
    })
    .await;
    let environments = files.map(|file| printed(&file));
    for values in &environments {
        for secret in [TOKEN, KEY, OTHER, superuser.password.expose_secret()] {
            assert!(
                !values.values().any(|value| value.contains(secret)),
                "{values:?}"
            );
        }
    }
    environments
}

fn names(values: &BTreeMap<String, String>) -> Vec<&str> {
    values.keys().map(String::as_str).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_gets_aws_variables_only_with_the_key_aws() {
    let [plain, with_aws] = environments(["", "aws = true"]).await;
    let run = [
        "TWINKEY_AT",
        "TWINKEY_EVENT",
        "TWINKEY_FROM_USER",
        "TWINKEY_ROTATION",
        "TWINKEY_RUN",
        "TWINKEY_SECRET",
        "TWINKEY_TO_USER",
        "TWINKEY_VERSION_ID",
    ];
    // HOME is absent where the test runner has none.
    let home = std::env::var_os("HOME").map(|_| "HOME");
    let base: Vec<&str> = home.into_iter().chain(["PATH"]).chain(run).collect();
    assert_eq!(names(&plain), base);
    let aws: Vec<&str> = names(&with_aws)
        .into_iter()
        .filter(|name| !base.contains(name))
        .collect();
    for name in ["AWS_ACCESS_KEY_ID", "AWS_REGION", "AWS_SECRET_ACCESS_KEY"] {
        assert!(aws.contains(&name), "{aws:?}");
    }
    assert!(aws.iter().all(|name| name.starts_with("AWS_")), "{aws:?}");
    assert_eq!(plain["TWINKEY_ROTATION"], "shop");
}
