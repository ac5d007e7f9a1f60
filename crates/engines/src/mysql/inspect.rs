//! What is so on the server now: read-only, plain data.
//!
//! What can go wrong, and what prevents it:
//! - the master may not read the accounts, and the answer is an error in the middle: what it may is
//!   asked first, and then nothing else (`preflight.rs` names the statement that mends it);
//! - a grant on a table that is gone can be neither given nor missed: what the standby lacks is looked
//!   up among the tables that there are, one query a schema, and only where it lacks something;
//! - looking takes as long as there are views and routines: who is named in DEFINER clauses is looked
//!   for only where somebody has the time, or an account would be dropped.

use std::collections::BTreeSet;

use sqlx::mysql::MySqlConnection;

use super::connect::Peer;
use super::dialect::Dialect;
use super::facts::{Existing, Facts, Master};
use super::grants::{Grants, Object};
use super::look::Look;
use crate::{EngineError, InspectRequest};

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
