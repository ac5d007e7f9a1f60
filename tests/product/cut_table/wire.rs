//! Cuts between the worker and the database.

use super::Row;
use super::bench::Bench;
use super::engines::Cuttable;
use super::relay::{Effect, End};

/// More than any run makes.
const MOST_REQUESTS: usize = 200;
/// Requests that are never answered: while signing in, and later ones. The worker gives up after 5 s and 35 s, so
/// these are a few; from then on it is the same for it as a reset.
const SILENT: [usize; 4] = [1, 14, 20, 27];

impl<D: Cuttable> Bench<D> {
    /// Every kind of cut there is on an AWS-shaped store.
    pub async fn every_cut(mut self) -> Vec<Row> {
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

    pub async fn deaths(mut self) -> Vec<Row> {
        self.kills().await
    }

    async fn kills(&mut self) -> Vec<Row> {
        vec![
            self.kill("worker killed before a request", Effect::Before)
                .await,
            self.kill("worker killed after it took effect", Effect::After)
                .await,
        ]
    }

    async fn resets(&mut self, kind: &'static str, effect: Effect) -> Row {
        let mut row = self.row(kind);
        for nth in 1..=MOST_REQUESTS {
            let before = self.begin().await;
            self.relay.cut(nth, effect, End::Reset);
            let ended = self.run(None).await;
            if !self.relay.let_through() {
                break;
            }
            self.make_good(&mut row, nth, &before, ended).await;
        }
        row
    }

    async fn kill(&mut self, kind: &'static str, effect: Effect) -> Row {
        let mut row = self.row(kind);
        for nth in 1..=MOST_REQUESTS {
            let before = self.begin().await;
            let reached = self.relay.cut(nth, effect, End::Held);
            let ended = self.run(Some(reached)).await;
            if !self.relay.let_through() {
                break;
            }
            self.make_good(&mut row, nth, &before, ended).await;
        }
        row
    }

    /// The server is silent at some requests.
    pub async fn silences(mut self) -> Vec<Row> {
        let mut row = self.row("no answer, until the worker gives up");
        for nth in SILENT {
            let before = self.begin().await;
            self.relay.cut(nth, Effect::After, End::Held);
            let ended = self.run(None).await;
            assert!(self.relay.let_through(), "a run makes {nth} requests");
            self.make_good(&mut row, nth, &before, ended).await;
        }
        vec![row]
    }
}
