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
        cause: cause(),
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

/// Who requests it, and why.
pub fn cause() -> Cause {
    Cause {
        actor: Actor {
            kind: ActorKind::User,
            name: "ann".into(),
            address: Some("laptop".into()),
        },
        reason: Some("because".into()),
    }
}

/// The record of an action by [`cause`].
pub fn record_of(action: AuditAction, rotation: &str, at: DateTime<Utc>) -> AuditRecord {
    AuditRecord::done(action, rotation, cause(), at)
}

/// Pauses a rotation at second 0.
pub async fn pause(journal: &dyn Journal, rotation: &str) {
    let record = record_of(AuditAction::Pause, rotation, at(0));
    let pause = record.as_pause(None);
    journal
        .set_paused(rotation, Some(&pause), &record)
        .await
        .unwrap();
}

/// Moves AWSCURRENT of a rotation outside a run.
pub async fn flip(journal: &dyn Journal, rotation: &str, at: DateTime<Utc>) {
    let record = record_of(AuditAction::Rollback, rotation, at);
    let (version, seen) = (VersionId("back".into()), pair());
    let flipped = journal.flipped(rotation, &version, &seen, &record);
    flipped.await.unwrap();
}

/// Locks the user of AWSPREVIOUS of a rotation.
pub async fn retire(journal: &dyn Journal, rotation: &str, at: DateTime<Utc>) {
    let record = record_of(AuditAction::Retire, rotation, at);
    journal.retired(rotation, &record).await.unwrap();
}

/// Gives a rotation the records of another name, which is recorded.
pub async fn rename(journal: &dyn Journal, from: &str, to: &str, is_moved: bool) {
    let secrets = journal.rotation_secrets().await.unwrap();
    let mut secrets = secrets.into_iter();
    let rename = Rename {
        from: secrets.find(|one| one.rotation == from).unwrap(),
        to: to.into(),
        replaces_pause: false,
        is_moved,
    };
    journal.rename(&rename).await.unwrap();
}

/// The secret of every rotation here.
pub fn pair() -> SecretSummary {
    SecretSummary {
        engine: "postgres".into(),
        host: Some("db".into()),
        port: Some(65_535),
        active_user: "app_clone".into(),
        standby_user: "app".into(),
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
