//! Errors of the engines.

use std::path::PathBuf;

use crate::EngineKind;
use crate::tls::missing_bundle;
use twinkey_core::code::{Code, Diagnostic};

/// An engine's error. Messages never hold a password or a statement that holds one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// The connection could not be opened, or was cut; retryable.
    #[error("{host}:{port} cannot be reached: {reason}")]
    Unreachable {
        host: String,
        port: u16,
        reason: String,
    },
    /// The server accepts no further connection now; retryable.
    #[error("{host}:{port} accepts no sign-in of {user:?} now: {reason}")]
    Limit {
        host: String,
        port: u16,
        user: String,
        reason: String,
        hint: String,
    },
    /// The TLS handshake failed: wrong name, unknown root, no TLS on the server.
    #[error("TLS with {host}:{port} failed: {reason}")]
    Tls {
        host: String,
        port: u16,
        reason: String,
        remedy: TlsRemedy,
    },
    /// The server requires TLS, or the password itself, and the settings permit that on no connection.
    #[error("TLS with {host}:{port} is required: {reason}")]
    TlsRequired {
        host: String,
        port: u16,
        reason: String,
    },
    /// The server refused these credentials.
    #[error("{host}:{port} refused the sign-in of {user:?}: {reason}")]
    SignIn {
        host: String,
        port: u16,
        user: String,
        reason: String,
    },
    /// A lock or a time limit; retryable while the window is open.
    #[error("{what} was not possible now: {reason}")]
    Busy { what: String, reason: String },
    /// The server refused a statement.
    #[error("{what} was refused: {reason}")]
    Refused {
        what: String,
        reason: String,
        hint: String,
    },
    /// Only the rotated secret or a server names this place, and a master's password does not go there.
    #[error("the master's password does not go to {place}: {reason}")]
    Untrusted {
        place: String,
        reason: String,
        hint: String,
    },
    /// A pooler or proxy answered where a master has to sign in at the database itself.
    #[error("{host}:{port} is a pooler, and a master signs in at the database itself: {reason}")]
    Pooler {
        host: String,
        port: u16,
        reason: String,
    },
    /// The engine does not allow this user name.
    #[error("{name:?} cannot be a user name here: {reason}")]
    UserName { name: String, reason: String },
    /// The TLS roots cannot be read.
    #[error("the TLS roots {file:?} cannot be used: {reason}")]
    Roots { file: PathBuf, reason: String },
    /// This build of twinkey lacks the engine.
    #[error("this build of twinkey lacks the engine {engine}")]
    NotInBuild { engine: EngineKind },
}

/// The remedy of a failed TLS handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsRemedy {
    /// Another host name or root.
    Verify,
    /// TLS on the server.
    SwitchOn,
    /// TLS on the server, which its default sign-in method requires.
    SwitchOnForSignIn,
}

/// How to give the users of a pair a connection with verified TLS.
pub(crate) const TLS_SETTINGS: &str = "set tls = { mode = \"verify-full\", ca_file = … } for the rotation, with the server's root as ca_file, and \"ssl\": true in its secrets where the mode is \"secret\"";

impl Diagnostic for EngineError {
    fn code(&self) -> Code {
        match self {
            Self::Unreachable { .. } | Self::Limit { .. } => Code::DbUnreachable,
            Self::Tls { .. } | Self::TlsRequired { .. } | Self::Roots { .. } => Code::TlsFailed,
            Self::SignIn { .. } => Code::CurrentSigninFailed,
            Self::Busy { .. } | Self::Refused { .. } => Code::DbRefused,
            Self::Untrusted { .. } => Code::HostUntrusted,
            Self::Pooler { .. } => Code::HostIsPooler,
            Self::UserName { .. } => Code::UsernameTooLong,
            Self::NotInBuild { .. } => Code::UnsupportedEngine,
        }
    }

    fn hint(&self) -> String {
        match self {
            Self::Unreachable { host, port, .. } => format!(
                "check that {host} resolves here and that connections to port {port} are allowed (security group, route, listen address)"
            ),
            Self::Tls { remedy: TlsRemedy::SwitchOn, .. } => "switch TLS on at the server; only on a network that no other party can read, set tls.mode = \"disable\" for the rotation".into(),
            Self::Tls { remedy: TlsRemedy::SwitchOnForSignIn, .. } => "switch TLS on at the server: without it, caching_sha2_password requests the password itself, which twinkey sends with verified TLS only".into(),
            Self::Tls {
                remedy: TlsRemedy::Verify,
                host,
                ..
            } => {
                if let Some((region, bundle)) = missing_bundle(host) {
                    format!(
                        "download {bundle} and name the file in tls.ca_file: no root of the region {region} is built in; twinkey never falls back to plain text"
                    )
                } else {
                    "use the name in the server's certificate as host, and name the file with its root in tls.ca_file; twinkey never falls back to plain text".into()
                }
            }
            Self::TlsRequired { .. } => TLS_SETTINGS.into(),
            Self::SignIn { .. } => {
                "set the secret's user name and password to those of a user in the database".into()
            }
            Self::Busy { .. } => {
                "find the session that holds the lock; the run retries while the window is open"
                    .into()
            }
            Self::Refused { hint, .. }
            | Self::Untrusted { hint, .. }
            | Self::Limit { hint, .. } => hint.clone(),
            Self::Pooler { .. } => "give the master a host of its own: set `host` in the master secret, or master_host = \"HOST:PORT\" for the rotation, to the host of the database itself".into(),
            Self::UserName { .. } => "use another user name, or a shorter clone_suffix".into(),
            Self::NotInBuild { engine } => format!(
                "use a build of twinkey with the Cargo feature `{}`",
                engine.feature()
            ),
            Self::Roots { .. } => {
                "make tls.ca_file a readable PEM file with at least one certificate".into()
            }
        }
    }

    fn retryable(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. } | Self::Limit { .. } | Self::Busy { .. }
        )
    }
}
