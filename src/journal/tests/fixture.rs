//! Requests, times and runs of the tests.

use chrono::TimeDelta;

use super::*;
use twinkey_core::code::{Code, Problem};

pub const LEASE: Duration = Duration::from_secs(60);

/// `seconds` after an instant with microseconds in it.
pub fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(1_795_000_000_123_457).unwrap() + TimeDelta::seconds(seconds)
}

/// What worker `a` asks for at second 0, under the `n`th version id.
pub fn request(rotation: &str, n: u32) -> ClaimRequest {
    ClaimRequest {
        rotation: rotation.into(),
        trigger: Trigger::Schedule,
        reason: Some("because".into()),
        window: Some(Window {
            opens: at(-1),
            closes: at(3600),
        }),
        version_id: VersionId(format!("{n:0>36}")),
        provisional: None,
        worker: "a".into(),
        now: at(0),
        lease: LEASE,
    }
}

pub fn by(worker: &str, now: DateTime<Utc>, mut request: ClaimRequest) -> ClaimRequest {
    request.worker = worker.into();
    request.now = now;
    request
}

pub fn problem(code: Code) -> Problem {
    Problem {
        code,
        message: "it rained".into(),
        hint: "wait for the sun".into(),
    }
}

pub fn step(name: StepName, state: StepState, detail: &str) -> Step {
    Step {
        name,
        state,
        started: at(2),
        finished: (state != StepState::Running).then(|| at(3)),
        detail: Some(detail.into()),
    }
}

pub async fn claimed(journal: &dyn Journal, request: &ClaimRequest) -> Run {
    match journal.claim(request).await.unwrap() {
        Claim::Claimed(claimed) => claimed.run,
        other => panic!("not claimed: {other:?}"),
    }
}

pub async fn record(journal: &dyn Journal, run: &Run, step: &Step) -> Result<(), JournalError> {
    let note = Note {
        seen: None,
        steps: vec![step.clone()],
    };
    journal.note(run.claim_token(), &note).await
}

pub async fn end(journal: &dyn Journal, run: &Run, state: RunState, now: DateTime<Utc>) {
    let error = (state != RunState::Succeeded).then(|| problem(Code::DbUnreachable));
    let outcome = Outcome { state, error, now };
    let nothing = Note::default();
    journal
        .finish(run.claim_token(), &nothing, &outcome)
        .await
        .unwrap();
}

pub async fn read(journal: &dyn Journal, run: &Run) -> Run {
    journal.run(run.id).await.unwrap().unwrap()
}
