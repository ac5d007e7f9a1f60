//! Cuts between the worker and the database.

use super::engines::CuttableDatabase;
use super::fixture::CutFixture;
use super::relay::{ClientOutcome, Effect};
use super::{CutRow, at_every_request, places};

/// An upper bound of the requests of a run.
const MAX_REQUESTS: usize = 200;
const STEP: usize = 3;
/// With a reader, each run waits for it.
const STEP_WITH_READER: usize = 7;
/// Requests without a response: during the sign-in, and later ones. The worker times out after 5 s
/// and 35 s, so that these are few. After the timeout, they are like a reset.
const SILENT: [usize; 4] = [1, 14, 20, 27];

impl<D: CuttableDatabase> CutFixture<D> {
    /// Every kind of cut with an AWS-shaped store.
    pub async fn every_cut(mut self) -> Vec<CutRow> {
        let mut rows = vec![
            self.resets("connection reset before the request", Effect::Before)
                .await,
            self.resets("connection reset after it took effect", Effect::After)
                .await,
        ];
        rows.extend(self.kills().await);
        rows.extend(self.store_cuts().await);
        rows
    }

    pub async fn deaths(mut self) -> Vec<CutRow> {
        self.kills().await
    }

    /// Cuts of the connections, of a rotation with a reader.
    pub async fn wire_cuts(mut self) -> Vec<CutRow> {
        let mut rows = vec![
            self.resets("connection reset before the request", Effect::Before)
                .await,
            self.resets("connection reset after it took effect", Effect::After)
                .await,
        ];
        rows.extend(self.kills().await);
        rows
    }

    async fn kills(&mut self) -> Vec<CutRow> {
        vec![
            self.kill("worker killed before a request", Effect::Before)
                .await,
            self.kill("worker killed after it took effect", Effect::After)
                .await,
        ]
    }

    fn step(&self) -> usize {
        if self.has_readers() {
            STEP_WITH_READER
        } else {
            STEP
        }
    }

    async fn resets(&mut self, kind: &'static str, effect: Effect) -> CutRow {
        let mut row = self.row(kind);
        for nth in cuts(effect, self.step()) {
            let before = self.begin().await;
            self.relay.cut(nth, effect, ClientOutcome::Reset);
            let ended = self.run(None).await;
            if !self.relay.clear() {
                break;
            }
            self.recover(&mut row, nth, &before, ended).await;
        }
        row
    }

    async fn kill(&mut self, kind: &'static str, effect: Effect) -> CutRow {
        let mut row = self.row(kind);
        for nth in cuts(effect, self.step()) {
            let before = self.begin().await;
            let reached = self.relay.cut(nth, effect, ClientOutcome::Held);
            let ended = self.run(Some(reached)).await;
            if !self.relay.clear() {
                break;
            }
            self.recover(&mut row, nth, &before, ended).await;
        }
        row
    }

    /// The server does not respond to some requests.
    pub async fn silences(mut self) -> Vec<CutRow> {
        let mut row = self.row("no answer, until the worker gives up");
        let count = if at_every_request() { SILENT.len() } else { 2 };
        for nth in SILENT.into_iter().take(count) {
            let before = self.begin().await;
            self.relay.cut(nth, Effect::After, ClientOutcome::Held);
            let ended = self.run(None).await;
            assert!(self.relay.clear(), "a run makes {nth} requests");
            self.recover(&mut row, nth, &before, ended).await;
        }
        vec![row]
    }
}

/// The state after a request is the one before the next, so that the two kinds cut at different ones.
fn cuts(effect: Effect, step: usize) -> impl Iterator<Item = usize> {
    let first = match effect {
        Effect::Before => 1,
        Effect::After => 2,
    };
    places(first, step, MAX_REQUESTS)
}
