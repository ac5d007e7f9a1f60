//! Cuts between the worker and the secret store.

use super::engines::CuttableDatabase;
use super::fixture::CutFixture;
use super::{CutRow, places};
use twinkey_testkit::aws::faults::Cut;

/// An upper bound of the calls of a run.
const MAX_CALLS: usize = 40;
/// The calls of every run: two reads of AWSCURRENT, the master secret, the labels, PutSecretValue,
/// and the move of AWSCURRENT.
const CALLS_OF_ANY_RUN: usize = 6;
/// For one user AWSPENDING moves by a call of its own, and is read again before the change.
const CALLS_OF_ONE_USER: usize = 8;
const STEP: usize = 2;

impl<D: CuttableDatabase> CutFixture<D> {
    pub async fn store_cuts(&mut self) -> Vec<CutRow> {
        let mut rows = Vec::new();
        for (kind, cut) in [
            ("store: connection cut before the call", Cut::Before),
            ("store: connection cut after it took effect", Cut::After),
            ("store: 500 once", Cut::Answer(500, "InternalServiceError")),
            (
                "store: throttled once",
                Cut::Answer(400, "ThrottlingException"),
            ),
        ] {
            rows.push(self.one_cut(kind, cut).await);
        }
        for (kind, first) in [
            ("store: gone from before a call on", Cut::Before),
            ("store: gone after a call took effect", Cut::After),
        ] {
            rows.push(self.outage(kind, first).await);
        }
        rows
    }

    /// A lost or refused response is requested again: no run fails.
    async fn one_cut(&mut self, kind: &'static str, cut: Cut) -> CutRow {
        let mut row = self.row(kind);
        for k in places(1, STEP, MAX_CALLS) {
            let before = self.begin().await;
            let already = self.calls();
            self.env.stand_in().faults().cut(k, cut);
            let ended = self.run(None).await;
            let reached = self.calls() >= already + k;
            self.env.stand_in().faults().forget_cuts();
            if !reached {
                break;
            }
            if !ended.is_some_and(|status| status.success()) {
                row.violations
                    .push(format!("{kind}, call {k}: the run failed"));
            }
            self.recover(&mut row, k, &before, ended).await;
        }
        row
    }

    /// During an outage of the store a run may fail, but the promises hold.
    async fn outage(&mut self, kind: &'static str, first: Cut) -> CutRow {
        let mut row = self.row(kind);
        let calls = if self.has_one_user {
            CALLS_OF_ONE_USER
        } else {
            CALLS_OF_ANY_RUN
        };
        for k in places(2, STEP, calls) {
            let before = self.begin().await;
            let faults = self.env.stand_in().faults();
            faults.cut(k, first);
            for later in k + 1..k + MAX_CALLS {
                faults.cut(later, Cut::Before);
            }
            let ended = self.run(None).await;
            self.env.stand_in().faults().forget_cuts();
            self.recover(&mut row, k, &before, ended).await;
        }
        row
    }

    fn calls(&self) -> usize {
        self.env.stand_in().faults().calls().len()
    }
}
