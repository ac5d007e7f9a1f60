//! Outcomes of runs that the journal did not take, and the service that records them later.
//!
//! # Failure modes
//! - The journal is down for hours, and every ended run asks it in a loop of its own. One service tries
//!   one outcome at a time, and the next ones after a success.
//! - The journal refuses one outcome each time, and the others wait behind it. After a failure the
//!   outcome is the last one.
//! - Another worker has recorded the outcome meanwhile, as of a run whose worker exited. The later
//!   claim or the recorded end wins, and this outcome is dropped.
//! - The process exits before. The outcome is lost, and the next start ends the run as of a worker
//!   that exited: it reads from the store whether AWSCURRENT moved.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::journal::{ClaimToken, Journal, JournalError, Note, Outcome};
use crate::rotation::run::lease::RENEWAL;
use twinkey_core::telemetry::clock::Clock;

/// The outcome of a run, and its progress that is not in the journal.
#[derive(Debug, Clone)]
pub(crate) struct UnrecordedOutcome {
    pub token: ClaimToken,
    pub unwritten: Note,
    pub outcome: Outcome,
}

/// Outcomes that wait for the journal. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct UnrecordedOutcomes {
    pending: Arc<Mutex<VecDeque<UnrecordedOutcome>>>,
    added: Arc<Notify>,
}

impl UnrecordedOutcomes {
    pub(crate) fn push(&self, outcome: UnrecordedOutcome) {
        self.pending.lock().push_back(outcome);
        self.added.notify_one();
    }

    /// Records the outcomes when the journal is available again, unless another worker recorded one.
    /// It does not return.
    pub async fn record(&self, journal: &dyn Journal, clock: &Clock) {
        loop {
            if self.pending.lock().is_empty() {
                self.added.notified().await;
                continue;
            }
            clock.sleep(RENEWAL).await;
            self.record_pending(journal).await;
        }
    }

    /// Records them until the journal fails.
    async fn record_pending(&self, journal: &dyn Journal) {
        loop {
            let next = self.pending.lock().pop_front();
            let Some(next) = next else {
                return;
            };
            let run = next.token.run;
            match (journal.finish(next.token, &next.unwritten, &next.outcome)).await {
                Ok(()) => tracing::info!(%run, "run outcome recorded"),
                Err(error @ JournalError::Lost { .. }) => {
                    tracing::warn!(%run, %error, "run outcome left to another worker");
                }
                Err(_) => {
                    self.pending.lock().push_back(next);
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::tests::fixture::{at, claimed, read, request};
    use crate::journal::{RunState, SqliteJournal};

    #[tokio::test]
    async fn outcomes_are_recorded_when_the_journal_is_back() {
        let folder = tempfile::tempdir().unwrap();
        let (file, away) = (folder.path().join("j.db"), folder.path().join("away"));
        let journal = SqliteJournal::open(&file).await.unwrap();
        let run = claimed(&journal, &request("orders", 1)).await;
        let other = claimed(&journal, &request("billing", 1)).await;
        let taken = ClaimToken {
            attempt: 9,
            ..other.claim_token()
        };
        let outcomes = UnrecordedOutcomes::default();
        for token in [taken, run.claim_token()] {
            outcomes.push(UnrecordedOutcome {
                token,
                unwritten: Note::default(),
                outcome: Outcome {
                    state: RunState::Succeeded,
                    error: None,
                    now: at(5),
                },
            });
        }
        std::fs::rename(&file, &away).unwrap();
        outcomes.record_pending(&journal).await;
        assert_eq!(outcomes.pending.lock().len(), 2);
        std::fs::rename(&away, &file).unwrap();
        outcomes.record_pending(&journal).await;
        assert!(outcomes.pending.lock().is_empty());
        assert_eq!(read(&journal, &run).await.state, RunState::Succeeded);
        let other = read(&journal, &other).await;
        assert_eq!(
            other.state,
            RunState::Running,
            "it belongs to another claim"
        );
    }
}
