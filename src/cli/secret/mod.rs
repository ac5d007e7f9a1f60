//! `twinkey secret`: secrets of the embedded store.

mod access;
mod rekey;
#[cfg(feature = "aws")]
mod served;

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;

use crate::config::settings::{Rotation, Settings};
use crate::rotation::commands::heartbeat::prove_document;
use crate::store::Stores;
use twinkey_core::aws::secret_id::{Location, same_secret};
use twinkey_core::code::{Code, Diagnostic};
use twinkey_core::secret::Sensitive;
use twinkey_core::secret::document::Document;
use twinkey_core::telemetry::metrics::Metrics;
use twinkey_stores::{StoreError, stage};

use super::context::{settings, shared_context};
use super::failure::Failure;
use super::output::{self, Cell, STRONG, time};
use access::Access;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Store a secret document from standard input or a file
    Put {
        /// Name of the secret
        name: String,
        /// File with the document
        #[arg(long, value_name = "F")]
        file: Option<PathBuf>,
        /// Replace a rotated secret although the document does not sign in
        #[arg(long)]
        force: bool,
    },
    /// Print a secret document, or one field of it
    Get {
        /// Name of the secret
        name: String,
        /// Label of the version
        #[arg(long, default_value = stage::CURRENT)]
        stage: String,
        /// Print only this field, without quotes
        #[arg(long)]
        field: Option<String>,
    },
    /// List the secrets
    List {
        /// Print the names as JSON
        #[arg(long)]
        json: bool,
    },
    /// List the versions of a secret with their labels, newest first
    Versions {
        /// Name of the secret
        name: String,
        /// Print the versions as JSON
        #[arg(long)]
        json: bool,
    },
    /// Set tags of a secret, which `[[discover]]` finds it by
    Tag {
        /// Name of the secret
        name: String,
        /// Tags to set
        #[arg(value_name = "KEY=VALUE", required_unless_present = "remove")]
        tags: Vec<String>,
        /// Tag to remove; may be repeated
        #[arg(long, value_name = "KEY")]
        remove: Vec<String>,
    },
    /// Replace the key of the embedded store
    Rekey {
        /// File with the new key, 32 bytes in base64; by default a random key
        #[arg(long, value_name = "F")]
        new_key_file: Option<PathBuf>,
    },
}

pub(super) async fn run(config: Option<&Path>, command: Command) -> Result<(), Failure> {
    if let Command::Rekey { new_key_file } = command {
        return rekey::run(config, new_key_file.as_deref()).await;
    }
    let create = matches!(command, Command::Put { .. });
    let settings = settings(config)?;
    let store = access::open(&settings.secrets, create).await?;
    let result = match command {
        Command::Put { name, file, force } => {
            let proof = (!force).then_some(&settings);
            put(&store, &name, file.as_deref(), proof).await
        }
        Command::Get { name, stage, field } => get(&store, &name, &stage, field.as_deref()).await,
        Command::List { json } => list(&store, json).await,
        Command::Versions { name, json } => versions(&store, &name, json).await,
        Command::Tag { name, tags, remove } => tag(&store, &name, &tags, &remove).await,
        Command::Rekey { .. } => Ok(()),
    };
    store.close().await;
    result
}

fn unreadable(error: &std::io::Error, what: &str) -> Failure {
    Failure::usage(
        format!("{what} cannot be read: {error}"),
        "give a readable file, or pipe the document to standard input",
    )
}

/// Stores a document. With `proof` it must sign in, if it replaces the secret of a rotation.
async fn put(
    store: &Access,
    name: &str,
    file: Option<&Path>,
    proof: Option<&Settings>,
) -> Result<(), Failure> {
    let mut text = String::new();
    match file {
        Some(path) => {
            text = std::fs::read_to_string(path)
                .map_err(|e| unreadable(&e, &format!("{}", path.display())))?;
        }
        None => {
            std::io::stdin()
                .read_to_string(&mut text)
                .map_err(|e| unreadable(&e, "standard input"))?;
        }
    }
    let text: Sensitive = SecretString::from(text);
    // A document that could never be rotated is refused, because the store is for such documents only.
    let document = Document::parse(text)
        .map_err(|error| Failure::problem(error.code(), error.to_string(), error.hint()))?;
    if let Some(settings) = proof {
        prove(store, name, &document, settings).await?;
    }
    let id = store.put(name, document.text()).await?;
    anstream::println!("{STRONG}{name}{STRONG:#}: version {id} is AWSCURRENT");
    Ok(())
}

/// Sets and removes tags.
async fn tag(store: &Access, name: &str, set: &[String], remove: &[String]) -> Result<(), Failure> {
    let mut tags: BTreeMap<String, Option<String>> = BTreeMap::new();
    for text in set {
        let (key, value) = text.split_once('=').ok_or_else(|| {
            Failure::usage(
                format!("{text:?} is no tag"),
                "give a key and a value, such as twinkey=rotate",
            )
        })?;
        tags.insert(key.to_owned(), Some(value.to_owned()));
    }
    tags.extend(remove.iter().map(|key| (key.clone(), None)));
    store.tag(name, &tags).await?;
    anstream::println!("{STRONG}{name}{STRONG:#}: tags changed");
    Ok(())
}

/// Signs in with a document that is about to replace the secret of a rotation.
async fn prove(
    store: &Access,
    name: &str,
    document: &Document,
    settings: &Settings,
) -> Result<(), Failure> {
    let is_rotated = |rotation: &&Rotation| {
        rotation.store.is_none() && same_secret(&rotation.secret, name, Location::default())
    };
    let Some(rotation) = settings.rotations.iter().find(is_rotated) else {
        return Ok(());
    };
    // Applications do not read a secret that does not exist yet.
    if let Err(StoreError::NotFound { .. }) = store.get(name, stage::CURRENT).await {
        return Ok(());
    }
    let stores = Stores::single(store.store());
    let context = shared_context(settings, stores, Metrics::default());
    let proved = prove_document(&context.of(rotation), rotation, document.text().clone()).await;
    proved.map_err(|error| {
        Failure::problem(
            error.code(),
            format!(
                "{error}; nothing was stored: applications of rotation {:?} would fail",
                rotation.name
            ),
            "store the password that signs in, or add --force to store this document anyway",
        )
    })
}

async fn get(store: &Access, name: &str, stage: &str, field: Option<&str>) -> Result<(), Failure> {
    let version = store.get(name, stage).await?;
    let text = version.value.expose_secret();
    let Some(field) = field else {
        anstream::println!("{text}");
        return Ok(());
    };
    let value = serde_json::from_str::<serde_json::Value>(text)
        .ok()
        .and_then(|document| document.get(field).cloned());
    match value {
        Some(serde_json::Value::String(value)) => anstream::println!("{value}"),
        Some(value) => anstream::println!("{value}"),
        None => {
            return Err(Failure::problem(
                Code::SecretMalformed,
                format!("secret {name:?} has no field {field:?}"),
                "leave --field out to see the whole document",
            ));
        }
    }
    Ok(())
}

async fn list(store: &Access, json: bool) -> Result<(), Failure> {
    let names = store.names().await?;
    if json {
        return output::json(&names);
    }
    for name in names {
        anstream::println!("{name}");
    }
    Ok(())
}

#[derive(Serialize)]
struct Version {
    version_id: String,
    stages: Vec<String>,
    created: Option<chrono::DateTime<chrono::Utc>>,
}

async fn versions(store: &Access, name: &str, json: bool) -> Result<(), Failure> {
    let versions: Vec<Version> = store
        .versions(name)
        .await?
        .into_iter()
        .map(|v| Version {
            version_id: v.id.0,
            stages: v.stages,
            created: v.created,
        })
        .collect();
    if json {
        return output::json(&versions);
    }
    let rows: Vec<Vec<Cell>> = versions
        .iter()
        .map(|v| {
            vec![
                Cell::plain(v.version_id.clone()),
                Cell::plain(time(v.created)),
                Cell(v.stages.join(" "), STRONG),
            ]
        })
        .collect();
    output::table(&["VERSION", "CREATED", "LABELS"], &rows);
    Ok(())
}
