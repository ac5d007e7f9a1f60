//! Decision for `strategy = "single"`: one user, whose password changes.
//!
//! The loop, the store and the facts are those of a pair, with the one user as the standby: its
//! documents name the user of AWSCURRENT, and [`Standby::equal`](super::Standby) is always true.
//! Three facts are added ([`OneUser`]). While AWSCURRENT signs in, a run goes the way of a pair:
//! `create`, `set`, `test`, `finish`. Where the server keeps one password only, AWSCURRENT stops
//! with the change and works again after the flip. This is the gap, and [`in_gap`] has its rules.
//!
//! # Failure modes
//! - Neither AWSCURRENT nor AWSPENDING signs in, and applications have no way back. The password is
//!   in AWSPENDING before the change, and AWSPENDING leaves a version only for one with the same
//!   password, or while AWSCURRENT signs in and the pending password does not. No run removes it.
//! - A write to the store takes effect late and moves AWSPENDING to another password inside the gap.
//!   A run writes its version without AWSPENDING, and then moves the label by a compare-and-swap
//!   ([`Action::LabelPending`]): a late move fails.
//! - A refused run prolongs the gap: `min_interval`, a closed window, or a reader that is down. In
//!   the gap only promotion is right, so no guard stops it. A guard can stop a run before the change.
//! - A run replaces the password of a user whose credentials are all unknown. While neither
//!   password signs in, nothing is written ([`Refusal::CurrentRefused`]), and `repair` names the
//!   version that has the password.
//! - A network error is read as a refused password. Only a server's refusal is a fact. Any other
//!   error ends the attempt before a decision.
//! - A statement of a crashed run takes effect later. The connection holds the lock until the
//!   server has finished it, and no other run begins meanwhile.
//! - A user has several accounts, and a crash leaves some of them with the old password. The run
//!   changes the rest first ([`OneUser::own_signs_in`]), because a flip would lock out their clients.
//! - MySQL retains the password that is the primary one at the change. After a rollback, or if
//!   AWSPENDING was lost, that is not AWSCURRENT's, and AWSCURRENT would stop. A run makes it the
//!   primary one first ([`Action::RestoreCurrent`]). No client notices: both go on signing in.
//! - A replica is down or broken during the gap. A run looks at all of them before the change. In
//!   the gap it waits for one that answers and is behind, and skips one that cannot be reached.

use super::{Action, Content, Elsewhere, Observed, Own, Proof, Refusal, finish};
pub use twinkey_engines::PasswordChange;

/// Facts about the one user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OneUser {
    /// The password in the version of this run signs in. Unlike
    /// [`Standby::has_password`](super::Standby), other accounts of the user may lack it.
    pub own_signs_in: bool,
    /// The password in the pending version of another run signs in.
    pub elsewhere_signs_in: bool,
    pub change: PasswordChange,
}

/// The next action for one user.
pub(super) fn decide(o: &Observed, user: &OneUser) -> Action {
    use Content::{Empty, Fits, Foreign, Outdated};

    match o.own {
        Own::Current => return Action::Done,
        // Its label stays: the database may have its password, which the next run carries on. A
        // placeholder of another program is not filled: a late write may take AWSPENDING from it.
        Own::Previous
        | Own::Unlabelled(Foreign | Outdated | Empty)
        | Own::Pending(Foreign | Outdated | Empty) => {
            return Action::Refuse(Refusal::LostRace);
        }
        Own::NotThere | Own::Unlabelled(Fits) | Own::Pending(Fits) => {}
    }
    if o.guards.current_refused {
        return in_gap(o, user);
    }
    if let Some(refusal) = o.guards.refusals().first() {
        return Action::Refuse(*refusal);
    }
    if o.is_pending_of_other() {
        return Action::Refuse(Refusal::PendingConflict);
    }
    let carry = o.carries();
    match o.own {
        Own::Pending(Fits) => {
            let next = finish(o);
            if next == Action::Converge && user.change == PasswordChange::RetainsOther {
                return Action::RestoreCurrent;
            }
            next
        }
        Own::Unlabelled(Fits) if carry && !has_own_password(o.elsewhere) => {
            Action::Refuse(Refusal::PendingConflict)
        }
        Own::Unlabelled(Fits) => Action::LabelPending,
        _ => (o.guards.takeover()).map_or(Action::PutPending { carry }, Action::Refuse),
    }
}

/// The next action while AWSCURRENT does not sign in: promotion of the password that does.
fn in_gap(o: &Observed, user: &OneUser) -> Action {
    use Content::Fits;

    // The gap of another secret is not this rotation's.
    if o.guards.replaced {
        return Action::Refuse(Refusal::Replaced);
    }
    // What follows writes a version, moves AWSPENDING or changes accounts: two runs must not.
    let stops = [
        (o.guards.managed_elsewhere, Refusal::ManagedElsewhere),
        (o.guards.locked, Refusal::Locked),
    ];
    let stop = stops.into_iter().find(|(stops, _)| *stops);
    // Else AWSPENDING would stay on the version of the interrupted run, which has this password too.
    let follows_other =
        user.own_signs_in && o.own == Own::Unlabelled(Fits) && has_own_password(o.elsewhere);
    if follows_other && stop.is_none() {
        return Action::LabelPending;
    }
    if o.standby.has_password {
        return match o.proof {
            None => Action::Prove,
            Some(Proof::Refused) => Action::Refuse(Refusal::PendingRefused),
            Some(Proof::Behind) => Action::Refuse(Refusal::ReaderBehind),
            // No client signs in at an endpoint that cannot be reached.
            Some(Proof::Accepted | Proof::Unreachable | Proof::PoolerRefused) => Action::Promote,
        };
    }
    if !user.own_signs_in && !user.elsewhere_signs_in {
        return Action::Refuse(Refusal::CurrentRefused);
    }
    if let Some((_, refusal)) = stop {
        return Action::Refuse(refusal);
    }
    match o.own {
        Own::Pending(Fits) if !user.own_signs_in => Action::Refuse(Refusal::LostRace),
        Own::Pending(Fits) if o.converged => Action::Refuse(Refusal::StillDiffers),
        Own::Pending(Fits) if o.guards.master_refused => Action::Refuse(Refusal::MasterRefused),
        Own::Pending(Fits) => Action::Converge,
        Own::Unlabelled(Fits)
            if o.elsewhere == Elsewhere::Nothing || has_own_password(o.elsewhere) =>
        {
            Action::LabelPending
        }
        Own::NotThere => Action::PutPending { carry: true },
        // The version of this run cannot get the password of the other one. A run with another
        // version id does.
        _ => Action::Refuse(Refusal::LostRace),
    }
}

/// Whether the other pending version has the password of the version of this run.
const fn has_own_password(elsewhere: Elsewhere) -> bool {
    matches!(
        elsewhere,
        Elsewhere::Pending {
            same_password: true,
            ..
        }
    )
}
