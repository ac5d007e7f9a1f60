//! Validated settings with all defaults applied.

mod discover;
mod hook;
mod host_port;
mod journal;
mod notify;
mod rotation;
mod store;
pub mod token;
mod token_source;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use twinkey_stores::listener::ServerTls;

pub(in crate::config) use discover::TAG_PREFIX;
pub use discover::{Discover, MasterTemplate, TemplateError};
pub use hook::{Hook, HookActionSettings, HookTime};
pub use host_port::{HostPort, HostPortError};
pub use journal::{JournalLocation, JournalPassword, PostgresLocation};
pub use notify::{Destination, MIN_KEY_LENGTH, Notify, NotifyEvent};
pub use rotation::{
    Discovered, GrantsMode, InUse, Missed, Pooler, Readers, ReadersDown, Rotation, StandbyMode,
    Strategy, TlsSettings, has_single_strategy,
};
pub use store::{AssumeRole, DEFAULT_STORE, StoreSettings, store_of_arn};
pub use token::{Role, TokenSettings};
pub use token_source::{SourceError, TokenSource};

/// A complete, valid config.
#[derive(Debug, Clone)]
pub struct Settings {
    pub server: Server,
    pub journal: JournalLocation,
    /// `journal.keep`: the age from which runs and records are removed.
    pub keep: Duration,
    pub secrets: SecretsBackend,
    /// The further accounts and regions; names are unique.
    pub stores: Vec<Arc<StoreSettings>>,
    pub limits: Limits,
    /// The receivers of notifications.
    pub notify: Vec<Notify>,
    /// The actions before and after AWSCURRENT moves.
    pub hooks: Vec<Hook>,
    /// In the order of the file; names are unique.
    pub rotations: Vec<Rotation>,
    /// Sources of further rotations, in the order of the file.
    pub discover: Vec<Discover>,
}

/// `[server]`
#[derive(Debug, Clone)]
pub struct Server {
    pub listen: SocketAddr,
    /// The source of the bearer token of the operator `admin`.
    pub admin_token: Option<TokenSource>,
    /// The named tokens. Without any token, `listen` is loopback.
    pub tokens: Vec<TokenSettings>,
    /// `None` for plain HTTP.
    pub tls: Option<ServerTls>,
    /// `server.metrics`
    pub metrics: RotationSeries,
}

/// The rotations that have series of their own in `/metrics`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RotationSeries {
    #[default]
    All,
    /// Those that wait, failed, were missed or are locked out.
    Problems,
}

impl Server {
    /// Whether requests need a token.
    #[must_use]
    pub fn needs_token(&self) -> bool {
        self.admin_token.is_some() || !self.tokens.is_empty()
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
        /// `None` if the worker does not serve the store.
        serve: Option<Serve>,
    },
}

/// `secrets.serve`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Serve {
    pub listen: SocketAddr,
    pub keys_file: PathBuf,
    /// `None` only if `listen` is loopback.
    pub tls: Option<ServerTls>,
    /// Whether each read has an audit line.
    pub audit_reads: bool,
    /// The addresses of rotation functions, by their ARNs.
    pub functions: BTreeMap<String, Url>,
}

/// `[limits]`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The number of concurrent runs of this worker.
    pub concurrency: usize,
    /// The number of concurrent runs per database host.
    pub per_host: usize,
    /// The number of store writes per second.
    pub store_writes_per_second: u32,
}

impl Limits {
    /// [`Self::store_writes_per_second`], at least 1; the config refuses 0.
    #[must_use]
    pub fn store_writes(&self) -> NonZeroU32 {
        NonZeroU32::new(self.store_writes_per_second).unwrap_or(NonZeroU32::MIN)
    }
}
