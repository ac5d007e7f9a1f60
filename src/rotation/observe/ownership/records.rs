//! Records of pairs in the journal, and which of them still count.

use chrono::{DateTime, Utc};

use crate::config::settings::Rotation;
use crate::journal::PairRecord;
use crate::rotation::context::RunContext;
use crate::rotation::error::RotationError;
use crate::rotation::observe::observation::{Observation, RunRequest};
use crate::rotation::observe::ownership::same_server::{
    Candidate, MAX_COMPARED, SameServer, compare,
};
use crate::rotation::observe::ownership::survey::{is_of, read_pair, record, server, survey};
use crate::rotation::observe::resolve::read_document;
use twinkey_core::secret::document::Document;
use twinkey_core::secret::{ExposeSecret, Sensitive};
use twinkey_engines::EngineKind;
use twinkey_stores::{Selector, StoreError, stage};

/// What a run records about its pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PairEvent {
    /// The run ended without a success.
    Seen,
    Adopted,
    Succeeded,
}

/// The journal's record of a pair.
#[derive(Debug, Clone)]
pub(crate) struct KnownPair {
    pub(super) record: PairRecord,
    /// The journal has it.
    pub(super) is_recorded: bool,
}

/// Records the pair of a run, if that is new. The journal is history: a failed write is logged only.
pub(crate) async fn record_pair(
    request: &RunRequest<'_>,
    observation: &mut Observation,
    event: PairEvent,
    now: DateTime<Utc>,
) {
    let adopts = observation.adopts();
    let Some(known) = &mut observation.pair_record else {
        return;
    };
    let mut record = known.record.clone();
    match event {
        PairEvent::Seen => {}
        PairEvent::Adopted => record.adopted = Some(now),
        // A pair that was taken over belongs to the secret that took it last.
        PairEvent::Succeeded if adopts => record.owned = Some(now),
        PairEvent::Succeeded => record.owned = record.owned.or(Some(now)),
    }
    if known.is_recorded && record == known.record {
        return;
    }
    match request.journal.record_pair(&record).await {
        Ok(()) => {
            known.record = record;
            known.is_recorded = true;
        }
        Err(error) => {
            tracing::warn!(rotation = %request.rotation.name, %error, "pair not recorded");
        }
    }
}

/// A server's identity that is longer is not recorded.
const LONGEST_IDENTITY: usize = 1024;

/// The journal's records of the pairs that have one of the two users, at this address or at a server
/// with this identity.
pub(super) struct PairRecords {
    /// This secret's, or a new one.
    pub own: PairRecord,
    /// Those of other secrets.
    others: Vec<PairRecord>,
    /// Another rotation of the config that has the same secret.
    pub duplicate: Option<PairRecord>,
    /// The rotations of the config whose pair is not known.
    pub unknown: Vec<String>,
    /// The journal was read.
    pub is_known: bool,
    /// It has this rotation's record, with these users.
    pub is_recorded: bool,
}

/// A record of another secret that still has the pair.
pub(super) struct OtherSecret {
    pub record: PairRecord,
    /// The user in its AWSCURRENT; `None` if the secret cannot be read.
    pub user: Option<String>,
    /// Its AWSCURRENT is the standby.
    pub is_login: bool,
}

/// The other secrets with a user of the pair.
pub(super) struct LiveSecrets {
    pub others: Vec<OtherSecret>,
    /// Those at another address whose server has this identity, and why it is not known whether it
    /// is this server.
    pub unconfirmed: Vec<(PairRecord, String)>,
}

impl PairRecords {
    pub(super) async fn read(
        context: &RunContext,
        request: &RunRequest<'_>,
        observation: &Observation,
    ) -> Self {
        let pair = &observation.resolved.pair;
        let description = &observation.description;
        let rotation = request.rotation;
        let secret = if description.arn.is_empty() {
            &rotation.secret
        } else {
            &description.arn
        };
        let server = server(&observation.master, &observation.resolved);
        let identity = (observation.admin.as_ref())
            .and_then(|session| session.admin.server_identity())
            .filter(|identity| identity.len() <= LONGEST_IDENTITY);
        let unknown = survey(context, request, &server, identity).await;
        let mut records = Self {
            own: record(rotation, secret, server, pair),
            others: Vec::new(),
            duplicate: None,
            unknown,
            is_known: false,
            is_recorded: false,
        };
        let own = &mut records.own;
        own.server_identity = identity.map(str::to_owned);
        let users = [&*pair.base, &*pair.clone];
        let read = request.journal.pairs(&own.server, identity, users);
        let known = match read.await {
            Ok(known) => known,
            Err(error) => {
                tracing::warn!(rotation = %own.rotation, %error, "records of pairs not read");
                return records;
            }
        };
        // A rotation that was renamed keeps its secret. A secret that was created again has another ARN.
        let created_again = |record: &PairRecord| {
            record.rotation == own.rotation
                && is_of(rotation, record)
                && same_store(&record.secret, &own.secret)
        };
        let (ours, others): (Vec<_>, Vec<_>) = (known.into_iter())
            .partition(|record| record.secret == own.secret || created_again(record));
        let same_pair = |record: &&PairRecord| record.base == own.base && record.clone == own.clone;
        let ours: Vec<&PairRecord> = ours.iter().filter(same_pair).collect();
        let rotations = context.pairs.rotations.get();
        let in_config = |record: &&&PairRecord| {
            let rotation = rotations.get(&record.rotation);
            record.rotation != own.rotation && rotation.is_some_and(|r| is_of(r, record))
        };
        records.duplicate = ours.iter().find(in_config).copied().cloned();
        // An identity permits nothing: what this secret owns at another address may be elsewhere.
        let ours: Vec<&PairRecord> = (ours.into_iter())
            .filter(|record| record.server == own.server)
            .collect();
        let owned = ours.iter().filter_map(|record| record.owned).max();
        let adopted = ours.iter().filter_map(|record| record.adopted).max();
        (own.owned, own.adopted) = (owned, adopted);
        let recorded = (ours.iter()).find(|record| record.rotation == own.rotation);
        if let Some(recorded) = recorded {
            let known = &recorded.server_identity;
            own.server_identity = own.server_identity.take().or_else(|| known.clone());
            records.is_recorded = *known == own.server_identity && recorded.secret == own.secret;
        }
        records.others = others;
        records.is_known = true;
        records
    }

    /// The other secrets that still have the pair. A secret that was deleted, or has another user
    /// now, has not. `password`: that of the standby.
    pub(super) async fn live(
        &self,
        context: &RunContext,
        request: &RunRequest<'_>,
        observation: &mut Observation,
        password: Option<&Sensitive>,
    ) -> LiveSecrets {
        let rotations = context.pairs.rotations.get();
        let mut live = Vec::new();
        let mut elsewhere = Vec::new();
        for record in &self.others {
            let other = rotations.get(&record.rotation);
            let has_accounts = matches!(
                observation.resolved.kind,
                EngineKind::Mysql | EngineKind::Mariadb
            );
            if has_accounts && other.is_some_and(|other| other_accounts(request.rotation, other)) {
                continue;
            }
            let (record, document) = match read_again(context, record).await {
                Ok(read) => read,
                Err(error) if self.is_gone(record, &error) => continue,
                // One of another server, as far as it is known.
                Err(_) if record.server != self.own.server => continue,
                // It may have the pair.
                Err(_) => {
                    live.push(OtherSecret {
                        record: record.clone(),
                        user: None,
                        is_login: false,
                    });
                    continue;
                }
            };
            let user = &document.fields().username;
            let has_pair = *user == record.base || *user == record.clone;
            if !has_pair || !self.overlaps(&record) {
                continue;
            }
            if record.server == self.own.server {
                live.push(other_secret(observation, record, &document, password));
            } else if record.server_identity.is_some()
                && record.server_identity == self.own.server_identity
                && elsewhere.len() < MAX_COMPARED
            {
                elsewhere.push(Candidate { record, document });
            }
        }
        let mut unconfirmed = Vec::new();
        let compared = compare(observation, &self.own, &elsewhere).await;
        for (other, is_same) in elsewhere.into_iter().zip(compared) {
            let Candidate { record, document } = other;
            let is_here = match is_same {
                SameServer::Yes => true,
                SameServer::No => false,
                SameServer::Unknown(_) if has_password(observation, &document, password) => true,
                SameServer::Unknown(reason) => {
                    unconfirmed.push((record.clone(), reason));
                    false
                }
            };
            if is_here {
                live.push(other_secret(observation, record, &document, password));
            }
        }
        LiveSecrets {
            others: live,
            unconfirmed,
        }
    }

    /// Whether the record has one of this pair's users.
    fn overlaps(&self, record: &PairRecord) -> bool {
        let own = [&self.own.base, &self.own.clone];
        own.contains(&&record.base) || own.contains(&&record.clone)
    }

    /// Whether the secret has no user any more: it was deleted, or its value is no document.
    fn is_gone(&self, record: &PairRecord, error: &RotationError) -> bool {
        match error {
            RotationError::Store { source, .. } => {
                matches!(source, StoreError::NotFound { .. })
                    && same_store(&record.secret, &self.own.secret)
            }
            RotationError::Document { .. } => true,
            _ => false,
        }
    }
}

fn other_secret(
    observation: &Observation,
    record: PairRecord,
    document: &Document,
    password: Option<&Sensitive>,
) -> OtherSecret {
    let user = &document.fields().username;
    // If the standby has another password, the other secret does not sign in any more.
    let works = password.is_none_or(|password| is_password(password, document));
    OtherSecret {
        is_login: user == observation.resolved.pair.standby_user() && works,
        user: Some(user.clone()),
        record,
    }
}

/// Whether another secret has the password that its user has at this server. `standby`: that of the
/// standby, as far as it is known.
fn has_password(
    observation: &Observation,
    document: &Document,
    standby: Option<&Sensitive>,
) -> bool {
    let resolved = &observation.resolved;
    let user = &document.fields().username;
    if user == resolved.pair.standby_user() {
        standby.is_some_and(|password| is_password(password, document))
    } else {
        user == resolved.pair.active_user() && is_password(resolved.document.password(), document)
    }
}

fn is_password(password: &Sensitive, document: &Document) -> bool {
    password.expose_secret() == document.password().expose_secret()
}

/// A record with the users and the server that the secret names now, and its document.
async fn read_again(
    context: &RunContext,
    known: &PairRecord,
) -> Result<(PairRecord, Document), RotationError> {
    let rotations = context.pairs.rotations.get();
    let configured = rotations.get(&known.rotation).filter(|r| is_of(r, known));
    let Some(rotation) = configured else {
        let current = Selector::Stage(stage::CURRENT);
        let read = read_document(&*context.store, "secret", &known.secret, current);
        return Ok((known.clone(), read.await?.1));
    };
    let (mut record, document) = read_pair(&context.of(rotation), rotation).await?;
    if record.base == known.base && record.clone == known.clone {
        (record.owned, record.adopted) = (known.owned, known.adopted);
    }
    if record.server == known.server {
        record.server_identity.clone_from(&known.server_identity);
    }
    Ok((record, document))
}

/// Whether the rotations have different accounts of their users (`accounts`, MySQL and MariaDB).
fn other_accounts(one: &Rotation, other: &Rotation) -> bool {
    let hosts = |rotation: &'_ Rotation| rotation.options.mysql.accounts.clone();
    hosts(one).zip(hosts(other)).is_some_and(|(one, other)| {
        let mut one = one.iter();
        one.all(|host| !other.iter().any(|known| known.eq_ignore_ascii_case(host)))
    })
}

/// Whether two secrets are in one account and region: all of the ARN but the name is equal.
pub(super) fn same_store(one: &str, other: &str) -> bool {
    let prefix = |secret: &str| {
        secret
            .rsplit_once(":secret:")
            .map(|(prefix, _)| prefix.to_owned())
    };
    prefix(one) == prefix(other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::rotation;

    #[test]
    fn rotations_of_different_accounts_share_no_user() {
        let with = |hosts| rotation(&format!("engine = \"mysql\"\naccounts = {hosts}"));
        let (all, local) = (rotation(""), with("[\"localhost\"]"));
        assert!(other_accounts(&local, &with("[\"%\", \"10.%\"]")));
        assert!(!other_accounts(&local, &with("[\"%\", \"LOCALHOST\"]")));
        assert!(!other_accounts(&local, &all) && !other_accounts(&all, &local));
    }

    #[test]
    fn secrets_of_one_account_and_region_are_in_one_store() {
        let arn = |region, name| format!("arn:aws:secretsmanager:{region}:1:secret:{name}");
        assert!(same_store(&arn("eu-west-1", "a"), &arn("eu-west-1", "b")));
        assert!(!same_store(&arn("eu-west-1", "a"), &arn("us-east-1", "a")));
        assert!(same_store("a", "b"));
    }
}
