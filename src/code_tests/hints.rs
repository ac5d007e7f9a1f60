//! Every error with a code has a message and a hint.
//!
//! Each list contains every variant of its enum; the `match` next to it does not compile with a new variant.
//! Hints that are written at the place of the error are covered by the tests that `pages.rs` names.

use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::NaiveTime;

use crate::config::{ConfigErrors, parse};
use crate::journal::JournalError;
use crate::rotation::error::{CredentialRole, RotationError};
use crate::schedule::{Schedule, WindowError, window};
use twinkey_core::code::{Code, Diagnostic, Problem};
use twinkey_core::secret::document::{DocumentError, WrongHost};
use twinkey_core::telemetry::TelemetryError;
use twinkey_engines::{EngineError, EngineKind, TlsRemedy};
use twinkey_stores::{CredentialFault, StoreError, VersionId};

fn text() -> String {
    "x".into()
}

fn engine_errors() -> Vec<EngineError> {
    use EngineError::{
        Busy, Limit, NotInBuild, Pooler, Refused, Roots, SignIn, Tls, TlsRequired, Unreachable,
        Untrusted, UserName,
    };
    let (host, reason, user, what) = (text(), text(), text(), text());
    let all = vec![
        Unreachable {
            host: host.clone(),
            port: 1,
            reason: reason.clone(),
        },
        Limit {
            host: host.clone(),
            port: 1,
            user: user.clone(),
            reason: reason.clone(),
            hint: text(),
        },
        Tls {
            host: host.clone(),
            port: 1,
            reason: reason.clone(),
            remedy: TlsRemedy::Verify,
        },
        Tls {
            host: host.clone(),
            port: 1,
            reason: reason.clone(),
            remedy: TlsRemedy::SwitchOn,
        },
        TlsRequired {
            host: host.clone(),
            port: 1,
            reason: reason.clone(),
        },
        SignIn {
            host,
            port: 1,
            user,
            reason: reason.clone(),
        },
        Busy {
            what: what.clone(),
            reason: reason.clone(),
        },
        Refused {
            what,
            reason: reason.clone(),
            hint: text(),
        },
        Untrusted {
            place: text(),
            reason: reason.clone(),
            hint: text(),
        },
        Pooler {
            host: text(),
            port: 1,
            reason: reason.clone(),
        },
        UserName {
            name: text(),
            reason: reason.clone(),
        },
        Roots {
            file: PathBuf::new(),
            reason,
        },
        NotInBuild {
            engine: EngineKind::Mysql,
        },
    ];
    for error in &all {
        match error {
            Unreachable { .. }
            | Limit { .. }
            | Tls { .. }
            | TlsRequired { .. }
            | SignIn { .. }
            | Busy { .. }
            | Refused { .. }
            | Untrusted { .. }
            | Pooler { .. }
            | UserName { .. }
            | NotInBuild { .. }
            | Roots { .. } => {}
        }
    }
    all
}

fn journal_errors() -> Vec<JournalError> {
    use JournalError::{Lost, Occupied, Replaced, Unavailable};
    let (journal, reason, by) = (text(), text(), text());
    let all = vec![
        Unavailable {
            journal: journal.clone(),
            reason,
        },
        Replaced {
            journal: journal.clone(),
        },
        Occupied { journal, by },
        Lost {
            run: uuid::Uuid::nil(),
        },
    ];
    for error in &all {
        match error {
            Unavailable { .. } | Replaced { .. } | Occupied { .. } | Lost { .. } => {}
        }
    }
    all
}

fn store_errors() -> Vec<StoreError> {
    use StoreError::{
        Binary, Credentials, Damaged, Denied, KeyFile, NoFile, NotFound, Quota, Refused,
        StageMoved, Throttled, Unavailable, VersionExists,
    };
    let (secret, reason, operation) = (text(), text(), "GetSecretValue");
    let all = vec![
        NotFound { what: text() },
        VersionExists {
            secret: secret.clone(),
            id: VersionId(text()),
        },
        StageMoved {
            secret: secret.clone(),
            stage: text(),
            reason: reason.clone(),
        },
        Throttled {
            reason: reason.clone(),
        },
        Credentials {
            fault: CredentialFault::Expired,
            reason: Some(reason.clone()),
        },
        Denied {
            operation,
            secret: secret.clone(),
            reason: reason.clone(),
        },
        Quota {
            operation,
            secret: secret.clone(),
            reason: reason.clone(),
        },
        Refused {
            operation,
            secret,
            reason: reason.clone(),
        },
        Binary { secret: text() },
        KeyFile {
            path: text(),
            reason: reason.clone(),
            fix: text(),
        },
        NoFile { path: text() },
        Damaged {
            reason: reason.clone(),
        },
        Unavailable { reason },
    ];
    for error in &all {
        match error {
            NotFound { .. }
            | Binary { .. }
            | VersionExists { .. }
            | StageMoved { .. }
            | Throttled { .. }
            | Credentials { .. }
            | Denied { .. }
            | Quota { .. }
            | Refused { .. }
            | NoFile { .. }
            | KeyFile { .. }
            | Damaged { .. }
            | Unavailable { .. } => {}
        }
    }
    all
}

fn document_errors() -> Vec<DocumentError> {
    use DocumentError::{Copy, Duplicate, Host, Missing, NotAnObject, TooLong, Wrong};
    let all = vec![
        Host(WrongHost::Port),
        Host(WrongHost::List),
        Host(WrongHost::Srv),
        Host(WrongHost::Url),
        Host(WrongHost::Space),
        Copy { field: text() },
        TooLong { bytes: 65_540 },
        NotAnObject { line: 1, column: 1 },
        Duplicate { field: text() },
        Missing {
            fields: vec!["host"],
        },
        Wrong {
            field: "host",
            expected: "a text",
        },
    ];
    for error in &all {
        match error {
            NotAnObject { .. }
            | Duplicate { .. }
            | Missing { .. }
            | Wrong { .. }
            | Host(_)
            | Copy { .. }
            | TooLong { .. } => {}
        }
    }
    all
}

fn window_errors() -> Vec<WindowError> {
    use WindowError::{Length, Offset, Overlap};
    let length = Duration::from_secs(60);
    let overlap = window::Overlap::SameDay(NaiveTime::MIN, NaiveTime::MIN);
    let all = vec![
        Length,
        Offset {
            offset: length,
            length,
        },
        Overlap { length, overlap },
    ];
    for error in &all {
        match error {
            Length | Offset { .. } | Overlap { .. } => {}
        }
    }
    all
}

fn rotation_errors() -> Vec<RotationError> {
    use RotationError::{
        Document, Engine, Incomplete, Internal, Journal, Refused, Store, UnsupportedEngine,
    };
    let secret = text();
    let mut all = vec![
        Incomplete {
            secret: secret.clone(),
            field: "masterarn",
        },
        Incomplete {
            secret: secret.clone(),
            field: "host",
        },
        UnsupportedEngine {
            secret: secret.clone(),
            engine: text(),
        },
        Refused {
            code: Code::TooSoon,
            message: text(),
            hint: text(),
            passes: true,
        },
        Internal(text()),
    ];
    all.extend(journal_errors().into_iter().map(Journal));
    all.extend(store_errors().into_iter().map(|source| Store {
        secret: secret.clone(),
        source,
    }));
    for source in document_errors() {
        all.push(Document {
            what: "secret",
            secret: secret.clone(),
            source,
        });
    }
    for role in [
        CredentialRole::Master,
        CredentialRole::Current,
        CredentialRole::Pending,
        CredentialRole::Previous,
    ] {
        all.extend(
            engine_errors()
                .into_iter()
                .map(|source| Engine { role, source }),
        );
    }
    for error in &all {
        match error {
            Store { .. }
            | Document { .. }
            | Incomplete { .. }
            | UnsupportedEngine { .. }
            | Engine { .. }
            | Refused { .. }
            | Journal(_)
            | Internal(_) => {}
        }
    }
    all
}

fn config_errors() -> Vec<ConfigErrors> {
    let none = std::collections::BTreeMap::new();
    let mut no_file = parse(Path::new("a.toml"), "x = 1", &none).unwrap_err();
    let with_file = no_file.clone();
    no_file.file = None;
    vec![with_file, no_file]
}

#[test]
fn every_error_has_a_message_and_a_hint() {
    let mut all: Vec<Problem> = rotation_errors()
        .iter()
        .map(RotationError::problem)
        .collect();
    let mut add = |code, message: String, hint: &str| {
        let hint = hint.to_owned();
        all.push(Problem {
            code,
            message,
            hint,
        });
    };
    for error in window_errors() {
        add(error.code(), error.to_string(), &error.hint());
    }
    for errors in config_errors() {
        add(errors.code(), errors.to_string(), &errors.hint());
    }
    let schedule = Schedule::parse("daily").unwrap_err();
    add(schedule.code(), schedule.to_string(), &schedule.hint);
    let telemetry = TelemetryError;
    add(telemetry.code(), telemetry.to_string(), &telemetry.hint());
    for problem in all {
        let complete = !problem.message.trim().is_empty() && !problem.hint.trim().is_empty();
        assert!(complete, "{problem:?}");
    }
}

#[test]
fn no_hint_is_an_empty_text() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![root.join("src"), root.join("crates")];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                files += 1;
                let text = std::fs::read_to_string(&path).unwrap();
                for empty in [
                    ": \"\"",
                    ": String::new()",
                    ": String::default()",
                    ": Default::",
                ] {
                    let empty = format!("hint{empty}");
                    assert!(!text.contains(&empty), "{}: {empty}", path.display());
                }
            }
        }
    }
    assert!(files > 100, "{files} files were read");
}
