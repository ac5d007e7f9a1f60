//! `twinkey keys`: who may read and write the served store.
//!
//! What can go wrong: a key's secret is lost, or seen by others. It is printed once, on standard output and
//! nowhere else, after the key is in its file, and cannot be shown again.

use std::path::{Path, PathBuf};

use secrecy::ExposeSecret;
use serde::Serialize;

use crate::config::settings::{SecretsBackend, Serve};
use twinkey_core::code::Code;
use twinkey_core::telemetry::Clock;
use twinkey_stores::SecretStore;
use twinkey_stores::local::LocalStore;
use twinkey_stores::served::keys::{NewKey, NoRandomness};
use twinkey_stores::served::keys_file::{self, KeysFileError, Wish};

use super::context::settings;
use super::failure::Failure;
use super::output::{self, Cell, STRONG};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Make a key, and print its secret once
    Add {
        /// Whose key it is, for the list and the log
        name: String,
        /// A secret that it is for, or a pattern with * and ?; more than once
        #[arg(long = "secret", value_name = "NAME", required = true)]
        secrets: Vec<String>,
        /// What it may do, as Secrets Manager names it, or a pattern; more than once
        #[arg(long = "action", value_name = "ACTION", default_values = ["GetSecretValue", "DescribeSecret"])]
        actions: Vec<String>,
        /// Print it as JSON
        #[arg(long)]
        json: bool,
    },
    /// List the keys and what they may do
    List {
        /// Print them as JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove a key; whoever has it is refused within seconds
    Remove {
        /// The access key's id
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
            let wish = Wish {
                name,
                actions,
                secrets,
            };
            add(&files, &wish, json).await
        }
        Command::List { json } => list(&files.serve.keys_file, json),
        Command::Remove { id } => {
            keys_file::remove(&files.serve.keys_file, &id)?;
            anstream::println!("{STRONG}{id}{STRONG:#} is removed");
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
            "`twinkey keys` is for the served store, and the config serves none",
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
        Self::problem(Code::Internal, error.to_string(), "look at the machine")
    }
}

/// As the AWS CLI writes a new key, and the token.
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

async fn add(files: &Files, wish: &Wish, json: bool) -> Result<(), Failure> {
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
