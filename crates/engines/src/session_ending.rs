//! Ending all sessions of a user, in rounds: clients sign in again while their sessions are ended.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::EngineError;

/// What failed, in the errors of an engine.
pub(crate) const WHAT: &str = "ending the sessions of the standby";

/// The sessions that were ended so far.
pub(crate) struct SessionEnding<'a, Id> {
    user: &'a str,
    ended: BTreeSet<Id>,
    /// Rounds that are left.
    rounds: u32,
    pause: Duration,
}

impl<'a, Id: Ord> SessionEnding<'a, Id> {
    /// At most `rounds`, with a pause after each, in which the server removes the sessions.
    pub(crate) const fn new(user: &'a str, rounds: u32, pause: Duration) -> Self {
        Self {
            user,
            ended: BTreeSet::new(),
            rounds,
            pause,
        }
    }

    /// The number of sessions that were ended.
    pub(crate) fn count(&self) -> usize {
        self.ended.len()
    }

    /// Records the sessions that a round ended, and waits for the next one.
    ///
    /// # Errors
    /// [`EngineError::Busy`] after the last round.
    pub(crate) async fn finish_round(&mut self, ids: Vec<Id>) -> Result<(), EngineError> {
        let open = ids.len();
        self.ended.extend(ids);
        tokio::time::sleep(self.pause).await;
        self.rounds = self.rounds.saturating_sub(1);
        if self.rounds > 0 {
            return Ok(());
        }
        Err(EngineError::Busy {
            what: WHAT.into(),
            reason: format!("{open} of {:?} are still open", self.user),
        })
    }
}
