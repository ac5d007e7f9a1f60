//! What is armed, disarmed or refused that was not before. Pure.
//!
//! # Failure modes
//! - Every start records every refusal again. A refusal is recorded when its sentence is another one.
//! - Two workers record one change. The journal records it once ([`ArmingChange`]).

use chrono::{DateTime, Utc};

use super::plan::{Discovery, Finding, FoundSecret};
use crate::journal::{ArmingChange, AuditAction, AuditRecord, Cause};
use twinkey_core::code::{Code, Problem};

impl FoundSecret {
    /// Why it is refused, with a code and a hint.
    #[must_use]
    pub fn problem(&self) -> Option<Problem> {
        let Finding::Refused(why) = &self.finding else {
            return None;
        };
        Some(Problem {
            code: Code::DiscoveryFailed,
            message: format!("secret {:?} is not rotated: {why}", self.known.listed.name),
            hint: "correct its tags, or change its [[discover]]; `twinkey discover --dry-run` shows the result".into(),
        })
    }
}

/// The changes since the journal was read, and the log line of each.
#[must_use]
pub fn changes(discovery: &Discovery, cause: &Cause, at: DateTime<Utc>) -> Vec<ArmingChange> {
    let secrets = discovery.replaced.iter().chain(&discovery.secrets);
    secrets.filter_map(|one| change(one, cause, at)).collect()
}

fn change(one: &FoundSecret, cause: &Cause, at: DateTime<Utc>) -> Option<ArmingChange> {
    let known = &one.known;
    let secret = &known.listed.name;
    let name = one.rotation_name();
    let record = |reason: String| {
        let mut record = AuditRecord::done(AuditAction::Discover, "", cause.clone(), at);
        record.rotation = name.map(str::to_owned);
        record.reason = Some(reason);
        record
    };
    let (armed, refusal, record) = match &one.finding {
        Finding::Armed if known.armed.is_some() && known.rotation.as_deref() == name => {
            return None;
        }
        Finding::Armed => {
            let by = one.by.unwrap_or_default();
            let reason = format!("armed: [[discover]] #{by} found secret {secret:?}");
            (known.armed.or(Some(at)), None, Some(record(reason)))
        }
        Finding::Refused(why) if known.armed.is_none() && known.refusal.as_ref() == Some(why) => {
            return None;
        }
        Finding::Refused(why) => {
            let refused =
                record(format!("secret {secret:?}: {why}")).refused(Code::DiscoveryFailed);
            (None, Some(why.clone()), Some(refused))
        }
        Finding::Skipped(_) if known.armed.is_none() && known.refusal.is_none() => return None,
        Finding::Skipped(why) => {
            let disarmed = || record(format!("disarmed: secret {secret:?}: {why}"));
            (None, None, known.armed.map(|_| disarmed()))
        }
    };
    Some(ArmingChange {
        before: known.clone(),
        rotation: one.rotation.clone(),
        armed,
        refusal,
        record,
    })
}
