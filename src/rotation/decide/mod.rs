//! Decision: a pure function from the observed facts to the next action.
//!
//! A run stores no progress. It observes, decides, acts and observes again; after a crash the same
//! function continues it. `model/` enumerates every combination of facts and every crash between
//! two effects, and checks the promises over all of them. [`single`] has the rules for
//! `strategy = "single"`; what follows is about pairs.
//!
//! # Failure modes
//! - AWSCURRENT points at credentials that do not sign in. Only a standby that was just proved is
//!   promoted, and only [`Action::Converge`] changes a database user, always the standby.
//! - Two runs with different version ids give the standby two passwords, and the wrong one is
//!   promoted. A run that finds a pending document of another run reuses its password under its own
//!   version id, so both versions hold the password of the standby. A run also changes the password
//!   only on the connection that holds the pair's lock ([`twinkey_engines::Admin::lock`]).
//! - A run removes the label of another program. A pending document of another user is refused with
//!   `pending_conflict` and stays.
//! - A run takes a user that belongs to another secret or to a person. Whose the standby is, is a
//!   guard: its password is in a version of this secret, or `observe/ownership` names the reason.
//! - A flip locks out the applications of a replica. Only a proof at every endpoint promotes; an
//!   endpoint that does not accept the password yet is waited for (`observe/endpoints`).
//! - A pooler reads a user's password from a list or a secret. A run writes the secret before the
//!   proof. A hook that writes the list runs after the proof at the database, and the proof is then
//!   repeated, at the poolers too.
//! - A retry skips a guard. Guards are facts, which every decision reads.

pub mod single;

use self::single::OneUser;
use twinkey_core::code::Code;

/// Facts of a decision. Plain data without passwords or names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Observed {
    pub users: Users,
    /// The version of this run.
    pub own: Own,
    /// AWSPENDING, if it is not on the version of this run.
    pub elsewhere: Elsewhere,
    pub guards: Guards,
    pub standby: Standby,
    /// Result of the proof of the pending password, if this attempt tried it.
    pub proof: Option<Proof>,
    /// A pooler's own secret of the standby does not have the pending password.
    pub pooler_secrets_stale: bool,
    pub hooks: Hooks,
    /// This attempt changed the standby.
    pub converged: bool,
    /// The run ends the standby's sessions, and this attempt has not done so yet.
    pub end_sessions: bool,
}

/// The users of a rotation (`strategy`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Users {
    /// Two users, of which the standby changes.
    Pair,
    /// One user, which [`Observed::standby`] and [`Guards`] call the standby.
    One(OneUser),
}

/// Result of a proof of the pending password, at the database and at every other endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Proof {
    /// Every endpoint that counts accepts it.
    Accepted,
    /// The database refuses it.
    Refused,
    /// The database accepts it, and another endpoint refuses it.
    Behind,
    /// The database accepts it, and another endpoint could not be tried.
    Unreachable,
    /// The database accepts it, and a pooler does not.
    PoolerRefused,
}

impl Proof {
    /// The database accepts the password, and an endpoint is the reason for this refusal.
    #[must_use]
    pub const fn stopped_by(refusal: Refusal) -> Self {
        match refusal {
            Refusal::ReaderBehind => Self::Behind,
            Refusal::PoolerRefused => Self::PoolerRefused,
            _ => Self::Unreachable,
        }
    }
}

/// State of the hooks that run before the flip, in this attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hooks {
    /// The rotation has none.
    Absent,
    /// They have not run for the pending password.
    Due,
    Succeeded,
    Failed,
}

/// State of the version of this run in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Own {
    /// No version has this id.
    NotThere,
    /// It has a value and no label.
    Unlabelled(Content),
    /// AWSPENDING.
    Pending(Content),
    /// AWSCURRENT: the run is finished.
    Current,
    /// AWSPREVIOUS: the run was finished, and another version was promoted later.
    Previous,
}

/// Position of AWSPENDING, if it is not on the version of this run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Elsewhere {
    /// On no version, or on AWSCURRENT or AWSPREVIOUS, where it has no effect.
    Nothing,
    /// On another version.
    Pending {
        content: Content,
        /// Its password equals the one in the version of this run.
        same_password: bool,
    },
}

/// Content of a version, compared with the current document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Content {
    /// The current document with the standby's name and any password.
    Fits,
    /// The standby's name, with other fields than the current document.
    Outdated,
    /// No value: a placeholder of Secrets Manager's own rotation.
    Empty,
    /// Another user, or a value that is no document.
    Foreign,
}

/// Reasons against a run; each is true if it applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Guards {
    /// The secret is not the one that discovery found.
    pub replaced: bool,
    /// Another rotator is enabled for this secret.
    pub managed_elsewhere: bool,
    /// The window is closed.
    pub window_closed: bool,
    /// AWSCURRENT moved less than `min_interval` ago, and the run is not forced.
    pub too_soon: bool,
    /// AWSCURRENT does not sign in.
    pub current_refused: bool,
    /// The master does not sign in.
    pub master_refused: bool,
    /// The master and the secret refer to different servers.
    pub other_server: bool,
    /// Another run may hold the pair's lock.
    pub locked: bool,
    /// The change of the one user's password stops AWSCURRENT, and the config does not accept a gap.
    pub gap_not_accepted: bool,
    /// Another secret has this pair of users, or one of them.
    pub pair_shared: bool,
    /// The standby exists, and nothing shows that it is this secret's own.
    pub standby_foreign: bool,
    /// The engine cannot rotate this pair.
    pub unfit: bool,
    /// The standby does not exist, and the config forbids its creation.
    pub standby_missing: bool,
    /// The master lacks a privilege for the changes.
    pub master_lacks: bool,
    /// The standby differs, and the config permits a change of its password only.
    pub differs: bool,
    /// The standby has sessions, and the run is not forced.
    pub standby_in_use: bool,
    /// No version of the secret could be tried as the standby.
    pub standby_unproved: bool,
    /// A reader belongs to another server, so that no new password arrives there.
    pub reader_elsewhere: bool,
    /// A reader refuses AWSCURRENT.
    pub reader_behind: bool,
    /// A reader cannot be reached, and the config does not skip it.
    pub reader_unreachable: bool,
    /// A pooler does not accept AWSCURRENT.
    pub pooler_refused: bool,
}

/// State of the standby in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Standby {
    /// It exists and differs from the active user in its password only.
    pub equal: bool,
    /// It signs in with the password of the version of this run.
    pub has_password: bool,
}

/// Action of the loop. Each has at most one effect, and repeating it has no further effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Writes the standby's new document as AWSPENDING, with a new password or the one of another
    /// run's pending document (`carry`).
    PutPending { carry: bool },
    /// Moves AWSPENDING back to the version of this run.
    LabelPending,
    /// Removes AWSPENDING from the version of this run, which must not be promoted.
    DropPending,
    /// Makes AWSCURRENT's password the primary one again, which it is not, and retains the other.
    /// Only for one user. A repetition follows an observation, which shows that it is done.
    RestoreCurrent,
    /// Makes the standby equal and sets the pending password.
    Converge,
    /// Writes the pending password into the standby's own secret of each pooler.
    PutPoolerSecrets,
    /// Ends the sessions of the standby, which has the pending password.
    EndSessions,
    /// Signs in as the standby and compares the pair again.
    Prove,
    /// Runs the hooks before the flip.
    RunHooks,
    /// Moves AWSCURRENT from the observed version to the version of this run.
    Promote,
    /// Stops without a change.
    Refuse(Refusal),
    /// AWSCURRENT is the version of this run.
    Done,
}

/// Reason for a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// Another secret has the name of the one that discovery found.
    Replaced,
    ManagedElsewhere,
    WindowClosed,
    TooSoon,
    CurrentRefused,
    MasterRefused,
    OtherServer,
    Locked,
    /// `strategy = "single"` has a gap on this server, and the config does not accept it.
    GapNotAccepted,
    PairShared,
    StandbyForeign,
    Unfit,
    StandbyMissing,
    MasterLacks,
    Differs,
    StandbyInUse,
    StandbyUnproved,
    /// AWSPENDING is on a version of another user.
    PendingConflict,
    /// Another program changed the secret during the run.
    LostRace,
    /// The standby does not sign in with the pending password.
    PendingRefused,
    /// The standby still differs after the change.
    StillDiffers,
    /// A reader is no replica of the master's server.
    ReaderElsewhere,
    /// An endpoint does not accept AWSPENDING, or AWSCURRENT before a change.
    ReaderBehind,
    /// A reader could not be tried.
    ReaderUnreachable,
    /// A pooler does not accept AWSPENDING, or AWSCURRENT before a change.
    PoolerRefused,
    /// A hook before the flip failed.
    HookRefused,
}

impl Refusal {
    /// The error code.
    #[must_use]
    pub const fn code(self) -> Code {
        match self {
            Self::Replaced => Code::DiscoveryFailed,
            Self::ManagedElsewhere => Code::ManagedElsewhere,
            Self::WindowClosed => Code::WindowClosed,
            Self::TooSoon => Code::TooSoon,
            Self::CurrentRefused => Code::CurrentSigninFailed,
            Self::MasterRefused => Code::MasterSigninFailed,
            Self::OtherServer | Self::ReaderElsewhere => Code::HostMismatch,
            Self::Locked => Code::AlreadyRunning,
            Self::GapNotAccepted => Code::ConfigInvalid,
            Self::PairShared => Code::PairShared,
            Self::StandbyForeign => Code::StandbyForeign,
            // The engine's error replaces it.
            Self::StandbyUnproved => Code::DbUnreachable,
            Self::Unfit => Code::DbRefused,
            Self::MasterLacks => Code::PrivilegesMissing,
            Self::StandbyMissing | Self::Differs | Self::StillDiffers => Code::PrivilegesDiffer,
            Self::StandbyInUse => Code::StandbyInUse,
            Self::PendingConflict => Code::PendingConflict,
            Self::LostRace => Code::LostRace,
            Self::PendingRefused => Code::PendingSigninFailed,
            Self::ReaderBehind => Code::ReaderBehind,
            Self::ReaderUnreachable => Code::ReaderUnreachable,
            Self::PoolerRefused => Code::PoolerRefused,
            Self::HookRefused => Code::HookRefused,
        }
    }

    /// Whether the reason may disappear while the window is open.
    #[must_use]
    pub const fn passes(self) -> bool {
        matches!(
            self,
            Self::TooSoon
                | Self::Locked
                | Self::StandbyInUse
                | Self::StandbyUnproved
                | Self::ReaderBehind
                | Self::ReaderUnreachable
                | Self::PoolerRefused
                | Self::HookRefused
        )
    }
}

impl Guards {
    /// The reasons against any run, in their order.
    #[must_use]
    pub fn refusals(&self) -> Vec<Refusal> {
        standing([
            (self.replaced, Refusal::Replaced),
            (self.managed_elsewhere, Refusal::ManagedElsewhere),
            (self.window_closed, Refusal::WindowClosed),
            (self.current_refused, Refusal::CurrentRefused),
            (self.master_refused, Refusal::MasterRefused),
            (self.other_server, Refusal::OtherServer),
            (self.reader_elsewhere, Refusal::ReaderElsewhere),
            (self.locked, Refusal::Locked),
            (self.gap_not_accepted, Refusal::GapNotAccepted),
            (self.pair_shared, Refusal::PairShared),
            // A finding, such as an account of another consumer, is more specific.
            (self.unfit, Refusal::Unfit),
            (self.standby_foreign, Refusal::StandbyForeign),
            (self.standby_missing, Refusal::StandbyMissing),
            (self.master_lacks, Refusal::MasterLacks),
            (self.differs, Refusal::Differs),
        ])
    }

    /// The reasons against a new password of the standby, which its clients may still use, or which a
    /// reader or a pooler would not receive.
    #[must_use]
    pub fn takeover_refusals(&self) -> Vec<Refusal> {
        standing([
            (self.too_soon, Refusal::TooSoon),
            (self.standby_in_use, Refusal::StandbyInUse),
            (self.standby_unproved, Refusal::StandbyUnproved),
            (self.reader_unreachable, Refusal::ReaderUnreachable),
            (self.reader_behind, Refusal::ReaderBehind),
            (self.pooler_refused, Refusal::PoolerRefused),
        ])
    }

    /// The first of [`Self::takeover_refusals`].
    #[must_use]
    pub fn takeover(&self) -> Option<Refusal> {
        self.takeover_refusals().first().copied()
    }
}

/// The refusals whose guards stand, in their order.
fn standing<const N: usize>(guards: [(bool, Refusal); N]) -> Vec<Refusal> {
    let guards = guards.into_iter();
    guards
        .filter_map(|(stands, refusal)| stands.then_some(refusal))
        .collect()
}

impl Observed {
    /// Whether AWSPENDING is on a version of another run, whose password a run carries on.
    const fn carries(&self) -> bool {
        matches!(
            self.elsewhere,
            Elsewhere::Pending {
                content: Content::Fits | Content::Outdated,
                ..
            }
        )
    }

    /// Whether AWSPENDING is on a version of another writer, which no run removes.
    #[must_use]
    pub const fn is_pending_of_other(&self) -> bool {
        matches!(
            self.elsewhere,
            Elsewhere::Pending {
                content: Content::Foreign,
                ..
            }
        )
    }
}

/// The next action.
#[must_use]
pub fn decide(o: &Observed) -> Action {
    use Content::{Empty, Fits, Foreign, Outdated};

    if let Users::One(user) = &o.users {
        return single::decide(o, user);
    }
    match o.own {
        Own::Current => return Action::Done,
        Own::Previous | Own::Unlabelled(Foreign | Outdated) => {
            return Action::Refuse(Refusal::LostRace);
        }
        Own::Pending(Foreign | Outdated) => return Action::DropPending,
        Own::NotThere | Own::Unlabelled(Fits | Empty) | Own::Pending(Fits | Empty) => {}
    }
    if let Some(refusal) = o.guards.refusals().first() {
        return Action::Refuse(*refusal);
    }
    if o.is_pending_of_other() {
        return Action::Refuse(Refusal::PendingConflict);
    }

    match o.own {
        Own::Pending(Fits) => finish(o),
        Own::Unlabelled(Fits) => match o.elsewhere {
            Elsewhere::Pending {
                content: Fits | Outdated,
                same_password: false,
            } => Action::Refuse(Refusal::PendingConflict),
            _ => Action::LabelPending,
        },
        _ => {
            let carry = o.carries();
            let refused = o.guards.takeover();
            refused.map_or(Action::PutPending { carry }, Action::Refuse)
        }
    }
}

/// The next action for a pending document of this run that fits.
fn finish(o: &Observed) -> Action {
    if o.proof == Some(Proof::Refused) {
        return Action::Refuse(Refusal::PendingRefused);
    }
    if !o.standby.has_password
        && let Some(refusal) = o.guards.takeover()
    {
        return Action::Refuse(refusal);
    }
    match (o.standby.equal && o.standby.has_password, o.proof) {
        (false, _) if o.converged => Action::Refuse(Refusal::StillDiffers),
        (false, _) => Action::Converge,
        (true, _) if o.pooler_secrets_stale => Action::PutPoolerSecrets,
        (true, _) if o.end_sessions => Action::EndSessions,
        (true, None) => Action::Prove,
        (true, Some(Proof::Behind)) => Action::Refuse(Refusal::ReaderBehind),
        (true, Some(Proof::Unreachable)) => Action::Refuse(Refusal::ReaderUnreachable),
        (true, Some(Proof::PoolerRefused)) => Action::Refuse(Refusal::PoolerRefused),
        (true, Some(Proof::Accepted)) => match o.hooks {
            Hooks::Due => Action::RunHooks,
            Hooks::Failed => Action::Refuse(Refusal::HookRefused),
            Hooks::Absent | Hooks::Succeeded => Action::Promote,
        },
        (true, Some(Proof::Refused)) => Action::Refuse(Refusal::PendingRefused),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standby_that_still_differs_after_the_change_ends_the_run() {
        let mut observed = Observed {
            users: Users::Pair,
            own: Own::Pending(Content::Fits),
            elsewhere: Elsewhere::Nothing,
            guards: Guards::default(),
            standby: Standby {
                equal: false,
                has_password: true,
            },
            proof: None,
            pooler_secrets_stale: false,
            hooks: Hooks::Absent,
            converged: false,
            end_sessions: false,
        };
        assert_eq!(decide(&observed), Action::Converge);
        observed.converged = true;
        assert_eq!(decide(&observed), Action::Refuse(Refusal::StillDiffers));
    }

    #[test]
    fn sessions_end_after_the_change_and_before_the_flip() {
        let mut observed = Observed {
            users: Users::Pair,
            own: Own::Pending(Content::Fits),
            elsewhere: Elsewhere::Nothing,
            guards: Guards::default(),
            standby: Standby {
                equal: true,
                has_password: false,
            },
            proof: None,
            pooler_secrets_stale: false,
            hooks: Hooks::Absent,
            converged: false,
            end_sessions: true,
        };
        assert_eq!(decide(&observed), Action::Converge);
        // Also if an interrupted run had set the password.
        observed.standby.has_password = true;
        assert_eq!(decide(&observed), Action::EndSessions);
        observed.end_sessions = false;
        assert_eq!(decide(&observed), Action::Prove);
    }

    #[test]
    fn a_new_password_is_proved_although_the_standby_is_in_use() {
        let mut observed = Observed {
            users: Users::Pair,
            own: Own::Pending(Content::Fits),
            elsewhere: Elsewhere::Nothing,
            // A pooler keeps the connections of earlier proofs open.
            guards: Guards {
                standby_in_use: true,
                ..Guards::default()
            },
            standby: Standby {
                equal: true,
                has_password: true,
            },
            proof: None,
            pooler_secrets_stale: false,
            hooks: Hooks::Absent,
            converged: false,
            end_sessions: false,
        };
        assert_eq!(decide(&observed), Action::Prove);
        observed.standby.has_password = false;
        assert_eq!(decide(&observed), Action::Refuse(Refusal::StandbyInUse));
    }

    #[test]
    fn hooks_run_after_the_proof_which_is_then_repeated() {
        let mut observed = Observed {
            users: Users::Pair,
            own: Own::Pending(Content::Fits),
            elsewhere: Elsewhere::Nothing,
            guards: Guards::default(),
            standby: Standby {
                equal: true,
                has_password: true,
            },
            proof: None,
            pooler_secrets_stale: true,
            hooks: Hooks::Due,
            converged: true,
            end_sessions: false,
        };
        assert_eq!(decide(&observed), Action::PutPoolerSecrets);
        observed.pooler_secrets_stale = false;
        assert_eq!(decide(&observed), Action::Prove);
        observed.proof = Some(Proof::Accepted);
        assert_eq!(decide(&observed), Action::RunHooks);
        observed.hooks = Hooks::Failed;
        assert_eq!(decide(&observed), Action::Refuse(Refusal::HookRefused));
        (observed.hooks, observed.proof) = (Hooks::Succeeded, None);
        assert_eq!(decide(&observed), Action::Prove);
        observed.proof = Some(Proof::PoolerRefused);
        assert_eq!(decide(&observed), Action::Refuse(Refusal::PoolerRefused));
        observed.proof = Some(Proof::Accepted);
        assert_eq!(decide(&observed), Action::Promote);
    }

    #[test]
    fn only_temporary_refusals_pass() {
        for (refusal, code, passes) in [
            (Refusal::Locked, Code::AlreadyRunning, true),
            (Refusal::TooSoon, Code::TooSoon, true),
            (Refusal::StandbyInUse, Code::StandbyInUse, true),
            (Refusal::ReaderBehind, Code::ReaderBehind, true),
            (Refusal::ReaderUnreachable, Code::ReaderUnreachable, true),
            (Refusal::PoolerRefused, Code::PoolerRefused, true),
            (Refusal::HookRefused, Code::HookRefused, true),
            (Refusal::ReaderElsewhere, Code::HostMismatch, false),
            (Refusal::PairShared, Code::PairShared, false),
            (Refusal::StandbyForeign, Code::StandbyForeign, false),
            (Refusal::LostRace, Code::LostRace, false),
            (Refusal::PendingConflict, Code::PendingConflict, false),
            (Refusal::MasterLacks, Code::PrivilegesMissing, false),
        ] {
            assert_eq!((refusal.code(), refusal.passes()), (code, passes));
        }
    }
}
