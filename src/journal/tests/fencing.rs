//! Writes of workers that lost their claim.

use super::fixture::*;
use super::*;
use twinkey_core::code::Code;

fn seen() -> SecretSummary {
    SecretSummary {
        engine: "postgres".into(),
        host: None,
        port: None,
        active_user: "app".into(),
        standby_user: "app_clone".into(),
    }
}

fn outcome(state: RunState, now: DateTime<Utc>) -> Outcome {
    Outcome {
        state,
        error: (state != RunState::Succeeded).then(|| problem(Code::WindowClosed)),
        now,
    }
}

/// Every write that names a claim is refused, and changes nothing.
async fn is_fenced(journal: &dyn Journal, late: &Run) {
    let before = (
        read(journal, late).await,
        journal.rotation_record(&late.rotation).await.unwrap(),
    );
    let lost = JournalError::Lost { run: late.id };
    let token = late.claim_token();
    let word = step(StepName::Finish, StepState::Running, "late");
    let nothing = Note::default();
    let note = Note {
        seen: Some(seen()),
        steps: vec![word],
    };
    for note in [&nothing, &note] {
        assert_eq!(journal.note(token, note).await, Err(lost.clone()));
    }
    for state in [RunState::Succeeded, RunState::Failed, RunState::Deferred] {
        let ending = outcome(state, at(70));
        for note in [&nothing, &note] {
            let ended = journal.finish(token, note, &ending).await;
            assert_eq!(ended, Err(lost.clone()));
        }
    }
    assert!(!journal.renew(token, at(70), LEASE).await.unwrap());
    let after = (
        read(journal, late).await,
        journal.rotation_record(&late.rotation).await.unwrap(),
    );
    assert_eq!(after, before);
}

pub async fn a_worker_that_lost_its_run_writes_nothing(journal: &dyn Journal) {
    let late = claimed(journal, &request("orders", 1)).await;
    let taken = claimed(journal, &by("b", at(60), request("orders", 1))).await;
    assert_eq!((taken.id, taken.attempt), (late.id, 2));
    is_fenced(journal, &late).await;
    end(journal, &taken, RunState::Succeeded, at(61)).await;
    is_fenced(journal, &late).await;
}

pub async fn a_run_ended_by_another_version_accepts_no_writes(journal: &dyn Journal) {
    let late = claimed(journal, &request("orders", 1)).await;
    let next = claimed(journal, &by("b", at(60), request("orders", 2))).await;
    assert_ne!(next.id, late.id);
    is_fenced(journal, &late).await;
    assert_eq!(read(journal, &next).await, next);
}

pub async fn a_deferred_run_is_ended_by_its_last_worker(journal: &dyn Journal) {
    let first = claimed(journal, &request("orders", 1)).await;
    end(journal, &first, RunState::Deferred, at(1)).await;
    let second = claimed(journal, &by("b", at(2), request("orders", 1))).await;
    end(journal, &second, RunState::Deferred, at(3)).await;
    is_fenced(journal, &first).await;
    end(journal, &second, RunState::Failed, at(4)).await;
    assert_eq!(read(journal, &first).await.state, RunState::Failed);
}

pub async fn each_abandoned_run_is_returned_to_one_worker(journal: &dyn Journal) {
    for n in 0..20_u32 {
        claimed(journal, &request(&format!("r{n}"), n)).await;
    }
    let sweeps = (0..4).map(|_| journal.sweep(at(3600)));
    let mut swept = Vec::new();
    for sweep in futures_util::future::join_all(sweeps).await {
        swept.extend(sweep.unwrap().into_iter().map(|run| run.id));
    }
    // What one sweeper passed over because another held it is that one's.
    swept.sort();
    let all = swept.len();
    swept.dedup();
    assert_eq!((swept.len(), all), (20, 20));
}
