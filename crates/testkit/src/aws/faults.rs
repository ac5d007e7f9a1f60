//! The faults that a test can order from the stand-in.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use serde_json::Value as Json;
use tokio::task::JoinHandle;

/// One request, without its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// For example `PutSecretValue`, or `ExecuteStatement`.
    pub action: String,
    /// As the caller named it; of Redshift's Data API, the secret that it signs in with.
    pub secret: String,
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

/// How a call is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The connection is, before the call takes effect.
    Before,
    /// The connection is, after it.
    After,
    /// It is answered with an error of this HTTP status and `__type`, and has no effect.
    Answer(u16, &'static str),
}

pub enum Verdict {
    Pass,
    CutBefore,
    CutAfter,
    /// HTTP status and `__type`.
    Answer(u16, &'static str),
    /// The server that still has the state of before.
    FromOld(SocketAddr),
}

#[derive(Default)]
pub struct Faults(Mutex<State>);

#[derive(Default)]
struct State {
    calls: Vec<Call>,
    old: Option<Old>,
    answers: Vec<Ordered>,
    cuts: Vec<(usize, Cut)>,
    writes_per_second: Option<usize>,
    recent_writes: VecDeque<Instant>,
    patches: HashMap<String, Json>,
}

struct Old {
    address: SocketAddr,
    server: JoinHandle<()>,
    reads: Option<usize>,
}

impl Drop for Old {
    fn drop(&mut self) {
        self.server.abort();
    }
}

struct Ordered {
    action: &'static str,
    left: Left,
    status: u16,
    name: &'static str,
}

/// For how long an answer is ordered.
enum Left {
    Times(usize),
    Until(Instant),
}

impl Left {
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
    /// The next `times` calls of an action are answered with an error of this status and name, and
    /// have no effect.
    pub fn answer(&self, action: &'static str, times: usize, status: u16, name: &'static str) {
        self.order(action, Left::Times(times), status, name);
    }

    /// So is every call of an action for a while from now on.
    pub fn answer_for(
        &self,
        action: &'static str,
        long: Duration,
        status: u16,
        name: &'static str,
    ) {
        self.order(action, Left::Until(Instant::now() + long), status, name);
    }

    fn order(&self, action: &'static str, left: Left, status: u16, name: &'static str) {
        self.lock().answers.push(Ordered {
            action,
            left,
            status,
            name,
        });
    }

    /// The next `times` calls of an action are throttled.
    pub fn throttle(&self, action: &'static str, times: usize) {
        self.answer(action, times, 400, "ThrottlingException");
    }

    /// Every call of an action is denied from now on.
    pub fn deny(&self, action: &'static str) {
        self.answer(action, usize::MAX, 400, "AccessDeniedException");
    }

    /// Writes beyond so many in any one second are throttled, as AWS does at 50.
    pub fn limit_writes(&self, per_second: usize) {
        self.lock().writes_per_second = Some(per_second);
    }

    /// The k-th call from now on (1 is the next one) is cut.
    pub fn cut(&self, k: usize, when: Cut) {
        let mut state = self.lock();
        let at = state.calls.len() + k;
        state.cuts.push((at, when));
    }

    /// Cuts that no call has met are taken back.
    pub fn forget_cuts(&self) {
        self.lock().cuts.clear();
    }

    /// DescribeSecret of this secret (named as the caller will) answers with these fields besides:
    /// `json!({"RotationEnabled": true, "RotationLambdaARN": "…"})`, `json!({"OwningService": "rds"})`.
    pub fn patch_description(&self, secret: &str, fields: Json) {
        self.lock().patches.insert(secret.to_owned(), fields);
    }

    /// Reads see the newest state again.
    pub fn release_reads(&self) {
        self.lock().old = None;
    }

    /// Every call so far, in order.
    pub fn calls(&self) -> Vec<Call> {
        self.lock().calls.clone()
    }

    /// How often an action was called so far.
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
        self.lock().old = Some(Old {
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

    pub(super) fn judge(&self, call: &Call) -> Verdict {
        let mut state = self.lock();
        state.calls.push(call.clone());
        let number = state.calls.len();
        if let Some((_, when)) = state.cuts.iter().find(|(at, _)| *at == number) {
            return match when {
                Cut::Before => Verdict::CutBefore,
                Cut::After => Verdict::CutAfter,
                Cut::Answer(status, name) => Verdict::Answer(*status, name),
            };
        }
        let for_it = |ordered: &&mut Ordered| ordered.action == call.action;
        for ordered in state.answers.iter_mut().filter(for_it) {
            if ordered.left.take() {
                return Verdict::Answer(ordered.status, ordered.name);
            }
        }
        if call.writes() {
            return state.judge_rate();
        }
        state.judge_read(call)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }
}

impl State {
    fn judge_rate(&mut self) -> Verdict {
        let Some(most) = self.writes_per_second else {
            return Verdict::Pass;
        };
        let now = Instant::now();
        self.recent_writes
            .retain(|at| now.duration_since(*at) < Duration::from_secs(1));
        if self.recent_writes.len() >= most {
            return Verdict::Answer(400, "ThrottlingException");
        }
        self.recent_writes.push_back(now);
        Verdict::Pass
    }

    fn judge_read(&mut self, call: &Call) -> Verdict {
        let action = call.action.as_str();
        if !matches!(
            action,
            "DescribeSecret" | "GetSecretValue" | "BatchGetSecretValue"
        ) {
            return Verdict::Pass;
        }
        let Some(old) = &mut self.old else {
            return Verdict::Pass;
        };
        match &mut old.reads {
            Some(0) => {
                self.old = None;
                return Verdict::Pass;
            }
            Some(left) => *left -= 1,
            None => {}
        }
        Verdict::FromOld(old.address)
    }
}
