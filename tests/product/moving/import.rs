//! `import --from-aws`: an account with 40 secrets becomes a valid config with the same schedules.

use std::collections::BTreeMap;
use std::process::Output;

use chrono::{DateTime, Utc};
use serde_json::Value as Json;
use tempfile::TempDir;
use tokio::process::Command;
use twinkey::config::settings::Settings;
use twinkey::schedule::Window;

use super::account::{PASSWORD, rules, serve};

fn twinkey(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_twinkey"));
    command
        .args(args)
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env_remove("AWS_REGION");
    command
}

async fn import(more: &[&str]) -> Output {
    let url = serve().await;
    let args = [
        "import",
        "--from-aws",
        "--region",
        "eu-west-1",
        "--endpoint-url",
        &url,
    ];
    let output = twinkey(&[&args, more].concat()).output().await.unwrap();
    assert!(output.status.success(), "{output:?}");
    output
}

fn at(hour: &str) -> DateTime<Utc> {
    format!("{hour}:00:00Z").parse().unwrap()
}

fn saved(text: &str) -> (TempDir, Settings) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("twinkey.toml");
    std::fs::write(&file, text).unwrap();
    let settings = twinkey::config::load(Some(&file), &BTreeMap::new());
    (folder, settings.unwrap_or_else(|errors| panic!("{errors}")))
}

#[tokio::test]
async fn forty_secrets_become_a_valid_config_with_the_same_windows() {
    let output = import(&[]).await;
    let text = String::from_utf8(output.stdout).unwrap();
    let (folder, settings) = saved(&text);
    let mut check = twinkey(&["check", "--offline"]);
    let checked = check.current_dir(folder.path()).output().await.unwrap();
    assert!(checked.status.success(), "{checked:?}");

    let mut compared = 0;
    for rotation in &settings.rotations {
        let rules = rules();
        let rule = rules
            .iter()
            .find(|rule| rotation.secret.ends_with(&format!("/{}", rule.name)));
        let rule = rule.unwrap_or_else(|| panic!("{} must not be converted", rotation.secret));
        let plan = rotation.windows.as_ref().unwrap();
        let (mut after, anchor) = (at("2026-11-30T23"), at("2026-12-01T00"));
        for (opens, closes) in rule.windows {
            let window = plan.next_window(after, anchor);
            let expected = Window {
                opens: at(opens),
                closes: at(closes),
            };
            assert_eq!(window, Some(expected), "{}", rotation.secret);
            after = at(opens);
            compared += 1;
        }
        assert!(
            rotation
                .master_secret
                .as_ref()
                .unwrap()
                .ends_with("secret:prod/master-AbCdEf")
        );
    }
    assert_eq!((settings.rotations.len(), compared), (27, 81));

    let left: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# NOT CONVERTED: "))
        .collect();
    let expected = [
        "denied", "other/a", "other/b", "other/c", "partner", "rds!db-1", "rds!db-2", "rds!db-3",
        "replica", "single/1", "single/2", "single/3", "token",
    ];
    assert_eq!(left, expected);
    for line in ["# Why: ", "# To do: "] {
        assert_eq!(text.matches(line).count(), left.len(), "{line}");
    }
    assert!(!text.contains("off/"));
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(
        message.contains("27 rotations, 13 secrets not converted"),
        "{message}"
    );
    assert!(!format!("{text}{message}").contains(PASSWORD));
}

#[tokio::test]
async fn a_prefix_filters_secrets_and_json_has_the_same_fields() {
    let output = import(&["--name-prefix", "prod/mongo/", "--json"]).await;
    let all: Json = serde_json::from_slice(&output.stdout).unwrap();
    let all = all.as_array().unwrap();
    assert_eq!(all.len(), rules().len());
    let monthly = all
        .iter()
        .find(|one| one["secret"] == "prod/mongo/monthly")
        .unwrap();
    assert_eq!(monthly["outcome"]["rotation"]["window"], 16 * 3600);
    assert_eq!(monthly["outcome"]["rotation"]["engine"], "documentdb");
}

#[tokio::test]
async fn an_unreachable_account_is_an_error_with_a_hint() {
    let unreachable = [
        "import",
        "--from-aws",
        "--region",
        "eu-west-1",
        "--endpoint-url",
        "http://127.0.0.1:9",
    ];
    let output = twinkey(&unreachable).output().await.unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(
        message.contains("error[store_unavailable]") && message.contains("hint: "),
        "{message}"
    );
    let nowhere = ["import", "--from-aws"];
    let mut command = twinkey(&nowhere);
    command
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env_remove("AWS_DEFAULT_REGION");
    command
        .env("AWS_CONFIG_FILE", "/nowhere")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/nowhere");
    let output = command.output().await.unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}
