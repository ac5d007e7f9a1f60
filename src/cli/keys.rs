//! `twinkey keys`: access keys of the served store.
//!
//! # Failure modes
//! - The secret of a key is lost or leaks: it is printed once, to standard output only, after the key is
//!   stored, and cannot be printed again.

use std::path::{Path, PathBuf};

use secrecy::ExposeSecret;
use serde::Serialize;

use crate::config::settings::{SecretsBackend, Serve};
use twinkey_core::code::{Code, Diagnostic};
use twinkey_core::telemetry::Clock;
use twinkey_stores::SecretStore;
use twinkey_stores::local::LocalStore;
use twinkey_stores::served::keys::{NewKey, NoRandomness};
use twinkey_stores::served::keys_file::{self, KeyGrant, KeysFileError};

use super::context::settings;
use super::failure::Failure;
use super::output::{self, Cell, STRONG};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Create a key and print its secret once
    Add {
        /// Name of the key's owner, for the list and the log
        name: String,
        /// Secret that it can access, or a pattern with * and ?; repeatable
        #[arg(long = "secret", value_name = "NAME", required = true)]
        secrets: Vec<String>,
        /// Allowed action, as Secrets Manager names it, or a pattern; repeatable
        #[arg(long = "action", value_name = "ACTION", default_values = ["GetSecretValue", "DescribeSecret"])]
        actions: Vec<String>,
        /// Print the key as JSON
        #[arg(long)]
        json: bool,
    },
    /// List the keys and their permissions
    List {
        /// Print the keys as JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove a key; its requests are refused within seconds
    Remove {
        /// Id of the access key
        id: String,
    },
}

pub(super) async fn run(config: Option<&Path>, command: Command) -> Result<(), Failure> {
    let files = files(config)?;
    match command {
        Command::Add {
            name,
            secrets,
            actions,
            json,
        } => {
            let wish = KeyGrant {
                name,
                actions,
                secrets,
            };
            add(&files, &wish, json).await
        }
        Command::List { json } => list(&files.serve.keys_file, json),
        Command::Remove { id } => {
            keys_file::remove(&files.serve.keys_file, &id)?;
            anstream::println!("{STRONG}{id}{STRONG:#} removed");
            Ok(())
        }
    }
}

/// The files of a served store.
struct Files {
    path: PathBuf,
    key_file: PathBuf,
    serve: Serve,
}

fn files(config: Option<&Path>) -> Result<Files, Failure> {
    match settings(config)?.secrets {
        SecretsBackend::Local {
            path,
            key_file,
            serve: Some(serve),
        } => Ok(Files {
            path,
            key_file,
            serve,
        }),
        _ => Err(Failure::usage(
            "`twinkey keys` manages the served store, and the config has none",
            "set [secrets] backend = \"local\" and serve = { listen = \"127.0.0.1:8322\", keys_file = \"keys.toml\" }",
        )),
    }
}

impl From<KeysFileError> for Failure {
    fn from(error: KeysFileError) -> Self {
        Self::usage(error.to_string(), error.hint())
    }
}

impl From<NoRandomness> for Failure {
    fn from(error: NoRandomness) -> Self {
        Self::problem(
            Code::Internal,
            error.to_string(),
            "check the random number source of the machine",
        )
    }
}

/// A new key as the AWS CLI prints it, with the token of the agent's interface.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Added<'a> {
    access_key_id: &'a str,
    secret_access_key: &'a str,
    agent_token: &'a str,
    name: &'a str,
    actions: &'a [String],
    secrets: &'a [String],
}

async fn add(files: &Files, wish: &KeyGrant, json: bool) -> Result<(), Failure> {
    let new = NewKey::draw()?;
    let store = LocalStore::open(&files.path, &files.key_file).await?;
    let now = Clock::system().now();
    let added = keys_file::add(&files.serve.keys_file, &store, &new, wish, now);
    store.close().await;
    added?;
    let token = new.token();
    let added = Added {
        access_key_id: &new.id,
        secret_access_key: new.secret.expose_secret(),
        agent_token: token.expose_secret(),
        name: &wish.name,
        actions: &wish.actions,
        secrets: &wish.secrets,
    };
    if json {
        return output::json(&added);
    }
    anstream::println!(
        "AWS_ACCESS_KEY_ID={}\nAWS_SECRET_ACCESS_KEY={}\n{STRONG}This is not shown again.{STRONG:#} \
         The token for the interface of AWS's agent: {}",
        added.access_key_id,
        added.secret_access_key,
        added.agent_token
    );
    Ok(())
}

fn list(file: &Path, json: bool) -> Result<(), Failure> {
    let entries = keys_file::entries(file)?;
    if json {
        return output::json(&entries);
    }
    let rows: Vec<Vec<Cell>> = entries
        .iter()
        .map(|entry| {
            vec![
                Cell(entry.id.clone(), STRONG),
                Cell::plain(entry.name.clone()),
                Cell::plain(entry.created.clone()),
                Cell::plain(entry.actions.join(" ")),
                Cell::plain(entry.secrets.join(" ")),
            ]
        })
        .collect();
    output::table(&["KEY", "NAME", "CREATED", "ACTIONS", "SECRETS"], &rows);
    Ok(())
}
