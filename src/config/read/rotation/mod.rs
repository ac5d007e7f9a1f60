//! Reader of `[[rotation]]` and `[defaults]`.
//!
//! # Failure modes
//! - A mistake in `[defaults]` is reported again for each rotation: both are read and validated separately,
//!   and then merged key by key, also inside `password`, `tls`, `postgres`, `documentdb` and `redshift`.

pub(super) mod poolers;
pub(super) mod readers;
pub(super) mod redshift;
mod strategy;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use self::readers::RawReaders;
use self::redshift::RawRedshift;
use self::strategy::{Dependent, RawStrategy};
use super::references::Folder;
use super::secret_references::SecretReference;
use super::store::Stores;
use crate::config::features;
use crate::config::settings::{
    GrantsMode, HostPort, HostPortError, InUse, Missed, Pooler, Rotation, StandbyMode,
    StoreSettings, Strategy, TlsSettings,
};
use crate::config::table::Table;
use crate::schedule::window::{WindowPlan, check_length, spread_offset};
use crate::schedule::{Schedule, WindowError};
use twinkey_core::code::Diagnostic;
use twinkey_core::secret::password::PasswordPolicy;
use twinkey_engines::{
    EngineKind, EngineOptions, MysqlOptions, PostgresOptions, RedshiftOptions, TlsMode,
};

pub(super) const KEYS: &[&str] = &[
    "name",
    "secret",
    "store",
    "schedule",
    "window",
    "master_secret",
    "master_host",
    "masters",
    "accounts",
    "engine",
    "strategy",
    "gap",
    "clone_suffix",
    "standby",
    "grants",
    "min_interval",
    "in_use",
    "readers",
    "readers_down",
    "poolers",
    "retire_after",
    "heartbeat",
    "missed",
    "paused",
    "spread",
    "probe",
    "password",
    "tls",
    "postgres",
    "documentdb",
    "redshift",
];
/// The keys that `[defaults]` cannot have.
const KEYS_WITHOUT_DEFAULT: &[&str] = &["name", "secret", "schedule"];
pub(super) const PASSWORD_KEYS: &[&str] = &["length", "symbols"];
pub(super) const TLS_KEYS: &[&str] = &["mode", "ca_file"];
pub(super) const POSTGRES_KEYS: &[&str] = &["set_role"];

/// The shortest `heartbeat`.
const MIN_HEARTBEAT: Duration = Duration::from_secs(10);

/// The keys of one table.
#[derive(Debug, Default)]
pub(super) struct RawRotation {
    pub(super) name: Option<String>,
    pub(super) secret: Option<String>,
    store: Option<Arc<StoreSettings>>,
    /// It names a store that is not valid.
    has_invalid_store: bool,
    schedule: Option<Schedule>,
    window: Option<Duration>,
    master_secret: Option<String>,
    master_host: Option<HostPort>,
    masters: Option<Vec<String>>,
    accounts: Option<Vec<String>>,
    engine: Option<EngineKind>,
    strategy: RawStrategy,
    clone_suffix: Option<String>,
    standby: Option<StandbyMode>,
    grants: Option<GrantsMode>,
    min_interval: Option<Duration>,
    in_use: Option<InUse>,
    retire_after: Option<Duration>,
    heartbeat: Option<Duration>,
    missed: Option<Missed>,
    paused: Option<bool>,
    spread: Option<Duration>,
    probe: Option<Vec<String>>,
    length: Option<u32>,
    symbols: Option<String>,
    /// `Some(None)`: `mode = "secret"`.
    tls_mode: Option<Option<TlsMode>>,
    ca_file: Option<PathBuf>,
    set_role: Option<bool>,
    readers: RawReaders,
    poolers: Option<Vec<Pooler>>,
    redshift: RawRedshift,
}

impl RawRotation {
    /// Reads `[defaults]`.
    pub(super) fn defaults(table: &Table<'_>, folder: Folder<'_>, stores: &Stores) -> Self {
        for key in KEYS_WITHOUT_DEFAULT.iter().filter(|key| table.has(key)) {
            table.error(key, "cannot have a default: give it in each [[rotation]]");
        }
        let mut raw = Self::common(table, folder, stores);
        if raw.password(&Self::default(), table).is_none() {
            raw.length = None;
            raw.symbols = None;
        }
        raw
    }

    /// Reads one `[[rotation]]`.
    pub(super) fn rotation(table: &Table<'_>, folder: Folder<'_>, stores: &Stores) -> Self {
        for key in ["name", "secret"].iter().filter(|key| !table.has(key)) {
            table.error(key, "is missing");
        }
        let name = table.text("name").map(str::to_owned);
        if let Some(name) = &name
            && !name
                .bytes()
                .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        {
            table.error(
                "name",
                format!("{name:?} contains characters other than a-z, 0-9 and -"),
            );
        }
        let schedule = table.text("schedule").and_then(|text| {
            Schedule::parse(text)
                .map_err(|e| {
                    let column = text.get(..e.span.0).map_or(1, |t| t.chars().count() + 1);
                    table.error(
                        "schedule",
                        format!(
                            "{} (at character {column} of {text:?}); {}",
                            e.message, e.hint
                        ),
                    );
                })
                .ok()
        });
        Self {
            name,
            secret: secret_id(table, "secret"),
            schedule,
            ..Self::common(table, folder, stores)
        }
    }

    fn common(table: &Table<'_>, folder: Folder<'_>, stores: &Stores) -> Self {
        let engine = table.choice("engine", &EngineKind::ALL.map(|kind| (kind.as_str(), kind)));
        features::require_engine(table, engine);
        let window = table.duration("window").filter(|length| {
            check_length(*length)
                .map_err(|e| table.error("window", e.to_string()))
                .is_ok()
        });
        let password = table.table("password", PASSWORD_KEYS);
        let tls = table.table("tls", TLS_KEYS);
        let postgres = table.table("postgres", POSTGRES_KEYS);
        let store = stores.named(table);
        Self {
            has_invalid_store: table.has("store") && store.is_none(),
            store,
            window,
            master_secret: secret_id(table, "master_secret"),
            master_host: table.text("master_host").and_then(|text| {
                text.parse()
                    .map_err(|error: HostPortError| table.error("master_host", error.to_string()))
                    .ok()
            }),
            masters: table.texts("masters"),
            accounts: accounts(table, engine),
            engine,
            strategy: RawStrategy::read(table),
            clone_suffix: table.text("clone_suffix").map(str::to_owned),
            standby: table.choice(
                "standby",
                &[
                    ("create", StandbyMode::Create),
                    ("existing", StandbyMode::Existing),
                    ("adopt", StandbyMode::Adopt),
                ],
            ),
            grants: table.choice(
                "grants",
                &[("sync", GrantsMode::Sync), ("verify", GrantsMode::Verify)],
            ),
            min_interval: table.duration("min_interval"),
            in_use: table.choice(
                "in_use",
                &[
                    ("wait", InUse::Wait),
                    ("refuse", InUse::Refuse),
                    ("ignore", InUse::Ignore),
                ],
            ),
            retire_after: table.duration("retire_after"),
            heartbeat: table.duration("heartbeat").filter(|interval| {
                let valid = *interval >= MIN_HEARTBEAT;
                if !valid {
                    table.error(
                        "heartbeat",
                        "must be at least 10s: each heartbeat signs in and calls the store",
                    );
                }
                valid
            }),
            missed: table.choice("missed", &[("skip", Missed::Skip), ("run", Missed::Run)]),
            paused: table.boolean("paused"),
            spread: table.duration("spread"),
            probe: table.texts("probe"),
            length: password.as_ref().and_then(|t| t.number("length", 1, 1000)),
            symbols: password
                .as_ref()
                .and_then(|t| t.any_text("symbols"))
                .map(str::to_owned),
            tls_mode: tls.as_ref().and_then(|t| {
                t.choice(
                    "mode",
                    &[
                        ("verify-full", Some(TlsMode::VerifyFull)),
                        ("verify-ca", Some(TlsMode::VerifyCa)),
                        ("require", Some(TlsMode::Require)),
                        ("disable", Some(TlsMode::Disable)),
                        ("secret", None),
                    ],
                )
            }),
            ca_file: tls
                .as_ref()
                .and_then(|t| t.text("ca_file"))
                .map(|path| folder.join(path)),
            set_role: postgres.as_ref().and_then(|t| t.boolean("set_role")),
            readers: RawReaders::read(table),
            poolers: poolers::read(table),
            redshift: RawRedshift::read(table),
            ..Self::default()
        }
    }

    /// Its secret and the store of that; `None` if one of them is not valid.
    pub(super) fn secret_reference(&self, defaults: &Self) -> Option<SecretReference> {
        if self.has_invalid_store {
            return None;
        }
        Some(SecretReference {
            secret: self.secret.clone()?,
            store: self.store.clone().or_else(|| defaults.store.clone()),
        })
    }

    /// The password policy; `None`, with an error reported, if it is not valid.
    fn password(&self, defaults: &Self, table: &Table<'_>) -> Option<PasswordPolicy> {
        let length = self.length.or(defaults.length).unwrap_or(32) as usize;
        let symbols = self.symbols.as_ref().or(defaults.symbols.as_ref());
        PasswordPolicy::new(length, symbols.map_or("-_.~", String::as_str))
            .map_err(|e| table.error("password", e.to_string()))
            .ok()
    }

    /// The windows; `Err`, with an error reported, if they are not valid.
    fn windows(
        &self,
        defaults: &Self,
        name: &str,
        table: &Table<'_>,
    ) -> Result<Option<WindowPlan>, ()> {
        let Some(schedule) = self.schedule.clone() else {
            return Ok(None);
        };
        let invalid = |key, read: Option<Duration>| table.has(key) && read.is_none();
        if invalid("window", self.window) || invalid("spread", self.spread) {
            return Err(());
        }
        let length = self
            .window
            .or(defaults.window)
            .unwrap_or(Duration::from_secs(3600));
        let spread = self.spread.or(defaults.spread).unwrap_or(Duration::ZERO);
        if spread >= length {
            table.error("spread", "must be shorter than the window");
            return Err(());
        }
        WindowPlan::new(schedule, length, spread_offset(name, spread))
            .map(Some)
            .map_err(|e: WindowError| table.error("window", format!("{e}; {}", e.hint())))
    }

    /// The rotation with `defaults` applied; `None`, with an error reported, if it is not valid.
    pub(super) fn validate(self, defaults: &Self, table: &Table<'_>) -> Option<Rotation> {
        let password = self.password(defaults, table);
        let windows = self.windows(defaults, self.name.as_deref().unwrap_or_default(), table);
        let engine = self.engine.or(defaults.engine);
        let poolers = (self.poolers)
            .or_else(|| defaults.poolers.clone())
            .unwrap_or_default();
        let dependent = Dependent {
            engine,
            poolers: &poolers,
        };
        let strategy = self
            .strategy
            .validate(&defaults.strategy, &dependent, table);
        let mut master_secret = self
            .master_secret
            .or_else(|| defaults.master_secret.clone());
        if master_secret.is_some() && master_secret == self.secret {
            if strategy == Strategy::Alternating {
                table.error(
                    "master_secret",
                    "is the rotated secret itself: name the secret of another user, or set strategy = \"single\" for a user that changes its own password",
                );
            }
            master_secret = None;
        }
        let min_interval = (self.min_interval)
            .or(defaults.min_interval)
            .unwrap_or(Duration::from_secs(15 * 60));
        let retire_after = self.retire_after.or(defaults.retire_after);
        if retire_after.is_some_and(|after| after < min_interval) {
            table.error(
                "retire_after",
                "must not be shorter than min_interval: applications may use the old credentials that long",
            );
        }
        let readers = self.readers.validate(&defaults.readers, engine, table);
        poolers::check(&poolers, self.secret.as_deref(), engine, table);
        let redshift: RedshiftOptions = self.redshift.validate(&defaults.redshift, table);
        Some(Rotation {
            name: self.name?,
            secret: self.secret?,
            store: self.store.or_else(|| defaults.store.clone()),
            windows: windows.ok()?,
            master_secret,
            master_host: self.master_host.or_else(|| defaults.master_host.clone()),
            masters: self.masters.or_else(|| defaults.masters.clone()),
            engine,
            strategy,
            clone_suffix: (self.clone_suffix)
                .or_else(|| defaults.clone_suffix.clone())
                .unwrap_or_else(|| "_clone".into()),
            standby: self
                .standby
                .or(defaults.standby)
                .unwrap_or(StandbyMode::Create),
            grants: self.grants.or(defaults.grants).unwrap_or(GrantsMode::Sync),
            min_interval,
            in_use: self.in_use.or(defaults.in_use).unwrap_or(InUse::Wait),
            readers,
            poolers,
            retire_after,
            heartbeat: self.heartbeat.or(defaults.heartbeat),
            missed: self.missed.or(defaults.missed).unwrap_or(Missed::Skip),
            paused: self.paused.or(defaults.paused).unwrap_or(false),
            probe: self
                .probe
                .or_else(|| defaults.probe.clone())
                .unwrap_or_default(),
            password: password?,
            tls: TlsSettings {
                mode: (self.tls_mode)
                    .or(defaults.tls_mode)
                    .unwrap_or(Some(TlsMode::VerifyFull)),
                ca_file: self.ca_file.or_else(|| defaults.ca_file.clone()),
            },
            options: EngineOptions {
                postgres: PostgresOptions {
                    set_role: self.set_role.or(defaults.set_role).unwrap_or(true),
                },
                mysql: MysqlOptions {
                    accounts: self.accounts.or_else(|| defaults.accounts.clone()),
                },
                redshift,
            },
            discovered: None,
        })
    }
}

/// `accounts`; `None`, with an error reported, if it is not valid.
fn accounts(table: &Table<'_>, engine: Option<EngineKind>) -> Option<Vec<String>> {
    let hosts = table.texts("accounts")?;
    let has_accounts = |kind| matches!(kind, EngineKind::Mysql | EngineKind::Mariadb);
    if let Some(other) = engine.filter(|kind| !has_accounts(*kind)) {
        table.error(
            "accounts",
            format!("is for mysql and mariadb: a user of {other} has one account"),
        );
        return None;
    }
    if hosts.is_empty() {
        table.error(
            "accounts",
            "names no host: remove the key, or list hosts such as \"%\"",
        );
        return None;
    }
    if let Some(wrong) = hosts.iter().find(|host| host.contains(['@', '\'', '`'])) {
        table.error(
            "accounts",
            format!("{wrong:?} is no host: write the part after the @, without quotes"),
        );
        return None;
    }
    Some(hosts)
}

/// The name or ARN of a secret. CreateSecret, parameter Name, in AWS's API reference has the allowed
/// names. Those of secrets that another service manages contain an exclamation mark.
fn secret_id(table: &Table<'_>, key: &str) -> Option<String> {
    let secret = table.text(key)?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || "/_+=.@-!".contains(c);
    let may_exist = (1..=512).contains(&secret.len()) && secret.chars().all(allowed);
    if !may_exist && !secret.starts_with("arn:") {
        table.error(key, format!("{secret:?} is neither an ARN nor a name that AWS allows: 1 to 512 letters, digits and /_+=.@-"));
    }
    Some(secret.to_owned())
}
