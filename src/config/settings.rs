//! The config as the rest of the program sees it: valid, typed, defaults filled in.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::engine::{EngineKind, EngineOptions, TlsMode};
use crate::schedule::WindowPlan;
use crate::secret::Sensitive;
use crate::secret::password::PasswordPolicy;

/// A whole valid config.
#[derive(Debug, Clone)]
pub struct Settings {
    pub server: Server,
    pub journal: JournalLocation,
    pub secrets: SecretsBackend,
    pub limits: Limits,
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

/// `server.tls`: PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerTls {
    /// The certificate, and what leads from it to a root.
    pub cert: PathBuf,
    pub key: PathBuf,
}

/// `admin_token_file`, or `admin_token = "env:NAME" | "file:PATH"`.
#[derive(Debug, Clone)]
pub enum TokenSource {
    Env(String),
    File(PathBuf),
    /// Built in by the caller (`twinkey demo`), never from a config.
    Value(Sensitive),
}

/// `[journal]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JournalLocation {
    /// `sqlite://PATH`
    Sqlite(PathBuf),
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
    },
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
