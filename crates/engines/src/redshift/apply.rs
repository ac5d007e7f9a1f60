//! Changes are carried out as planned, to the letter.
//!
//! What can go wrong, and what prevents it:
//! - a cut leaves half of it: each batch is one transaction, the password is in the last one, and every
//!   beginning of the list is harmless;
//! - a retry finds other statements in the way: nothing here reads or decides;
//! - another worker has the lock by now: each batch first renews the lease and fails where there is none;
//!   before batches in other databases, where its table is not, that is a batch of its own.

use super::Master;
use super::batch::{Line, cut};
use super::failure::{Failed, Kind};
use super::lock::{FENCE, Lease};
use crate::{EngineError, Filled};

/// Carries `changes` out in order, each run of changes in one database as few transactions as fit.
pub(super) async fn apply(master: &Master, changes: &[Filled]) -> Result<(), EngineError> {
    for group in changes.chunk_by(|one, next| one.database == next.database) {
        let lines: Vec<Line> = group.iter().map(line).collect();
        let fence = master.lease().map(Lease::fence);
        let database = group.first().and_then(|change| change.database.as_deref());
        match database {
            None => {
                let before = fence.as_ref().map_or(&[][..], |fence| fence);
                for batch in cut(&lines, before) {
                    submit(master, &master.peer.database, before, batch).await?;
                }
            }
            Some(other) => {
                for batch in cut(&lines, &[]) {
                    if let Some(fence) = &fence {
                        submit(master, &master.peer.database, fence, &[]).await?;
                    }
                    submit(master, other, &[], batch).await?;
                }
            }
        }
    }
    Ok(())
}

fn line(change: &Filled) -> Line {
    Line {
        shown: change.shown.clone(),
        sent: change.sent.clone(),
        digest: change.filling.clone(),
    }
}

async fn submit(
    master: &Master,
    database: &str,
    before: &[Line],
    batch: &[Line],
) -> Result<(), EngineError> {
    let lines = [before, batch].concat();
    let done = master.client.change(&master.login, database, &lines).await;
    done.map_err(|failed| {
        let lost = failed.kind == Kind::DivisionByZero && failed.statement == Some(FENCE);
        if lost && !before.is_empty() {
            return master.peer.explain(
                "making the pair equal",
                &[],
                Failed::new(Kind::Busy, "another worker has taken the pair's lock"),
            );
        }
        // Numbered as `plan` prints them, without what goes before.
        let failed = Failed {
            statement: failed.statement.and_then(|at| at.checked_sub(before.len())),
            ..failed
        };
        let what = format!("a transaction in {database:?}");
        master.peer.explain(&what, batch, failed)
    })
}
