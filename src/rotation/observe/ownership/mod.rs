//! Whose the pair of users is: this secret's, another secret's, or of unknown origin.
//!
//! # Failure modes
//! - A user of a person or another program gets a new password, its objects and its privileges. A
//!   standby that exists must sign in with a version of this secret, or the operator says so.
//! - Two secrets with one pair lock each other out. The journal records each pair with its secret,
//!   also of rotations of the config that have never run ([`survey`]). Without a common journal the
//!   proof of the standby's password refuses the second secret.
//! - One server has two names in two configs ([`same_server`]).
//! - The first of two secrets with one pair runs, although the second one names its users. It takes
//!   no user that AWSCURRENT of the second secret is; `check` fails for both.
//! - A standby is taken without a proof: AWS's function made it, or the operator says so. `check`
//!   names the user first, and the refusal for its open sessions does not suggest `--force`.
//! - Two rotations of the config have one secret, written in two ways. Both are refused.
//! - A secret is deleted and created again, with another ARN, and the pair of the former one is refused as
//!   that of another secret. The record of the rotation counts, if the config names the secret without
//!   the suffix of its ARN.
//! - A run was interrupted after it created the standby, or a retirement locked it, so that no
//!   password signs in. The engine reports that no client can sign in, or a password derived from
//!   AWSPENDING signs in.
//! - A sign-in fails for another reason, such as a limit of connections. That is no verdict: the run
//!   stops with the server's error and may be retried.
//! - The proofs lock the user after failed sign-ins. The versions of other users are not tried, and
//!   an observation has few refused sign-ins.

mod proof;
mod records;
mod same_server;
mod survey;
mod verdict;

use self::proof::prove_standby;
use self::records::{LiveSecrets, OtherSecret, PairRecords};
use self::verdict::{Consent, Evidence, Proof, Verdict, verdict};
use crate::config::settings::StandbyMode;
use crate::journal::PairRecord;
use crate::rotation::commands::retire::is_due;
use crate::rotation::context::RunContext;
use crate::rotation::decide::Own;
use crate::rotation::error::RotationError;
use crate::rotation::observe::guards::last_flip;
use crate::rotation::observe::observation::{Observation, RunRequest};
use twinkey_engines::StandbyAccess;
use twinkey_stores::stage;

pub(crate) use self::records::{KnownPair, PairEvent, record_pair};
pub(crate) use self::survey::server;

/// Why the pair or the standby is not this secret's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum OwnershipProblem {
    /// This other rotation of the config has the same secret.
    Duplicate(PairRecord),
    /// AWSCURRENT of this other secret is the standby.
    Login(PairRecord),
    /// Runs of this other secret succeeded with the pair.
    Owner(PairRecord),
    /// The standby is complete, and no version of this secret names it.
    Complete,
    /// No version of this secret has the standby's password. `named`: one names the standby.
    Foreign { named: bool },
}

/// What else the observation found about the pair, for `check`.
#[derive(Debug, Default)]
pub(crate) struct Ownership {
    /// Why the pair or the standby is not this secret's.
    pub problem: Option<OwnershipProblem>,
    /// How the run takes a standby that no version of the secret proves.
    pub takeover: Option<Takeover>,
    /// The other secrets that name a user of the pair, with that user.
    pub shared_with: Vec<(PairRecord, String)>,
    /// Runs of this secret succeeded with the pair.
    pub owned: bool,
    /// The rotations of the config whose pair is not known.
    pub unknown: Vec<String>,
    /// Other secrets with a user of the pair whose server may be this one, and why that is not known.
    pub unconfirmed: Vec<(PairRecord, String)>,
}

/// Reason to take a standby that no version of the secret proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Takeover {
    /// `standby = "adopt"`
    Adopted,
    /// `standby = "existing"`
    Existing,
    /// The pair has the shape in which AWS's function leaves it.
    ClonedByAws,
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
    // The missing privilege is the reason against the run.
    if !inspection.readable {
        return Ok(());
    }
    let exists = inspection.standby_exists;
    let access = inspection.standby_access;
    let cloned_by_aws = inspection.cloned_by_aws;
    let records = PairRecords::read(context, request, observation).await;
    let proved = if exists {
        prove_standby(context, request, observation).await?
    } else {
        proof::StandbyProof {
            proof: Proof::NoVersion,
            password: None,
            error: None,
        }
    };
    let LiveSecrets {
        others,
        unconfirmed,
    } = records
        .live(context, request, observation, proved.password.as_ref())
        .await;
    let login = others.iter().find(|other| other.is_login);
    let owner = others
        .iter()
        .find(|other| other.record.owned > records.own.owned);
    let is_open = exists && proved.proof != Proof::Held && proved.error.is_none();
    let history = if is_open || !others.is_empty() {
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
        duplicate: records.duplicate.is_some(),
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
    }
    let problem = match decided {
        Verdict::Ours | Verdict::Unproved | Verdict::Adopted => None,
        Verdict::Foreign => Some(OwnershipProblem::Foreign {
            named: proved.proof == Proof::Refused,
        }),
        Verdict::Shared => Some(match (records.duplicate, login, owner) {
            (Some(duplicate), ..) => OwnershipProblem::Duplicate(duplicate),
            (None, _, Some(owner)) => OwnershipProblem::Owner(owner.record.clone()),
            (None, Some(login), None) => OwnershipProblem::Login(login.record.clone()),
            (None, None, None) => OwnershipProblem::Complete,
        }),
    };
    let takeover = match decided {
        Verdict::Adopted => Some(Takeover::Adopted),
        Verdict::Unproved if cloned_by_aws => Some(Takeover::ClonedByAws),
        Verdict::Unproved => Some(Takeover::Existing),
        Verdict::Ours | Verdict::Foreign | Verdict::Shared => None,
    };
    observation.ownership = Ownership {
        problem,
        takeover: takeover.filter(|_| !inconclusive),
        shared_with: others.into_iter().filter_map(named).collect(),
        owned: evidence.owned,
        unknown: records.unknown,
        unconfirmed,
    };
    observation.standby_error = proved.error;
    observation.pair_record = records.is_known.then_some(KnownPair {
        record: records.own,
        is_recorded: records.is_recorded,
    });
    Ok(())
}

/// As [`set_ownership`], for one user: whether another secret has it.
///
/// Nothing is determined inside the gap, in which the run goes on.
pub(super) async fn set_user_ownership(
    context: &RunContext,
    request: &RunRequest<'_>,
    observation: &mut Observation,
) {
    let observed = &observation.observed;
    let finished = matches!(observed.own, Own::Current | Own::Previous);
    let is_readable = (observation.inspection.as_ref()).is_some_and(|found| found.readable);
    let guards = observed.guards;
    if finished || guards.locked || guards.current_refused || !is_readable {
        return;
    }
    let records = PairRecords::read(context, request, observation).await;
    let password = observation.resolved.document.password().clone();
    let LiveSecrets {
        others,
        unconfirmed,
    } = records
        .live(context, request, observation, Some(&password))
        .await;
    let login = others.iter().find(|other| other.is_login);
    let owner = (others.iter()).find(|other| other.record.owned > records.own.owned);
    let problem = match (records.duplicate, login, owner) {
        (Some(duplicate), ..) => Some(OwnershipProblem::Duplicate(duplicate)),
        (None, Some(login), _) => Some(OwnershipProblem::Login(login.record.clone())),
        (None, None, Some(owner)) => Some(OwnershipProblem::Owner(owner.record.clone())),
        (None, None, None) => None,
    };
    observation.observed.guards.pair_shared = problem.is_some();
    observation.ownership = Ownership {
        problem,
        takeover: None,
        shared_with: others.into_iter().filter_map(named).collect(),
        owned: records.own.owned.is_some(),
        unknown: records.unknown,
        unconfirmed,
    };
    observation.pair_record = records.is_known.then_some(KnownPair {
        record: records.own,
        is_recorded: records.is_recorded,
    });
}

/// The record with the user that AWSCURRENT names.
fn named(other: OtherSecret) -> Option<(PairRecord, String)> {
    Some((other.record, other.user?))
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
