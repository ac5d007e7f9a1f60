//! Access to the config file and to the files that it names; the rule is in
//! [`twinkey_core::file_access`].
//!
//! # Failure modes
//! - Root runs a command in a folder of another user, and finds a config there that runs programs of
//!   that user. The config belongs to neither root nor the process, and is refused.
//! - Others replace the config, or the link to it, in a folder that they may write. Its folders are
//!   assessed too.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use twinkey_core::file_access::{
    Accepted, AccessError, FileFacts, FileKind, assess, assess_ancestor, assess_folder, user,
};

use super::settings::{
    Destination, JournalLocation, JournalPassword, SecretsBackend, Settings, TokenSource,
};
use super::{ConfigError, ConfigErrors};

/// Refuses a config that others may change. `found_here`: its name is not from the command line or a
/// variable, and it is in the current folder.
pub(super) fn check_config(path: &Path, file: &File, found_here: bool) -> Result<(), ConfigErrors> {
    let error = |message: String| ConfigErrors::of_file(path, message);
    let unreadable = |e: std::io::Error| error(format!("cannot be read: {e}"));
    let Some(mut facts) = FileFacts::of(file).map_err(unreadable)? else {
        return Ok(());
    };
    // Root may be in any folder, and did not mount it.
    let found_by_root = found_here && user() == 0;
    facts.read_only_mount &= !found_by_root;
    assess(facts, FileKind::Config, user()).map_err(|e| {
        let hint = if found_here {
            "; it was found in the current folder: name the config with --config or TWINKEY_CONFIG"
        } else {
            ""
        };
        error(format!("{e}: {}{hint}", e.fix()))
    })?;
    for (n, folder) in folders(path).iter().enumerate() {
        let Ok(Some(facts)) = FileFacts::at(folder) else {
            continue;
        };
        let direct = n == 0 || folder.as_path() == real_folder(path).as_path();
        let result = if direct {
            assess_folder(facts, user())
        } else {
            assess_ancestor(facts)
        };
        result.map_err(|e| {
            let fix = match e {
                AccessError::Writable(_) => "run chmod go-w on the folder",
                _ => "move the config to a folder of root, such as /etc/twinkey",
            };
            error(format!(
                "is in the folder {}, which {e}: {fix}",
                folder.display()
            ))
        })?;
    }
    Ok(())
}

/// The folder of the file itself, after all links.
fn real_folder(path: &Path) -> PathBuf {
    let real = path.canonicalize().unwrap_or_default();
    real.parent().unwrap_or(Path::new("/")).to_owned()
}

/// The folder with the name of the config, the folder of the file itself, and all above them.
fn folders(path: &Path) -> Vec<PathBuf> {
    let named = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut folders: Vec<PathBuf> = Vec::new();
    for folder in [named.canonicalize().unwrap_or_default(), real_folder(path)] {
        for ancestor in folder.ancestors() {
            if !folders.iter().any(|known| known == ancestor) {
                folders.push(ancestor.to_owned());
            }
        }
    }
    folders
}

/// Finding about one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileFinding {
    /// The key that names the file; empty for the config itself.
    pub key: String,
    /// Whether the worker refuses the file.
    pub refused: bool,
    pub what: String,
    pub fix: String,
}

/// Findings about the config file and all existing files that it names and the worker trusts.
#[must_use]
pub fn findings(
    config: &Path,
    environment: &BTreeMap<String, String>,
    settings: &Settings,
) -> Vec<FileFinding> {
    let mut findings = Vec::new();
    if holds_secret(settings, environment)
        && let Ok(Some(facts)) = FileFacts::at(config)
        && let Ok(Accepted::WorldReadable) = assess(facts, FileKind::Config, user())
    {
        findings.push(FileFinding {
            key: String::new(),
            refused: false,
            what: format!(
                "{} holds a secret and is readable by all users (mode {:04o})",
                config.display(),
                facts.mode & 0o7777
            ),
            fix: "run chmod 640 on it, or move the secret to a variable or a file".into(),
        });
    }
    for (key, path, kind) in named_files(settings) {
        // A missing file is reported by its reader.
        let Ok(Some(facts)) = FileFacts::at(&path) else {
            continue;
        };
        let (refused, what, fix) = match assess(facts, kind, user()) {
            Ok(Accepted::Private) => continue,
            Ok(Accepted::WorldReadable) => (
                false,
                format!(
                    "is readable by all users (mode {:04o})",
                    facts.mode & 0o7777
                ),
                "run chmod 600 or chmod 640 on it",
            ),
            Err(error) => (true, error.to_string(), error.fix()),
        };
        findings.push(FileFinding {
            what: format!("the file {} {what}", path.display()),
            key,
            refused,
            fix: fix.into(),
        });
    }
    findings
}

/// The refused files as errors of the config; `Ok` if there is none.
///
/// # Errors
/// [`ConfigErrors`]
pub fn refuse(config: &Path, findings: &[FileFinding]) -> Result<(), ConfigErrors> {
    let refused = findings.iter().filter(|finding| finding.refused);
    let errors: Vec<ConfigError> = refused
        .map(|finding| ConfigError {
            key: finding.key.clone(),
            variable: None,
            file: None,
            message: format!("{}: {}", finding.what, finding.fix),
        })
        .collect();
    if errors.is_empty() {
        return Ok(());
    }
    Err(ConfigErrors {
        file: Some(config.to_owned()),
        errors,
    })
}

/// Whether the file, not a variable, has a password of the journal or a URL with a secret.
fn holds_secret(settings: &Settings, environment: &BTreeMap<String, String>) -> bool {
    let in_url = matches!(
        &settings.journal,
        JournalLocation::Postgres(location)
            if matches!(location.password, Some(JournalPassword::InUrl(_)))
    );
    let webhook = settings.notify.iter().any(|notify| match &notify.to {
        Destination::Webhook { url, .. } => url.password().is_some() || url.query().is_some(),
        Destination::Sns { .. } | Destination::EventBridge { .. } => false,
    });
    (in_url && !environment.contains_key("TWINKEY__JOURNAL__URL")) || webhook
}

/// Each file with a token or a key, and the config's key that names it.
fn named_files(settings: &Settings) -> Vec<(String, PathBuf, FileKind)> {
    let mut files = Vec::new();
    let mut token = |key: String, source: &TokenSource| {
        if let TokenSource::File(path) = source {
            files.push((key, path.clone(), FileKind::Token));
        }
    };
    if let Some(source) = &settings.server.admin_token {
        token("server.admin_token_file".into(), source);
    }
    for named in &settings.server.tokens {
        token(format!("token[{}].token", named.name), &named.source);
    }
    if let JournalLocation::Postgres(location) = &settings.journal
        && let Some(JournalPassword::Source(source)) = &location.password
    {
        token("journal.password".into(), source);
    }
    for (n, notify) in settings.notify.iter().enumerate() {
        if let Destination::Webhook { key, .. } = &notify.to {
            token(format!("notify[#{}].key", n + 1), key);
        }
    }
    let mut key = |name: &str, path: &Path| {
        files.push((name.to_owned(), path.to_owned(), FileKind::Key));
    };
    if let Some(tls) = &settings.server.tls {
        key("server.tls.key", &tls.key);
    }
    if let SecretsBackend::Local {
        key_file, serve, ..
    } = &settings.secrets
    {
        key("secrets.key_file", key_file);
        if let Some(serve) = serve {
            key("secrets.serve.keys_file", &serve.keys_file);
            if let Some(tls) = &serve.tls {
                key("secrets.serve.tls.key", &tls.key);
            }
        }
    }
    files
}
