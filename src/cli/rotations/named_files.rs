//! Findings about the tokens, keys, certificates and roots that a config names.
//!
//! # Failure modes
//! - The config is valid, and the worker then does not start, or its first sign-in fails, because of
//!   a missing or malformed file. Each one is read as the worker reads it.
//! - A check on another machine than the worker's misses its environment variables. A variable that
//!   is not set is a warning.

use std::path::Path;

use crate::admin::auth::{TokenAuth, TokenError};
use crate::config::settings::{
    Destination, JournalLocation, JournalPassword, MIN_KEY_LENGTH, Rotation, SecretsBackend,
    Settings, SourceError, TokenSource,
};
use twinkey_core::code::Code;
use twinkey_engines::tls::client_config;
use twinkey_engines::{Finding, Severity};
use twinkey_stores::listener::{Identity, ServerTls};

/// The findings about `[server]`, `[journal]`, `[secrets] serve` and `[[notify]]`.
pub(super) fn of_worker(settings: &Settings) -> Vec<Finding> {
    let server = &settings.server;
    let mut findings = Vec::new();
    if let Err(error) = TokenAuth::new(server.admin_token.clone(), server.tokens.clone()) {
        findings.push(token(&error));
    }
    findings.extend(identity("server.tls", server.tls.as_ref()));
    if let SecretsBackend::Local {
        serve: Some(serve), ..
    } = &settings.secrets
    {
        findings.extend(identity("secrets.serve.tls", serve.tls.as_ref()));
    }
    if let JournalLocation::Postgres(location) = &settings.journal {
        if let Some(JournalPassword::Source(password)) = &location.password {
            findings.extend(source("journal.password", password, 1));
        }
        findings.extend(roots("journal.url", location.tls.ca_file.as_deref()));
    }
    for notify in &settings.notify {
        if let Destination::Webhook { key, ca_file, .. } = &notify.to {
            let to = notify.to.to_string();
            findings.extend(source(&format!("{to}: key"), key, MIN_KEY_LENGTH));
            findings.extend(roots(&to, ca_file.as_deref()));
        }
    }
    findings
}

/// The findings about the files of a rotation.
pub(super) fn of_rotation(rotation: &Rotation) -> Vec<Finding> {
    roots("tls.ca_file", rotation.tls.ca_file.as_deref())
        .into_iter()
        .collect()
}

fn token(error: &TokenError) -> Finding {
    let severity = match error {
        TokenError::Source { source, .. } => severity(source),
        _ => Severity::Error,
    };
    finding(severity, error.to_string(), error.hint().to_owned())
}

/// A variable belongs to the worker's machine, a file to the config.
fn severity(error: &SourceError) -> Severity {
    match error {
        SourceError::NoVariable(_) => Severity::Warning,
        _ => Severity::Error,
    }
}

fn source(key: &str, source: &TokenSource, min_length: usize) -> Option<Finding> {
    let error = source.read(min_length).err()?;
    let fix = match &error {
        SourceError::NoVariable(name) => format!("set {name} in the environment of the worker"),
        SourceError::TooShort(_) => format!("store at least {min_length} characters there"),
        _ => "correct the name, or create the file".into(),
    };
    Some(finding(severity(&error), format!("{key}: {error}"), fix))
}

fn identity(key: &str, files: Option<&ServerTls>) -> Option<Finding> {
    let error = Identity::read(files?.clone()).err()?;
    let fix = format!("make {key} a certificate with its chain and its key, in PEM files");
    Some(finding(Severity::Error, format!("{key}: {error}"), fix))
}

fn roots(key: &str, file: Option<&Path>) -> Option<Finding> {
    let error = client_config(Some(file?)).err()?;
    let fix = "name a readable PEM file with at least one certificate".to_owned();
    Some(finding(Severity::Error, format!("{key}: {error}"), fix))
}

fn finding(severity: Severity, what: String, fix: String) -> Finding {
    Finding {
        severity,
        code: Some(Code::ConfigInvalid),
        what,
        fix: Some(fix),
    }
}
