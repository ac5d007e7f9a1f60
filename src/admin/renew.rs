//! Takes up a token or a certificate that was renewed while the worker runs.
//!
//! What can go wrong: a file is read while it is being written. It is then refused, the old one stays in
//! force, and the next look takes the whole one.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;

use crate::admin::auth::Gate;
use twinkey_core::telemetry::Clock;
use twinkey_stores::listener::Identity;

/// How often the files are looked at.
const PACE: Duration = Duration::from_secs(5);

/// Looks at the files of the token and of the certificate for as long as it is not dropped.
pub async fn renew(gate: Arc<Gate>, identity: Option<Arc<Identity>>, clock: Clock) {
    let certificate = async {
        if let Some(identity) = identity {
            renew_certificate(identity, clock.clone()).await;
        }
    };
    tokio::join!(renew_token(gate, clock.clone()), certificate);
}

async fn renew_token(gate: Arc<Gate>, clock: Clock) {
    let token: Vec<PathBuf> = gate.file().map(Into::into).into_iter().collect();
    let mut was = hash(&token);
    loop {
        clock.pass(PACE).await;
        if changed(&token, &mut was) {
            match gate.reload() {
                Ok(()) => tracing::info!("the admin token was read again"),
                Err(error) => {
                    tracing::error!(%error, "the new admin token is refused, the old one stays in force");
                }
            }
        }
    }
}

/// Looks at the files of a certificate for as long as it is not dropped.
pub async fn renew_certificate(identity: Arc<Identity>, clock: Clock) {
    let files: Vec<PathBuf> = identity.files().map(Into::into).into_iter().collect();
    let mut was = hash(&files);
    loop {
        clock.pass(PACE).await;
        if changed(&files, &mut was) {
            match identity.reload() {
                Ok(()) => tracing::info!("the endpoint's certificate was read again"),
                Err(error) => {
                    tracing::error!(%error, "the new certificate is refused, the old one stays in force");
                }
            }
        }
    }
}

fn changed(files: &[PathBuf], was: &mut Option<Vec<u8>>) -> bool {
    let is = hash(files);
    let changed = is != *was;
    *was = is;
    changed
}

/// What the files hold, as a hash; `None` where one cannot be read.
fn hash(files: &[PathBuf]) -> Option<Vec<u8>> {
    let mut context = digest::Context::new(&digest::SHA256);
    for file in files {
        let held = zeroize::Zeroizing::new(std::fs::read(file).ok()?);
        context.update(&held.len().to_le_bytes());
        context.update(&held);
    }
    Some(context.finish().as_ref().to_vec())
}
