//! `twinkey secret rekey`: a new key for the embedded store.
//!
//! # Failure modes
//! - A wrong `secrets.path` gets a new store with a new key. A missing file is an error here.
//! - The access keys of the served store stop working. Their secrets are sealed again too, before the
//!   old key is removed.

use std::path::Path;

use crate::config::settings::SecretsBackend;
use twinkey_stores::SecretStore;
use twinkey_stores::local::LocalStore;
use twinkey_stores::served::keys_file;

use super::super::context::settings;
use super::super::failure::Failure;
use super::super::output::STRONG;

pub(super) async fn run(config: Option<&Path>, new_key_file: Option<&Path>) -> Result<(), Failure> {
    let SecretsBackend::Local {
        path,
        key_file,
        serve,
    } = settings(config)?.secrets
    else {
        return Err(Failure::usage(
            "`twinkey secret rekey` changes the key of the embedded store, and the config names AWS",
            "use a config with [secrets] backend = \"local\"",
        ));
    };
    let store = LocalStore::open_existing(&path, &key_file).await?;
    let external = |store: &LocalStore| match &serve {
        Some(serve) => keys_file::reseal(&serve.keys_file, store).map_err(Failure::from),
        None => Ok(()),
    };
    let rekeyed = store.rekey(new_key_file, external).await;
    store.close().await;
    let rekeyed = rekeyed?;
    if rekeyed.resumed {
        anstream::println!("An interrupted rekey was continued.");
    }
    if rekeyed.damaged > 0 {
        anstream::println!(
            "{STRONG}{} damaged values or seals{STRONG:#} open under no key and were left as they are.",
            rekeyed.damaged
        );
    }
    anstream::println!(
        "{STRONG}{}{STRONG:#} holds the new key; {} values were sealed again",
        key_file.display(),
        rekeyed.values
    );
    Ok(())
}
