//! The config as the rest of the program sees it: valid, typed, defaults filled in.

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;
use secrecy::ExposeSecret;
use serde::Serialize;

pub use super::journal::{JournalLocation, JournalPassword, PostgresLocation};
use crate::schedule::WindowPlan;
use twinkey_core::secret::Sensitive;
use twinkey_core::secret::password::PasswordPolicy;
use twinkey_engines::{EngineKind, EngineOptions, TlsMode};
use twinkey_stores::listener::ServerTls;

/// A whole valid config.
#[derive(Debug, Clone)]
pub struct Settings {
    pub server: Server,
    pub journal: JournalLocation,
    pub secrets: SecretsBackend,
    pub limits: Limits,
    /// Who is told of what happens.
    pub notify: Vec<Notify>,
    /// What is done after AWSCURRENT has moved.
    pub hooks: Vec<Hook>,
    /// In the order of the file; names are unique.
    pub rotations: Vec<Rotation>,
}

/// `[server]`
#[derive(Debug, Clone)]
pub struct Server {
    pub listen: SocketAddr,
    /// Where the bearer token comes from; `None` only where `listen` is loopback.
    pub admin_token: Option<TokenSource>,
    /// `None`: plain HTTP.
    pub tls: Option<ServerTls>,
}

/// `admin_token_file`, or `admin_token = "env:NAME" | "file:PATH"`.
#[derive(Debug, Clone)]
pub enum TokenSource {
    Env(String),
    File(PathBuf),
    /// Built in by the caller (`twinkey demo`), never from a config.
    Value(Sensitive),
}

/// What a [`TokenSource`] names is not there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    #[error("the environment variable {0} is not set")]
    NoVariable(String),
    #[error("the file {0:?} cannot be read: {1}")]
    NoFile(PathBuf, String),
    #[error("it is shorter than {0} characters")]
    TooShort(usize),
}

impl TokenSource {
    /// The token or key itself, without white space around it, of at least `least` characters.
    ///
    /// # Errors
    /// [`SourceError`]
    pub fn read(&self, least: usize) -> Result<Sensitive, SourceError> {
        let text = match self {
            Self::Value(token) => token.clone(),
            Self::Env(name) => std::env::var(name)
                .map(Sensitive::from)
                .map_err(|_| SourceError::NoVariable(name.clone()))?,
            Self::File(path) => std::fs::read_to_string(path)
                .map(Sensitive::from)
                .map_err(|error| SourceError::NoFile(path.clone(), error.to_string()))?,
        };
        let text = text.expose_secret().trim();
        if text.len() < least {
            return Err(SourceError::TooShort(least));
        }
        Ok(Sensitive::from(text))
    }
}

/// One `[[notify]]`.
#[derive(Debug, Clone)]
pub struct Notify {
    pub events: Vec<NotifyEvent>,
    pub to: Destination,
}

/// Where notifications go.
#[derive(Clone)]
pub enum Destination {
    /// `kind = "webhook"`: posted and signed.
    Webhook {
        /// Often a secret itself: only its host is ever shown.
        url: Url,
        /// Of the signature.
        key: TokenSource,
        /// Further roots, PEM.
        ca_file: Option<PathBuf>,
    },
    /// `kind = "sns"`
    Sns { topic_arn: String },
    /// `kind = "eventbridge"`: a bus's name or ARN.
    EventBridge { bus: String },
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Webhook { url, .. } => {
                write!(f, "webhook {}", url.host_str().unwrap_or_default())
            }
            Self::Sns { topic_arn } => write!(f, "sns {topic_arn}"),
            Self::EventBridge { bus } => write!(f, "eventbridge {bus}"),
        }
    }
}

impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What may be told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NotifyEvent {
    Started,
    Succeeded,
    Failed,
    Missed,
    RolledBack,
    Retired,
    StandbyInUse,
    CurrentRefused,
}

impl NotifyEvent {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Started,
        Self::Succeeded,
        Self::Failed,
        Self::Missed,
        Self::RolledBack,
        Self::Retired,
        Self::StandbyInUse,
        Self::CurrentRefused,
    ];

    /// As the config and the messages write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Missed => "missed",
            Self::RolledBack => "rolled_back",
            Self::Retired => "retired",
            Self::StandbyInUse => "standby_in_use",
            Self::CurrentRefused => "current_refused",
        }
    }
}

/// One `[[hook]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// The rotations that it is for; `None`: all.
    pub rotations: Option<Vec<String>>,
    /// How long it may take, from its start to its end.
    pub timeout: Duration,
    /// How many of it there may be at once.
    pub concurrency: usize,
    pub action: HookActionSettings,
}

/// What a hook does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HookActionSettings {
    /// `kind = "ecs-redeploy"`: Amazon ECS replaces the tasks of these services.
    EcsRedeploy {
        /// Name or ARN.
        cluster: String,
        /// Names or ARNs.
        services: Vec<String>,
    },
    /// `kind = "exec"`: a program and its arguments, without a shell.
    Exec {
        program: PathBuf,
        arguments: Vec<String>,
    },
}

impl HookActionSettings {
    /// As the config writes it.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::EcsRedeploy { .. } => "ecs-redeploy",
            Self::Exec { .. } => "exec",
        }
    }
}

impl fmt::Display for HookActionSettings {
    /// Without the arguments, which may be anybody's secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EcsRedeploy { cluster, .. } => write!(f, "ecs-redeploy {cluster}"),
            Self::Exec { program, .. } => write!(f, "exec {}", program.display()),
        }
    }
}

/// `[secrets]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretsBackend {
    Aws {
        region: Option<String>,
        endpoint_url: Option<String>,
    },
    Local {
        path: PathBuf,
        key_file: PathBuf,
        /// `None`: applications do not read it through this worker.
        serve: Option<Serve>,
    },
}

/// `secrets.serve`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Serve {
    pub listen: SocketAddr,
    pub keys_file: PathBuf,
    /// `None` only where `listen` is loopback.
    pub tls: Option<ServerTls>,
}

/// `[limits]`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Runs at once in this worker.
    pub concurrency: usize,
    /// Runs at once against one database host.
    pub per_host: usize,
    /// Writes a second to the store.
    pub store_writes_per_second: u32,
}

impl Limits {
    /// [`Self::store_writes_per_second`]; the config refuses 0, and the slowest rate is the safe reading of it.
    #[must_use]
    pub fn store_writes(&self) -> NonZeroU32 {
        NonZeroU32::new(self.store_writes_per_second).unwrap_or(NonZeroU32::MIN)
    }
}

/// `[[rotation]]`, with `[defaults]` filled in.
#[derive(Debug, Clone)]
pub struct Rotation {
    /// `[a-z0-9-]+`
    pub name: String,
    /// Name or ARN.
    pub secret: String,
    /// `None`: on demand only.
    pub windows: Option<WindowPlan>,
    /// Name or ARN; else `masterarn` in the secret.
    pub master_secret: Option<String>,
    /// `None`: the secret's own.
    pub engine: Option<EngineKind>,
    pub clone_suffix: String,
    pub standby: StandbyMode,
    pub grants: GrantsMode,
    pub min_interval: Duration,
    pub in_use: InUse,
    /// How long after a flip the user of AWSPREVIOUS is locked; `None`: never.
    pub retire_after: Option<Duration>,
    /// How long after one try of AWSCURRENT the next one comes, between the windows; `None`: never.
    pub heartbeat: Option<Duration>,
    pub missed: Missed,
    pub probe: Vec<String>,
    pub password: PasswordPolicy,
    pub tls: TlsSettings,
    pub options: EngineOptions,
}

/// `standby`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StandbyMode {
    Create,
    Existing,
}

/// `grants`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GrantsMode {
    Sync,
    Verify,
}

/// `in_use`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InUse {
    Wait,
    Refuse,
    Ignore,
}

/// `missed`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missed {
    Skip,
    Run,
}

/// `tls`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsSettings {
    /// `None`: `mode = "secret"`: the secret's own `ssl` decides between verify-full and plain text.
    pub mode: Option<TlsMode>,
    pub ca_file: Option<PathBuf>,
}
