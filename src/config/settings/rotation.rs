//! Settings of `[[rotation]]`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{HostPort, StoreSettings};
use crate::schedule::WindowPlan;
use crate::schedule::window::config_duration;
use twinkey_core::aws::secret_id::Location;
use twinkey_core::secret::password::PasswordPolicy;
use twinkey_engines::{EngineKind, EngineOptions, TlsMode};

/// `[[rotation]]`, with `[defaults]` applied.
#[derive(Debug, Clone)]
pub struct Rotation {
    /// `[a-z0-9-]+`
    pub name: String,
    /// The name or ARN.
    pub secret: String,
    /// The store of all its secrets; `None` for `[secrets]`.
    pub store: Option<Arc<StoreSettings>>,
    /// `None` for runs on demand only.
    pub windows: Option<WindowPlan>,
    /// The name or ARN; `None` for `masterarn` of the secret.
    pub master_secret: Option<String>,
    /// The address at which a master signs in whose secret names no host; `None` for the RDS API's.
    pub master_host: Option<HostPort>,
    /// Patterns of the secrets that `masterarn` may name; `None` for any.
    pub masters: Option<Vec<String>>,
    /// `None` for the engine that the secret names.
    pub engine: Option<EngineKind>,
    pub strategy: Strategy,
    pub clone_suffix: String,
    pub standby: StandbyMode,
    pub grants: GrantsMode,
    pub min_interval: Duration,
    pub in_use: InUse,
    pub readers: Readers,
    pub poolers: Vec<Pooler>,
    /// The delay after a flip until the user of AWSPREVIOUS is locked; `None` for never.
    pub retire_after: Option<Duration>,
    /// The interval of sign-in tests of AWSCURRENT between the windows; `None` for none.
    pub heartbeat: Option<Duration>,
    pub missed: Missed,
    /// No scheduled run starts, whatever the journal has.
    pub paused: bool,
    pub probe: Vec<String>,
    pub password: PasswordPolicy,
    pub tls: TlsSettings,
    pub options: EngineOptions,
    /// `None` for a `[[rotation]]` of the config.
    pub discovered: Option<Discovered>,
}

/// How a rotation was found that is no `[[rotation]]` of the config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discovered {
    /// The `[[discover]]` that found it, from 1.
    pub by: usize,
    /// The ARN of the secret. Another secret may have its name since.
    pub arn: Box<str>,
    /// When it was armed. Windows that opened before are not its own.
    pub since: DateTime<Utc>,
}

impl Rotation {
    /// The name of its store; `None` for `[secrets]`.
    #[must_use]
    pub fn store_name(&self) -> Option<&str> {
        self.store.as_deref().map(|store| &*store.name)
    }

    /// Account and region of its store, as far as the config has them.
    #[must_use]
    pub fn location(&self) -> Location<'_> {
        self.store
            .as_deref()
            .map_or_else(Location::default, StoreSettings::location)
    }

    /// Why the runs of some windows are refused with `too_soon`: they open closer together than
    /// `min_interval`.
    #[must_use]
    pub fn closer_windows(&self) -> Option<String> {
        let close = self.windows.as_ref()?.closer_than(self.min_interval)?;
        Some(format!(
            "opens windows closer together than min_interval ({}), so that the run of the second one is refused with too_soon: {close}",
            config_duration(&self.min_interval)
        ))
    }

    /// The secret, after the name of its store unless that is `[secrets]`: `prod-eu:orders/db`. Equal
    /// names in two stores are two secrets.
    #[must_use]
    pub fn secret_in_store(&self) -> String {
        match self.store_name() {
            Some(store) => format!("{store}:{}", self.secret),
            None => self.secret.clone(),
        }
    }
}

/// `strategy` and `gap`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// Two users, of which one is active.
    Alternating,
    /// One user, whose password changes.
    Single {
        /// AWSCURRENT may stop between the change and the flip (`gap = "accept"`).
        accepts_gap: bool,
    },
}

/// Whether this version has `strategy = "single"` for the engine.
#[must_use]
pub const fn has_single_strategy(engine: EngineKind) -> bool {
    matches!(
        engine,
        EngineKind::Postgres | EngineKind::Mysql | EngineKind::Mariadb
    )
}

/// `standby`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StandbyMode {
    Create,
    /// Users are never created, and only their passwords change.
    Existing,
    /// As `Create`; a standby that is not this secret's own is taken over once.
    Adopt,
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

/// `readers` and `readers_down`
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Readers {
    /// Each name is all its addresses. Without a port: the secret's.
    pub addresses: Vec<HostPort>,
    /// `readers = "rds"`: the RDS API names them.
    pub by_rds: bool,
    pub down: ReadersDown,
    /// The config has the older key `documentdb.reader`.
    pub by_older_key: bool,
}

/// `readers_down`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ReadersDown {
    #[default]
    Wait,
    Skip,
}

/// One of `poolers`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pooler {
    /// A name is all its addresses. Without a port: the secret's.
    pub address: HostPort,
    /// The secret from which the pooler reads a user's credentials, by user name. Empty for a pooler
    /// that reads no secrets.
    pub secrets: BTreeMap<String, String>,
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
    /// `None` for `mode = "secret"`: `ssl` of the secret selects verify-full or plain text.
    pub mode: Option<TlsMode>,
    pub ca_file: Option<PathBuf>,
}
