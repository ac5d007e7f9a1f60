//! Whose the pair of users is: this secret's, another secret's, or of unknown origin.
//!
//! # Failure modes
//! - A user of a person or another program gets a new password, its objects and its privileges. A
//!   standby that exists must sign in with a version of this secret, or the operator says so.
//! - Two secrets with one pair lock each other out. The journal records each pair with its secret;
//!   without a common journal the proof of the standby's password refuses the second secret.
//! - A run was interrupted after it created the standby, or a retirement locked it, so that no
//!   password signs in. The engine reports that no client can sign in, or a password derived from
//!   AWSPENDING signs in.
//! - A sign-in fails for another reason, such as a limit of connections. That is no verdict: the run
//!   stops with the server's error and may be retried.
//! - The proofs lock the user after failed sign-ins. The versions of other users are not tried, and
//!   an observation has few refused sign-ins.

mod proof;
mod verdict;

use chrono::{DateTime, Utc};

use self::proof::prove_standby;
use self::verdict::{Consent, Evidence, Proof, Verdict, verdict};
use crate::config::settings::StandbyMode;
use crate::journal::PairRecord;
use crate::rotation::commands::retire::is_due;
use crate::rotation::context::RunContext;
use crate::rotation::decide::Own;
use crate::rotation::error::RotationError;
use crate::rotation::observe::guards::last_flip;
use crate::rotation::observe::observation::{Observation, RunRequest};
use twinkey_core::secret::document::Document;
use twinkey_core::secret::{ExposeSecret, Sensitive};
use twinkey_engines::StandbyAccess;
use twinkey_stores::{Selector, StoreError, stage};

/// Why the pair or the standby is not this secret's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum OwnershipProblem {
    /// AWSCURRENT of this other secret is the standby.
    Login(PairRecord),
    /// Runs of this other secret succeeded with the pair.
    Owner(PairRecord),
    /// The standby is complete, and no version of this secret names it.
    Complete,
    /// No version of this secret has the standby's password. `named`: one names the standby.
    Foreign { named: bool },
}

/// Determines whose the pair is, and sets the guards about it.
///
/// Nothing is determined while another run may hold the pair's lock, or without the master.
///
/// # Errors
/// Errors of the store.
pub(super) async fn set_ownership(
    context: &RunContext,
    request: &RunRequest<'_>,
    observation: &mut Observation,
) -> Result<(), RotationError> {
    let finished = matches!(observation.observed.own, Own::Current | Own::Previous);
    if finished || observation.observed.guards.locked {
        return Ok(());
    }
    let Some(inspection) = &observation.inspection else {
        return Ok(());
    };
    let exists = inspection.standby_exists;
    let access = inspection.standby_access;
    let cloned_by_aws = inspection.cloned_by_aws;
    let records = PairRecords::read(request, observation).await;
    let proved = if exists {
        prove_standby(context, request, observation).await?
    } else {
        proof::StandbyProof {
            proof: Proof::NoVersion,
            password: None,
            error: None,
        }
    };
    let others = records
        .live(context, observation, proved.password.as_ref())
        .await;
    let login = others.iter().find(|other| other.is_login);
    let owner = others
        .iter()
        .find(|other| other.record.owned > records.own.owned);
    let history = if exists && proved.proof != Proof::Held && proved.error.is_none() {
        History::read(context, request, observation).await
    } else {
        History::default()
    };
    let evidence = Evidence {
        exists,
        proof: proved.proof,
        disabled: access == StandbyAccess::Disabled,
        retired: history.retired && access != StandbyAccess::Enabled,
        owned: records.own.owned.is_some() || history.succeeded,
        equal: observation.observed.standby.equal,
        cloned_by_aws,
        other_owner: owner.is_some(),
        other_login: login.is_some(),
        consent: match request.rotation.standby {
            StandbyMode::Create => Consent::None,
            StandbyMode::Existing => Consent::Existing,
            StandbyMode::Adopt if records.own.adopted.is_some() => Consent::None,
            StandbyMode::Adopt => Consent::Adopt,
        },
    };
    let guards = &mut observation.observed.guards;
    let decided = verdict(&evidence);
    let inconclusive = proved.error.is_some() && decided != Verdict::Shared;
    if inconclusive {
        guards.standby_unproved = true;
    } else {
        guards.pair_shared = decided == Verdict::Shared;
        guards.standby_foreign = decided == Verdict::Foreign;
        observation.adopts = decided == Verdict::Adopted;
    }
    observation.ownership_problem = match decided {
        Verdict::Ours | Verdict::Adopted => None,
        Verdict::Foreign => Some(OwnershipProblem::Foreign {
            named: proved.proof == Proof::Refused,
        }),
        Verdict::Shared => Some(match (login, owner) {
            (_, Some(owner)) => OwnershipProblem::Owner(owner.record.clone()),
            (Some(login), None) => OwnershipProblem::Login(login.record.clone()),
            (None, None) => OwnershipProblem::Complete,
        }),
    };
    observation.standby_error = proved.error;
    observation.pair_record = records.is_known.then_some(KnownPair {
        record: records.own,
        is_recorded: records.is_recorded,
    });
    Ok(())
}

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
    record: PairRecord,
    /// The journal has it.
    is_recorded: bool,
}

/// Records the pair of a run, if that is new. The journal is history: a failed write is logged only.
pub(crate) async fn record_pair(
    request: &RunRequest<'_>,
    observation: &mut Observation,
    event: PairEvent,
    now: DateTime<Utc>,
) {
    let adopts = observation.adopts;
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

/// The journal's records of the pairs that have one of the two users, at this server.
struct PairRecords {
    /// This secret's, or a new one.
    own: PairRecord,
    /// Those of other secrets.
    others: Vec<PairRecord>,
    /// The journal was read.
    is_known: bool,
    /// It has this rotation's record, with these users.
    is_recorded: bool,
}

/// A record of another secret that still has the pair.
struct OtherSecret {
    record: PairRecord,
    /// Its AWSCURRENT is the standby.
    is_login: bool,
}

impl PairRecords {
    async fn read(request: &RunRequest<'_>, observation: &Observation) -> Self {
        let pair = &observation.resolved.pair;
        let description = &observation.description;
        let mut own = PairRecord {
            rotation: request.rotation.name.clone(),
            secret: if description.arn.is_empty() {
                request.rotation.secret.clone()
            } else {
                description.arn.clone()
            },
            server: server(observation),
            base: pair.base.clone(),
            clone: pair.clone.clone(),
            owned: None,
            adopted: None,
        };
        let read = request
            .journal
            .pairs(&own.server, [&pair.base, &pair.clone]);
        let known = match read.await {
            Ok(known) => known,
            Err(error) => {
                tracing::warn!(rotation = %own.rotation, %error, "records of pairs not read");
                return Self {
                    own,
                    others: Vec::new(),
                    is_known: false,
                    is_recorded: false,
                };
            }
        };
        // A rotation that was renamed keeps its secret.
        let (ours, others): (Vec<_>, Vec<_>) =
            (known.into_iter()).partition(|record| record.secret == own.secret);
        let same_pair = |record: &&PairRecord| record.base == own.base && record.clone == own.clone;
        let ours: Vec<&PairRecord> = ours.iter().filter(same_pair).collect();
        let owned = ours.iter().filter_map(|record| record.owned).max();
        let adopted = ours.iter().filter_map(|record| record.adopted).max();
        let is_recorded = ours.iter().any(|record| record.rotation == own.rotation);
        (own.owned, own.adopted) = (owned, adopted);
        Self {
            own,
            others,
            is_known: true,
            is_recorded,
        }
    }

    /// The other secrets that still have the pair. A secret that was deleted, or has another user
    /// now, has not.
    async fn live(
        &self,
        context: &RunContext,
        observation: &Observation,
        password: Option<&Sensitive>,
    ) -> Vec<OtherSecret> {
        let mut live = Vec::new();
        for record in &self.others {
            let current = Selector::Stage(stage::CURRENT);
            let document = match context.store.get(&record.secret, current).await {
                Ok(version) => Document::parse(version.value).ok(),
                Err(StoreError::NotFound { .. })
                    if same_store(&record.secret, &self.own.secret) =>
                {
                    continue;
                }
                // It may have the pair.
                Err(_) => {
                    live.push(OtherSecret {
                        record: record.clone(),
                        is_login: false,
                    });
                    continue;
                }
            };
            let Some(document) = document else { continue };
            let user = &document.fields().username;
            if *user != record.base && *user != record.clone {
                continue;
            }
            // If the standby has another password, the other secret does not sign in any more.
            let works = password.is_none_or(|password| {
                password.expose_secret() == document.password().expose_secret()
            });
            live.push(OtherSecret {
                is_login: user == observation.resolved.pair.standby_user() && works,
                record: record.clone(),
            });
        }
        live
    }
}

/// Whether two secrets are in one account and region: all of the ARN but the name is equal.
fn same_store(one: &str, other: &str) -> bool {
    let prefix = |secret: &str| {
        secret
            .rsplit_once(":secret:")
            .map(|(prefix, _)| prefix.to_owned())
    };
    prefix(one) == prefix(other)
}

/// The address at which the master signs in.
fn server(observation: &Observation) -> String {
    let target = &observation.master.target;
    let port = target
        .port
        .unwrap_or(observation.resolved.kind.default_port());
    format!(
        "{}:{port}",
        target.host.trim_end_matches('.').to_lowercase()
    )
}

/// What the journal has about this rotation's runs with the pair.
#[derive(Default)]
struct History {
    /// A run succeeded with this pair. Versions before this record have no other.
    succeeded: bool,
    /// The standby was locked (`retire_after`), or was due to be: a worker that exits after it
    /// locked a user may not have recorded that.
    retired: bool,
}

impl History {
    async fn read(
        context: &RunContext,
        request: &RunRequest<'_>,
        observation: &Observation,
    ) -> Self {
        let rotation = request.rotation;
        let record = match request.journal.rotation_record(&rotation.name).await {
            Ok(record) => record.unwrap_or_default(),
            Err(error) => {
                tracing::warn!(rotation = %rotation.name, %error, "record of the rotation not read");
                return Self::default();
            }
        };
        let pair = &observation.resolved.pair;
        let same_pair = record.seen.as_ref().is_some_and(|seen| {
            let users = [&seen.active_user, &seen.standby_user];
            users.contains(&&pair.base)
                && users.contains(&&pair.clone)
                && seen.host.as_ref() == Some(&observation.resolved.target.host)
        });
        let flipped_before = observation.description.labelled(stage::PREVIOUS).is_some();
        let known = [
            record.last_flip,
            observation.resolved.created.filter(|_| flipped_before),
        ];
        let now = context.clock.now();
        let due = is_due(rotation, last_flip(rotation, known, now), now);
        Self {
            succeeded: same_pair && record.last_success.is_some(),
            retired: request.retired || record.retired.is_some() || due,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::same_store;

    #[test]
    fn secrets_of_one_account_and_region_are_in_one_store() {
        let arn = |region, name| format!("arn:aws:secretsmanager:{region}:1:secret:{name}");
        assert!(same_store(&arn("eu-west-1", "a"), &arn("eu-west-1", "b")));
        assert!(!same_store(&arn("eu-west-1", "a"), &arn("us-east-1", "a")));
        assert!(same_store("a", "b"));
    }
}
