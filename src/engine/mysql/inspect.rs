//! What is so on the server now: read-only, plain data.
//!
//! What can go wrong, and what prevents it:
//! - the master may not read the accounts, and the answer is an error in the middle: what it may is
//!   asked first, and then nothing else (`preflight.rs` names the statement that mends it);
//! - a grant on a table that is gone can be neither given nor missed: what the standby lacks is looked
//!   up among the tables that there are, one query a schema, and only where it lacks something;
//! - looking takes as long as there are views and routines: who is named in DEFINER clauses is looked
//!   for only where somebody has the time, or an account would be dropped.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::mysql::MySqlConnection;

use super::account::Definition;
use super::connect::Peer;
use super::dialect::Dialect;
use super::grants::{Account, Grants, Object};
use super::look::Look;
use crate::engine::{EngineError, InspectRequest, Slot};

/// The server as the plan needs it.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub dialect: Dialect,
    pub master: Master,
    /// The master may read accounts; without that nothing below is known.
    pub readable: bool,
    pub active: Vec<User>,
    pub standby: Vec<User>,
    /// Rounds of `caching_sha2_password`'s digest, in thousands.
    pub digest_thousands: u16,
    /// Hashes are refused (MariaDB's strict_password_validation with a validating plugin).
    pub hashes_refused: bool,
    pub existing: Existing,
    pub definers: Vec<Definer>,
}

/// Who we are, and what we may.
#[derive(Debug, Clone)]
pub(super) struct Master {
    pub account: Account,
    /// Its own and its active roles'.
    pub grants: Grants,
    /// MySQL's partial_revokes is on: `%`, `_` and `\` in the names of schemas mean only themselves.
    pub schemas_are_literal: bool,
}

/// One account of a user.
#[derive(Debug, Clone)]
pub(super) struct User {
    pub account: Account,
    pub definition: Definition,
    pub grants: Grants,
    pub default_roles: BTreeSet<Account>,
}

/// What there is in the schemas that were looked into.
#[derive(Debug, Clone, Default)]
pub(super) struct Existing {
    pub schemas: BTreeSet<String>,
    /// (schema, table) -> columns in lower case.
    pub tables: BTreeMap<(String, String), BTreeSet<String>>,
    /// (kind, schema, name)
    pub routines: BTreeSet<(String, String, String)>,
}

/// An object that runs as one of the pair's users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Definer {
    /// For people: `view shop.v`.
    pub object: String,
    pub user: String,
    pub host: String,
}

pub(super) async fn facts(
    connection: &mut MySqlConnection,
    peer: &Peer,
    dialect: &Dialect,
    master: &Master,
    request: &InspectRequest<'_>,
) -> Result<Facts, EngineError> {
    let pair = request.pair;
    let mut facts = Facts {
        dialect: dialect.clone(),
        master: master.clone(),
        readable: master.reads_accounts(),
        active: Vec::new(),
        standby: Vec::new(),
        digest_thousands: 5,
        hashes_refused: false,
        existing: Existing::default(),
        definers: Vec::new(),
    };
    if !facts.readable {
        return Ok(facts);
    }
    let mut look = Look { connection, peer };
    facts.active = look.users(dialect, pair.active_user()).await?;
    facts.standby = look.users(dialect, pair.standby_user()).await?;
    if dialect.is_mariadb() {
        facts.hashes_refused = look.hashes_refused().await?;
    } else if let Some(thousands) = look.digest_thousands().await? {
        facts.digest_thousands = thousands;
    }
    for schema in to_look_into(&facts) {
        look.schema(&schema, &mut facts.existing).await?;
    }
    if request.thorough || facts.surplus().next().is_some() {
        facts.definers = look
            .definers(pair.active_user(), pair.standby_user())
            .await?;
    }
    Ok(facts)
}

impl Facts {
    pub(super) fn standby_at(&self, host: Option<&String>) -> Option<&User> {
        self.standby
            .iter()
            .find(|user| user.account.host.as_ref() == host)
    }

    /// In which form an account with this plugin takes its password; `None`: it takes none from us.
    pub(super) fn slot(&self, plugin: &str) -> Option<Slot> {
        match (plugin, self.dialect.is_mariadb()) {
            ("mysql_native_password", _) => Some(Slot::MysqlNative),
            ("caching_sha2_password", false) => Some(Slot::CachingSha2 {
                thousands: self.digest_thousands,
            }),
            ("ed25519", true) => Some(Slot::MariadbEd25519),
            _ => None,
        }
    }

    /// Whether an object runs as this account.
    pub(super) fn is_definer(&self, account: &Account) -> bool {
        self.definers
            .iter()
            .any(|d| d.user == account.user && Some(&d.host) == account.host.as_ref())
    }

    /// The standby's accounts at hosts where the active user has none.
    pub(super) fn surplus(&self) -> impl Iterator<Item = &User> {
        self.standby.iter().filter(|user| {
            let same_host = |active: &&User| active.account.host == user.account.host;
            !self.active.iter().any(|active| same_host(&active))
        })
    }
}

/// Schemas with tables or routines on which the standby lacks something.
fn to_look_into(facts: &Facts) -> BTreeSet<String> {
    let nothing = Grants::default();
    let mut schemas = BTreeSet::new();
    for active in &facts.active {
        let standby = facts.standby_at(active.account.host.as_ref());
        let has = standby.map_or(&nothing, |user| &user.grants);
        let differ = active
            .grants
            .on
            .iter()
            .filter(|(o, p)| has.on.get(o) != Some(p));
        schemas.extend(differ.filter_map(|(object, _)| match object {
            Object::Table { schema, .. } | Object::Routine { schema, .. } => Some(schema.clone()),
            Object::Global | Object::Schema(_) => None,
        }));
    }
    schemas
}
