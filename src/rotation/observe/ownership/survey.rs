//! Pairs of the config's other rotations, also of those that have never run.
//!
//! # Failure modes
//! - A rotation that has never run has no record, so that two runs of another one replace the
//!   password that its AWSCURRENT has. Its secret is read once, and the journal keeps its pair.
//! - A secret with a record is edited, and names a user of another pair. The secrets at the same
//!   server are read again after five minutes.
//! - A secret cannot be read. That is no verdict: it is logged, `check` names the rotation, and it
//!   is read again later.
//! - Thousands of secrets delay a run. The reads of a run have limits, and the next run continues.
//!   The other runs of the process wait for the result.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::StreamExt;
use futures_util::stream;
use tokio::time::{Instant, timeout_at};

use crate::config::settings::Rotation;
use crate::journal::{Journal, JournalError, PairRecord};
use crate::rotation::context::RunContext;
use crate::rotation::context::config_pairs::PairRead;
use crate::rotation::error::RotationError;
use crate::rotation::observe::master::{MasterLogin, resolve_with_master};
use crate::rotation::observe::observation::RunRequest;
use crate::rotation::observe::resolve::{ResolvedSecret, engine_kind, pair_of, read_document};
use twinkey_core::aws::secret_id::same_secret;
use twinkey_core::code::Diagnostic;
use twinkey_core::secret::document::Document;
use twinkey_core::secret::pair::Pair;
use twinkey_stores::{Selector, stage};

/// A read that is older is repeated.
const FRESH: TimeDelta = TimeDelta::minutes(5);
/// Secrets with a record that one run reads again.
const MAX_AGAIN: usize = 50;
const CONCURRENT: usize = 8;
/// The time after which a run leaves the remaining reads to the next run.
const MAX_TIME: Duration = Duration::from_secs(20);

type Reads = HashMap<String, PairRead>;

/// Records the pairs of the config's other rotations, as far as they are not known.
///
/// Returns the rotations whose pair is not known.
pub(super) async fn survey(
    context: &RunContext,
    request: &RunRequest<'_>,
    server: &str,
    identity: Option<&str>,
) -> Vec<String> {
    let rotations = context.pairs.rotations.get();
    let own = &request.rotation.name;
    let others: Vec<&Arc<Rotation>> = rotations.iter().filter(|r| r.name != *own).collect();
    if others.is_empty() {
        return Vec::new();
    }
    let mut reads = context.pairs.reads.lock().await;
    reads.retain(|name, read| {
        rotations
            .get(name)
            .is_some_and(|r| r.secret_in_store() == read.secret)
    });
    if let Err(error) = recall(&mut reads, &others, request.journal).await {
        tracing::warn!(rotation = %own, %error, "records of pairs not read");
        return Vec::new();
    }
    let due = due(&reads, &others, server, identity, context.clock.now());
    let found = read_all(context, &mut reads, due).await;
    if !found.is_empty()
        && let Err(error) = request.journal.pairs_seen(&found).await
    {
        tracing::warn!(rotation = %own, %error, "pairs of other rotations not recorded");
    }
    let known = |other: &&&Arc<Rotation>| {
        let read = reads.get(&other.name);
        read.is_some_and(|read| read.record.is_some())
    };
    let unknown = others.iter().filter(|other| !known(other));
    unknown.map(|other| other.name.clone()).collect()
}

/// Adds the journal's pairs of rotations that this process has not read.
async fn recall(
    reads: &mut Reads,
    others: &[&Arc<Rotation>],
    journal: &dyn Journal,
) -> Result<(), JournalError> {
    if others.iter().all(|other| reads.contains_key(&other.name)) {
        return Ok(());
    }
    let mut known: HashMap<String, PairRecord> = (journal.all_pairs().await?.into_iter())
        .map(|record| (record.rotation.clone(), record))
        .collect();
    for other in others {
        let record = known.remove(&other.name);
        let record = record.filter(|record| is_of(other, record));
        if let Some(record) = record.filter(|_| !reads.contains_key(&other.name)) {
            let read = PairRead {
                secret: other.secret_in_store(),
                record: Some(record),
                at: None,
            };
            reads.insert(other.name.clone(), read);
        }
    }
    Ok(())
}

/// Whether the record is about the secret that the config names.
pub(super) fn is_of(rotation: &Rotation, record: &PairRecord) -> bool {
    same_secret(&rotation.secret, &record.secret, rotation.location())
}

/// The rotations to read: those without a pair, and some at this server, or at one with its identity,
/// whose pair is not fresh.
fn due(
    reads: &Reads,
    others: &[&Arc<Rotation>],
    server: &str,
    identity: Option<&str>,
    now: DateTime<Utc>,
) -> Vec<Arc<Rotation>> {
    let is_fresh = |read: &PairRead| read.at.is_some_and(|at| (now - at).abs() < FRESH);
    let (again, unknown): (Vec<_>, Vec<_>) = (others.iter().copied())
        .filter(|other| !reads.get(&other.name).is_some_and(is_fresh))
        .partition(|other| reads.get(&other.name).is_some_and(|r| r.record.is_some()));
    let here = |other: &&Arc<Rotation>| {
        let record = reads.get(&other.name).and_then(|read| read.record.as_ref());
        record.is_some_and(|record| {
            let is_same = identity.is_some() && record.server_identity.as_deref() == identity;
            record.server == server || is_same
        })
    };
    let again = again.into_iter().filter(here).take(MAX_AGAIN);
    unknown.into_iter().chain(again).map(Arc::clone).collect()
}

/// Reads the pairs of rotations, and returns the new ones.
async fn read_all(
    context: &RunContext,
    reads: &mut Reads,
    rotations: Vec<Arc<Rotation>>,
) -> Vec<PairRecord> {
    let deadline = Instant::now() + MAX_TIME;
    let mut results = stream::iter(rotations)
        .map(async |rotation| {
            let context = context.of(&rotation);
            (read_pair(&context, &rotation).await, rotation)
        })
        .buffer_unordered(CONCURRENT);
    let mut found = Vec::new();
    loop {
        let (result, rotation) = match timeout_at(deadline, results.next()).await {
            Ok(Some(read)) => read,
            Ok(None) => return found,
            Err(_) => {
                tracing::warn!("pairs of other rotations left to the next run: the store is slow");
                return found;
            }
        };
        let name = rotation.name.clone();
        let before = reads.remove(&name).and_then(|read| read.record);
        let record = match result {
            Ok((record, _)) => {
                if before
                    .as_ref()
                    .is_none_or(|before| !same_pair(before, &record))
                {
                    found.push(record.clone());
                }
                Some(record)
            }
            Err(error) => {
                tracing::warn!(rotation = %name, code = %error.code(), %error, "pair of the rotation not read");
                before
            }
        };
        let read = PairRead {
            secret: rotation.secret_in_store(),
            record,
            at: Some(context.clock.now()),
        };
        reads.insert(name, read);
    }
}

/// Whether two records have one secret, server and pair.
pub(super) fn same_pair(one: &PairRecord, other: &PairRecord) -> bool {
    let key = |record: &PairRecord| {
        let PairRecord {
            secret,
            server,
            base,
            clone,
            ..
        } = record.clone();
        (secret, server, base, clone)
    };
    key(one) == key(other)
}

/// The pair that AWSCURRENT of a rotation's secret names, with the document.
///
/// If its master is not known, the secret's own host is the server.
///
/// # Errors
/// `secret_malformed`; errors of the store.
pub(super) async fn read_pair(
    context: &RunContext,
    rotation: &Rotation,
) -> Result<(PairRecord, Document), RotationError> {
    if let Ok((resolved, master)) = resolve_with_master(context, rotation).await {
        let server = server(&master, &resolved);
        let record = record(rotation, resolved.secret_id(), server, &resolved.pair);
        return Ok((record, resolved.document));
    }
    let current = Selector::Stage(stage::CURRENT);
    let (version, document) =
        read_document(&*context.store, "secret", &rotation.secret, current).await?;
    let fields = document.fields();
    let kind = engine_kind(rotation, fields)?;
    let Some(host) = &fields.host else {
        return Err(RotationError::Incomplete {
            secret: rotation.secret.clone(),
            field: "host",
        });
    };
    let server = address(host, fields.port.unwrap_or(kind.default_port()));
    let pair = pair_of(rotation, &fields.username);
    let secret = if version.arn.is_empty() {
        &rotation.secret
    } else {
        &version.arn
    };
    Ok((record(rotation, secret, server, &pair), document))
}

/// A record of a pair that nothing is known of.
pub(super) fn record(rotation: &Rotation, secret: &str, server: String, pair: &Pair) -> PairRecord {
    PairRecord {
        rotation: rotation.name.clone(),
        secret: secret.to_owned(),
        server,
        server_identity: None,
        base: pair.base.clone(),
        clone: pair.clone.clone(),
        owned: None,
        adopted: None,
    }
}

/// The address at which the master signs in.
pub(crate) fn server(master: &MasterLogin, resolved: &ResolvedSecret) -> String {
    let target = &master.target;
    address(
        &target.host,
        target.port.unwrap_or(resolved.kind.default_port()),
    )
}

fn address(host: &str, port: u16) -> String {
    format!("{}:{port}", host.trim_end_matches('.').to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rotations(names: &[&str]) -> Vec<Arc<Rotation>> {
        let table = |name: &&str| format!("[[rotation]]\nname = \"{name}\"\nsecret = \"{name}\"\n");
        let text: String = names.iter().map(table).collect();
        let settings = crate::config::testing::local(&text);
        settings.rotations.into_iter().map(Arc::new).collect()
    }

    fn read(rotation: &Rotation, server: Option<&str>, at: Option<DateTime<Utc>>) -> PairRead {
        let pair = Pair::of("app", "_clone");
        PairRead {
            secret: rotation.secret_in_store(),
            record: server.map(|server| record(rotation, "arn", server.into(), &pair)),
            at,
        }
    }

    #[test]
    fn reads_what_is_unknown_and_what_is_old_at_this_server() {
        let now: DateTime<Utc> = "2026-11-29T12:00:00Z".parse().unwrap();
        let old = Some(now - FRESH);
        let all = rotations(&[
            "new",
            "recorded",
            "fresh",
            "old",
            "elsewhere",
            "denied",
            "again",
        ]);
        let states = [
            ("recorded", Some("db:1"), None),
            ("fresh", Some("db:1"), Some(now)),
            ("old", Some("db:1"), old),
            ("elsewhere", Some("db:2"), None),
            ("denied", None, Some(now)),
            ("again", None, old),
        ];
        let mut reads = Reads::new();
        for (name, server, at) in states {
            let rotation = all.iter().find(|r| r.name == name).unwrap();
            reads.insert(name.into(), read(rotation, server, at));
        }
        let others: Vec<&Arc<Rotation>> = all.iter().collect();
        let due = due(&reads, &others, "db:1", None, now);
        let names: Vec<&str> = due.iter().map(|r| &*r.name).collect();
        assert_eq!(names, ["new", "again", "recorded", "old"]);
    }
}
