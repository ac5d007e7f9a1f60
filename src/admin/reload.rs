//! Reload of tokens, certificates and access keys when their files change: jobs of the housekeeping.
//!
//! # Failure modes
//! - A file is read while it is being written: the content is refused, the previous one stays active, and
//!   the next check reads the complete file.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use aws_lc_rs::digest;

use crate::admin::auth::TokenAuth;
use crate::worker::housekeeping::HousekeepingJob;
use twinkey_stores::listener::Identity;
use twinkey_stores::served::KeysFile;

/// When the files are checked.
const SCHEDULE: &str = "*/5 * * * * *";

/// The files of the admin endpoint's tokens.
pub struct TokenFiles {
    auth: Arc<TokenAuth>,
    // One hash per file: a file that cannot be read does not hide the change of another one.
    files: Vec<([PathBuf; 1], Option<Vec<u8>>)>,
}

impl TokenFiles {
    /// The files as they are now.
    #[must_use]
    pub fn new(auth: Arc<TokenAuth>) -> Self {
        let files = auth.files().into_iter().map(|file| {
            let file = [file];
            let content = hash(&file);
            (file, content)
        });
        Self {
            files: files.collect(),
            auth,
        }
    }
}

#[async_trait]
impl HousekeepingJob for TokenFiles {
    fn name(&self) -> &'static str {
        "token files"
    }

    fn schedule(&self) -> &'static str {
        SCHEDULE
    }

    async fn run(&mut self) {
        let files = self.files.iter_mut();
        let changes = files.filter_map(|(file, previous)| changed(file, previous).then_some(()));
        if changes.count() == 0 {
            return;
        }
        let errors = self.auth.reload();
        if errors.is_empty() {
            tracing::info!("admin tokens reloaded");
        }
        for error in errors {
            tracing::error!(%error, "new admin token refused, the previous one stays active");
        }
    }
}

/// The files of a certificate.
pub struct CertificateFiles {
    name: &'static str,
    identity: Arc<Identity>,
    files: Vec<PathBuf>,
    previous: Option<Vec<u8>>,
}

impl CertificateFiles {
    /// The files as they are now; `name` is that of the task.
    #[must_use]
    pub fn new(name: &'static str, identity: Arc<Identity>) -> Self {
        let files: Vec<PathBuf> = identity.files().map(Into::into).into_iter().collect();
        Self {
            name,
            identity,
            previous: hash(&files),
            files,
        }
    }
}

#[async_trait]
impl HousekeepingJob for CertificateFiles {
    fn name(&self) -> &'static str {
        self.name
    }

    fn schedule(&self) -> &'static str {
        SCHEDULE
    }

    async fn run(&mut self) {
        if changed(&self.files, &mut self.previous) {
            match self.identity.reload() {
                Ok(()) => tracing::info!("certificate reloaded"),
                Err(error) => {
                    tracing::error!(%error, "new certificate refused, the previous one stays active");
                }
            }
        }
    }
}

#[async_trait]
impl HousekeepingJob for KeysFile {
    fn name(&self) -> &'static str {
        "access keys"
    }

    fn schedule(&self) -> &'static str {
        SCHEDULE
    }

    async fn run(&mut self) {
        self.check();
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
