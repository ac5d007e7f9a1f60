//! Injected faults of the stand-in.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use serde_json::Value as Json;
use tokio::task::JoinHandle;

/// A request without its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// For example `PutSecretValue`, or `ExecuteStatement`.
    pub action: String,
    /// The secret in the request; of the Data API of Redshift, the secret of its sign-in.
    pub secret: String,
    /// Whether a list has filters.
    pub is_filtered: bool,
}

impl Call {
    fn writes(&self) -> bool {
        matches!(
            self.action.as_str(),
            "CreateSecret"
                | "PutSecretValue"
                | "UpdateSecret"
                | "UpdateSecretVersionStage"
                | "DeleteSecret"
                | "RestoreSecret"
                | "TagResource"
                | "UntagResource"
        )
    }
}

/// The fault of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The connection is cut before the call takes effect.
    Before,
    /// The connection is cut after the call took effect.
    After,
    /// The response is an error with this HTTP status and `__type`; the call has no effect.
    Answer(u16, &'static str),
}

/// The handling of a request.
pub enum FaultDecision {
    Pass,
    CutBefore,
    CutAfter,
    /// HTTP status and `__type`.
    Answer(u16, &'static str),
    /// The server with the stale state.
    FromStale(SocketAddr),
}

/// The injected faults and the recorded calls.
#[derive(Default)]
pub struct Faults(Mutex<State>);

#[derive(Default)]
struct State {
    calls: Vec<Call>,
    stale: Option<StaleReads>,
    answers: Vec<PlannedAnswer>,
    cuts: Vec<(usize, Cut)>,
    writes_per_second: Option<usize>,
    versions: Option<usize>,
    recent_writes: VecDeque<Instant>,
    patches: HashMap<String, Json>,
}

struct StaleReads {
    address: SocketAddr,
    server: JoinHandle<()>,
    reads: Option<usize>,
}

impl Drop for StaleReads {
    fn drop(&mut self) {
        self.server.abort();
    }
}

struct PlannedAnswer {
    action: &'static str,
    left: Remaining,
    status: u16,
    name: &'static str,
}

/// The remaining uses of a planned response.
enum Remaining {
    Times(usize),
    Until(Instant),
}

impl Remaining {
    fn take(&mut self) -> bool {
        match self {
            Self::Times(0) => false,
            Self::Times(times) => {
                *times = times.saturating_sub(1);
                true
            }
            Self::Until(end) => Instant::now() < *end,
        }
    }
}

impl Faults {
    /// Makes the next `times` calls of an action fail with this status and name, without effect.
    pub fn answer(&self, action: &'static str, times: usize, status: u16, name: &'static str) {
        self.order(action, Remaining::Times(times), status, name);
    }

    /// Makes every call of an action fail for a duration.
    pub fn answer_for(
        &self,
        action: &'static str,
        long: Duration,
        status: u16,
        name: &'static str,
    ) {
        self.order(
            action,
            Remaining::Until(Instant::now() + long),
            status,
            name,
        );
    }

    fn order(&self, action: &'static str, left: Remaining, status: u16, name: &'static str) {
        self.lock().answers.push(PlannedAnswer {
            action,
            left,
            status,
            name,
        });
    }

    /// Removes all planned responses.
    pub fn forget_answers(&self) {
        self.lock().answers.clear();
    }

    /// Throttles the next `times` calls of an action.
    pub fn throttle(&self, action: &'static str, times: usize) {
        self.answer(action, times, 400, "ThrottlingException");
    }

    /// Denies all further calls of an action.
    pub fn deny(&self, action: &'static str) {
        self.answer(action, usize::MAX, 400, "AccessDeniedException");
    }

    /// Throttles writes above a number in any second. The quota of AWS is 50.
    pub fn limit_writes(&self, per_second: usize) {
        self.lock().writes_per_second = Some(per_second);
    }

    /// Refuses a version of a secret beyond this number, as all are of the last 24 hours. The quota
    /// of AWS is 100.
    pub fn limit_versions(&self, of_a_secret: usize) {
        self.lock().versions = Some(of_a_secret);
    }

    /// Cuts the k-th call from now; 1 is the next call.
    pub fn cut(&self, k: usize, when: Cut) {
        let mut state = self.lock();
        let at = state.calls.len() + k;
        state.cuts.push((at, when));
    }

    /// Removes cuts that no call reached.
    pub fn forget_cuts(&self) {
        self.lock().cuts.clear();
    }

    /// Adds fields to the response of DescribeSecret for a secret, as the caller names it:
    /// `json!({"RotationEnabled": true, "RotationLambdaARN": "…"})`, `json!({"OwningService": "rds"})`.
    pub fn patch_description(&self, secret: &str, fields: Json) {
        self.lock().patches.insert(secret.to_owned(), fields);
    }

    /// Makes reads return the newest state again.
    pub fn release_reads(&self) {
        self.lock().stale = None;
    }

    /// All calls in order.
    pub fn calls(&self) -> Vec<Call> {
        self.lock().calls.clone()
    }

    /// The number of calls of an action.
    pub fn count(&self, action: &str) -> usize {
        let state = self.lock();
        state.calls.iter().filter(|c| c.action == action).count()
    }

    pub(super) fn hold_reads(
        &self,
        address: SocketAddr,
        server: JoinHandle<()>,
        reads: Option<usize>,
    ) {
        self.lock().stale = Some(StaleReads {
            address,
            server,
            reads,
        });
    }

    pub(super) fn patch_for(&self, call: &Call) -> Option<Json> {
        let state = self.lock();
        (call.action == "DescribeSecret")
            .then(|| state.patches.get(&call.secret).cloned())
            .flatten()
    }

    pub(super) fn decide(&self, call: &Call) -> FaultDecision {
        let mut state = self.lock();
        state.calls.push(call.clone());
        let number = state.calls.len();
        if let Some((_, when)) = state.cuts.iter().find(|(at, _)| *at == number) {
            return match when {
                Cut::Before => FaultDecision::CutBefore,
                Cut::After => FaultDecision::CutAfter,
                Cut::Answer(status, name) => FaultDecision::Answer(*status, name),
            };
        }
        let for_action = |planned: &&mut PlannedAnswer| planned.action == call.action;
        for planned in state.answers.iter_mut().filter(for_action) {
            if planned.left.take() {
                return FaultDecision::Answer(planned.status, planned.name);
            }
        }
        if state.exceeds_versions(call) {
            return FaultDecision::Answer(400, "LimitExceededException");
        }
        if call.writes() {
            return state.decide_write();
        }
        state.decide_read(call)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }
}

impl State {
    fn exceeds_versions(&self, call: &Call) -> bool {
        let Some(most) = self.versions.filter(|_| call.action == "PutSecretValue") else {
            return false;
        };
        // The first version was not put by a call.
        self.calls.iter().filter(|one| *one == call).count() >= most
    }

    fn decide_write(&mut self) -> FaultDecision {
        let Some(most) = self.writes_per_second else {
            return FaultDecision::Pass;
        };
        let now = Instant::now();
        self.recent_writes
            .retain(|at| now.duration_since(*at) < Duration::from_secs(1));
        if self.recent_writes.len() >= most {
            return FaultDecision::Answer(400, "ThrottlingException");
        }
        self.recent_writes.push_back(now);
        FaultDecision::Pass
    }

    fn decide_read(&mut self, call: &Call) -> FaultDecision {
        let action = call.action.as_str();
        if !matches!(
            action,
            "DescribeSecret" | "GetSecretValue" | "BatchGetSecretValue"
        ) {
            return FaultDecision::Pass;
        }
        let Some(stale) = &mut self.stale else {
            return FaultDecision::Pass;
        };
        match &mut stale.reads {
            Some(0) => {
                self.stale = None;
                return FaultDecision::Pass;
            }
            Some(left) => *left -= 1,
            None => {}
        }
        FaultDecision::FromStale(stale.address)
    }
}
