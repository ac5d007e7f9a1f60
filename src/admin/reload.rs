//! Reload of the tokens and of certificates when their files change.
//!
//! # Failure modes
//! - A file is read while it is being written: the content is refused, the previous one stays active, and
//!   the next check reads the complete file.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;

use crate::admin::auth::TokenAuth;
use twinkey_core::telemetry::Clock;
use twinkey_stores::listener::Identity;

/// How often the files are checked.
const INTERVAL: Duration = Duration::from_secs(5);

/// Reloads the tokens and the certificate on change, until it is dropped.
pub async fn reload_on_change(auth: Arc<TokenAuth>, identity: Option<Arc<Identity>>, clock: Clock) {
    let certificate = async {
        if let Some(identity) = identity {
            reload_certificate(identity, clock.clone()).await;
        }
    };
    tokio::join!(reload_tokens(auth, clock.clone()), certificate);
}

async fn reload_tokens(auth: Arc<TokenAuth>, clock: Clock) {
    // One hash per file: a file that cannot be read does not hide the change of another one.
    let files: Vec<[PathBuf; 1]> = auth.files().into_iter().map(|file| [file]).collect();
    let mut previous: Vec<_> = files.iter().map(|file| hash(file)).collect();
    loop {
        clock.sleep(INTERVAL).await;
        let pairs = files.iter().zip(&mut previous);
        let changes = pairs.filter_map(|(file, previous)| changed(file, previous).then_some(()));
        if changes.count() == 0 {
            continue;
        }
        let errors = auth.reload();
        if errors.is_empty() {
            tracing::info!("admin tokens reloaded");
        }
        for error in errors {
            tracing::error!(%error, "new admin token refused, the previous one stays active");
        }
    }
}

/// Reloads a certificate on change, until it is dropped.
pub async fn reload_certificate(identity: Arc<Identity>, clock: Clock) {
    let files: Vec<PathBuf> = identity.files().map(Into::into).into_iter().collect();
    let mut previous = hash(&files);
    loop {
        clock.sleep(INTERVAL).await;
        if changed(&files, &mut previous) {
            match identity.reload() {
                Ok(()) => tracing::info!("certificate reloaded"),
                Err(error) => {
                    tracing::error!(%error, "new certificate refused, the previous one stays active");
                }
            }
        }
    }
}

fn changed(files: &[PathBuf], previous: &mut Option<Vec<u8>>) -> bool {
    let current = hash(files);
    let changed = current != *previous;
    *previous = current;
    changed
}

/// The hash of the files' content; `None` if one cannot be read.
fn hash(files: &[PathBuf]) -> Option<Vec<u8>> {
    let mut context = digest::Context::new(&digest::SHA256);
    for file in files {
        let content = zeroize::Zeroizing::new(std::fs::read(file).ok()?);
        context.update(&content.len().to_le_bytes());
        context.update(&content);
    }
    Some(context.finish().as_ref().to_vec())
}
