//! What to do next: a pure function from what was observed to one action.
//!
//! A run remembers nothing. It observes, decides, acts, and looks again; a crash anywhere is answered
//! by the same function on the next start. What can go wrong, and what prevents it here:
//!
//! - AWSCURRENT points at credentials that do not sign in: only a standby that was just proved is
//!   promoted, and nothing but [`Action::Converge`] touches a database user, always the standby.
//! - Two runs with different version ids give the standby two passwords, and the wrong one is
//!   promoted: a run that finds a pending document of another run *carries its password on* under its
//!   own version id. Whichever of the two is promoted in the end, and however late, the password in
//!   it is the one that the standby has. (That the database hears of a new password only on the
//!   connection that holds the pair's lock is the other half: see [`twinkey_engines::Admin::lock`].)
//! - A label that is not ours is thrown away: a pending document that is not for the standby is
//!   refused with `pending_conflict` and left where it is.
//! - A guard is skipped on a retry: guards are facts like any other and are asked every time.
//!
//! `model/` beside this file enumerates every combination of facts and every crash between two
//! effects, and proves the promises over all of them.

use twinkey_core::code::Code;

/// Everything that a decision rests on. Plain data: no passwords, no names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Observed {
    /// Where the version of this run stands.
    pub own: Own,
    /// Where AWSPENDING is, when it is not on the version of this run.
    pub elsewhere: Elsewhere,
    pub guards: Guards,
    pub standby: Standby,
    /// The proof of the standby's pending password and privileges, once it was tried in this attempt.
    pub proof: Option<bool>,
    /// The standby was made equal in this attempt.
    pub converged: bool,
}

/// Where the version of this run stands in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Own {
    /// No version has this id.
    NotThere,
    /// It has a value, but no label.
    Unlabelled(Content),
    /// AWSPENDING.
    Pending(Content),
    /// AWSCURRENT: the run is over.
    Current,
    /// AWSPREVIOUS: the run was over, and something else was promoted since.
    Previous,
}

/// Where AWSPENDING is, when it is not on the version of this run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Elsewhere {
    /// Nowhere, or on AWSCURRENT or AWSPREVIOUS, where it means nothing any more.
    Nothing,
    /// On another version.
    Pending {
        content: Content,
        /// Its password is the one in the version of this run, where both have one.
        same_password: bool,
    },
}

/// What a version holds, seen from the current document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Content {
    /// The current document with the standby's name and some password.
    Fits,
    /// The standby's name, but other fields than the current document has now.
    Outdated,
    /// No value: a placeholder that AWS's rotation makes.
    Empty,
    /// Something else: another user, or no secret document.
    Foreign,
}

/// Whether a run may act at all. Each is true when it stands in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Guards {
    /// Another rotator is switched on for this secret.
    pub managed_elsewhere: bool,
    /// The window is not open (any more).
    pub window_closed: bool,
    /// AWSCURRENT moved less than `min_interval` ago, and the run is not forced.
    pub too_soon: bool,
    /// AWSCURRENT does not sign in.
    pub current_refused: bool,
    /// The master does not sign in.
    pub master_refused: bool,
    /// The master and the secret lead to different servers.
    pub other_server: bool,
    /// Somebody else holds the pair's lock.
    pub locked: bool,
    /// The engine says that this pair must not be rotated.
    pub unfit: bool,
    /// The standby has to be created, and must not be.
    pub standby_missing: bool,
    /// The master lacks a privilege that the changes need.
    pub master_lacks: bool,
    /// The standby differs, and must not be changed but for its password.
    pub differs: bool,
    /// Somebody lives on the standby, and the run is not forced.
    pub standby_in_use: bool,
}

/// What is known of the standby in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Standby {
    /// It is there, and nothing but its password is to be changed.
    pub equal: bool,
    /// It signs in with the password of the version of this run.
    pub has_password: bool,
}

/// One step of the loop. Each has at most one effect, and repeating it changes nothing more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Writes the standby's new document as AWSPENDING, with the password of the pending document
    /// that another run left (`carry`) or with a new one.
    PutPending { carry: bool },
    /// Moves AWSPENDING back to the version of this run.
    LabelPending,
    /// Takes AWSPENDING off the version of this run: what it holds must not be promoted any more.
    DropPending,
    /// Makes the standby equal and gives it the pending password.
    Converge,
    /// Signs in as the standby and compares once more.
    Prove,
    /// Moves AWSCURRENT from the observed version to that of this run.
    Promote,
    /// Stops, changing nothing.
    Refuse(Refusal),
    /// AWSCURRENT is the version of this run.
    Done,
}

/// Why a run stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    ManagedElsewhere,
    WindowClosed,
    TooSoon,
    CurrentRefused,
    MasterRefused,
    OtherServer,
    Locked,
    Unfit,
    StandbyMissing,
    MasterLacks,
    Differs,
    StandbyInUse,
    /// AWSPENDING is on a version that is not the standby's.
    PendingConflict,
    /// The secret moved on without this run.
    LostRace,
    /// The standby does not sign in with the pending password.
    PendingRefused,
    /// It was made equal and still differs.
    StillDiffers,
}

impl Refusal {
    /// The code of the contract.
    #[must_use]
    pub const fn code(self) -> Code {
        match self {
            Self::ManagedElsewhere => Code::ManagedElsewhere,
            Self::WindowClosed => Code::WindowClosed,
            Self::TooSoon => Code::TooSoon,
            Self::CurrentRefused => Code::CurrentSigninFailed,
            Self::MasterRefused => Code::MasterSigninFailed,
            Self::OtherServer => Code::HostMismatch,
            Self::Locked => Code::AlreadyRunning,
            Self::Unfit => Code::DbRefused,
            Self::MasterLacks => Code::PrivilegesMissing,
            Self::StandbyMissing | Self::Differs | Self::StillDiffers => Code::PrivilegesDiffer,
            Self::StandbyInUse => Code::StandbyInUse,
            Self::PendingConflict => Code::PendingConflict,
            Self::LostRace => Code::LostRace,
            Self::PendingRefused => Code::PendingSigninFailed,
        }
    }

    /// Whether it may go away by itself while the window is open.
    #[must_use]
    pub const fn passes(self) -> bool {
        matches!(self, Self::TooSoon | Self::Locked | Self::StandbyInUse)
    }
}

impl Guards {
    /// Everything that stands in the way of any run, the first reason first.
    #[must_use]
    pub fn refusals(&self) -> Vec<Refusal> {
        [
            (self.managed_elsewhere, Refusal::ManagedElsewhere),
            (self.window_closed, Refusal::WindowClosed),
            (self.current_refused, Refusal::CurrentRefused),
            (self.master_refused, Refusal::MasterRefused),
            (self.other_server, Refusal::OtherServer),
            (self.locked, Refusal::Locked),
            (self.unfit, Refusal::Unfit),
            (self.standby_missing, Refusal::StandbyMissing),
            (self.master_lacks, Refusal::MasterLacks),
            (self.differs, Refusal::Differs),
        ]
        .into_iter()
        .filter_map(|(stands, refusal)| stands.then_some(refusal))
        .collect()
    }

    /// What stands in the way of taking the standby from whoever may still live on it.
    #[must_use]
    pub fn takeover(&self) -> Option<Refusal> {
        if self.too_soon {
            Some(Refusal::TooSoon)
        } else if self.standby_in_use {
            Some(Refusal::StandbyInUse)
        } else {
            None
        }
    }
}

/// The next action.
#[must_use]
pub fn decide(o: &Observed) -> Action {
    use Content::{Empty, Fits, Foreign, Outdated};

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
    if let Elsewhere::Pending {
        content: Foreign, ..
    } = o.elsewhere
    {
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
        _ => o.guards.takeover().map_or_else(
            || Action::PutPending {
                carry: matches!(
                    o.elsewhere,
                    Elsewhere::Pending {
                        content: Fits | Outdated,
                        ..
                    }
                ),
            },
            Action::Refuse,
        ),
    }
}

/// The pending document is this run's, is right, and nothing stands in the way.
fn finish(o: &Observed) -> Action {
    if o.proof == Some(false) {
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
        (true, None) => Action::Prove,
        (true, Some(_)) => Action::Promote,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standby_that_was_made_equal_and_still_differs_ends_the_run() {
        let mut observed = Observed {
            own: Own::Pending(Content::Fits),
            elsewhere: Elsewhere::Nothing,
            guards: Guards::default(),
            standby: Standby {
                equal: false,
                has_password: true,
            },
            proof: None,
            converged: false,
        };
        assert_eq!(decide(&observed), Action::Converge);
        observed.converged = true;
        assert_eq!(decide(&observed), Action::Refuse(Refusal::StillDiffers));
    }

    #[test]
    fn every_refusal_has_a_code_and_only_what_passes_is_waited_for() {
        for (refusal, code, passes) in [
            (Refusal::Locked, Code::AlreadyRunning, true),
            (Refusal::TooSoon, Code::TooSoon, true),
            (Refusal::StandbyInUse, Code::StandbyInUse, true),
            (Refusal::LostRace, Code::LostRace, false),
            (Refusal::PendingConflict, Code::PendingConflict, false),
            (Refusal::MasterLacks, Code::PrivilegesMissing, false),
        ] {
            assert_eq!((refusal.code(), refusal.passes()), (code, passes));
        }
    }
}
