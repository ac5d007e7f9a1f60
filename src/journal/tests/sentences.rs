//! The sentences that every journal passes. Each takes an empty one.

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

pub async fn tell(journal: &dyn Journal, run: &Run, step: &Step) -> Result<(), JournalError> {
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

pub async fn a_claim_is_granted_and_reads_back_as_it_was_given(journal: &dyn Journal) {
    let mut manual = request("other", 2);
    manual.trigger = Trigger::Manual;
    manual.window = None;
    manual.reason = None;
    for request in [request("orders", 1), manual] {
        let run = claimed(journal, &request).await;
        let expected = Run {
            id: run.id,
            rotation: request.rotation,
            trigger: request.trigger,
            reason: request.reason,
            window: request.window,
            state: RunState::Running,
            worker: "a".into(),
            version_id: request.version_id,
            from_user: None,
            to_user: None,
            started: at(0),
            finished: None,
            attempt: 1,
            steps: vec![],
            error: None,
        };
        assert_eq!(run, expected);
        assert_eq!(read(journal, &run).await, expected);
    }
}

pub async fn a_second_claim_is_told_that_a_run_is_running(journal: &dyn Journal) {
    let run = claimed(journal, &request("orders", 1)).await;
    let last_moment = at(60) - TimeDelta::microseconds(1);
    for (second, left) in [
        (request("orders", 1), LEASE),
        (
            by("b", last_moment, request("orders", 1)),
            Duration::from_micros(1),
        ),
        (
            by("b", last_moment, request("orders", 2)),
            Duration::from_micros(1),
        ),
    ] {
        assert_eq!(
            journal.claim(&second).await.unwrap(),
            Claim::Running {
                run: Box::new(run.clone()),
                left
            }
        );
    }
}

pub async fn a_renewed_lease_holds_and_an_expired_one_is_taken_over_as_the_next_attempt(
    journal: &dyn Journal,
) {
    let run = claimed(journal, &request("orders", 1)).await;
    assert!(
        journal
            .renew(run.claim_token(), at(50), LEASE)
            .await
            .unwrap()
    );
    let early = by("b", at(109), request("orders", 1));
    assert!(matches!(
        journal.claim(&early).await.unwrap(),
        Claim::Running { .. }
    ));
    let taken = claimed(journal, &by("b", at(110), request("orders", 1))).await;
    let expected = Run {
        worker: "b".into(),
        attempt: 2,
        trigger: Trigger::Recovery,
        ..run
    };
    assert_eq!(taken, expected);
}

pub async fn a_lost_claim_cannot_be_renewed(journal: &dyn Journal) {
    let first = claimed(journal, &request("orders", 1)).await;
    let again = claimed(journal, &by("b", at(60), request("orders", 1))).await;
    assert_eq!(again.id, first.id);
    let renew = async |hold, at| journal.renew(hold, at, LEASE).await.unwrap();
    assert!(!renew(first.claim_token(), at(61)).await);
    assert!(renew(again.claim_token(), at(61)).await);
    end(journal, &again, RunState::Succeeded, at(62)).await;
    assert!(!renew(again.claim_token(), at(63)).await);
    let nothing = ClaimToken {
        run: Uuid::nil(),
        attempt: 1,
    };
    assert!(!renew(nothing, at(63)).await);
}

pub async fn a_dead_workers_run_of_another_version_ends_as_failed(journal: &dyn Journal) {
    let dead = claimed(journal, &request("orders", 1)).await;
    let open = step(StepName::Set, StepState::Running, "x");
    tell(journal, &dead, &open).await.unwrap();
    let next = claimed(journal, &by("b", at(60), request("orders", 2))).await;
    assert_ne!(next.id, dead.id);
    let dead = read(journal, &dead).await;
    assert_eq!(dead.state, RunState::Failed);
    assert_eq!(dead.finished, Some(at(60)));
    assert_eq!(dead.steps[0].state, StepState::Failed);
    let error = dead.error.unwrap();
    assert_eq!(error.code, Code::Internal);
    assert!(error.message.contains("its worker is gone"));
}

pub async fn a_run_that_ended_is_over_for_its_version_and_not_for_another(journal: &dyn Journal) {
    for (n, state) in [
        (1, RunState::Succeeded),
        (2, RunState::Failed),
        (3, RunState::Missed),
    ] {
        let run = claimed(journal, &request("orders", n)).await;
        end(journal, &run, state, at(5)).await;
        let over = read(journal, &run).await;
        assert_eq!((over.state, over.finished), (state, Some(at(5))));
        assert_eq!(
            over.error.map(|e| e.code),
            (state != RunState::Succeeded).then_some(Code::DbUnreachable)
        );
        let again = journal.claim(&request("orders", n)).await.unwrap();
        assert!(matches!(again, Claim::Over(r) if r.id == run.id));
    }
}

pub async fn a_deferred_run_is_claimed_again_under_the_same_id(journal: &dyn Journal) {
    let run = claimed(journal, &request("orders", 1)).await;
    end(journal, &run, RunState::Deferred, at(5)).await;
    let waiting = read(journal, &run).await;
    assert_eq!(
        (waiting.state, waiting.finished),
        (RunState::Deferred, None)
    );
    assert_eq!(waiting.error, Some(problem(Code::DbUnreachable)));
    let again = claimed(journal, &by("b", at(10), request("orders", 1))).await;
    let expected = Run {
        worker: "b".into(),
        attempt: 2,
        ..run
    };
    assert_eq!(again, expected);
}

pub async fn steps_are_those_of_the_current_attempt_in_their_order(journal: &dyn Journal) {
    let run = claimed(journal, &request("orders", 1)).await;
    let first = step(StepName::Create, StepState::Succeeded, "first attempt");
    tell(journal, &run, &first).await.unwrap();
    end(journal, &run, RunState::Deferred, at(4)).await;
    assert_eq!(read(journal, &run).await.steps, [first]);
    let run = claimed(journal, &request("orders", 1)).await;
    assert_eq!(read(journal, &run).await.steps, []);
    let test = step(StepName::Test, StepState::Failed, "t");
    let set = step(StepName::Set, StepState::Succeeded, "s");
    let finish = step(StepName::Finish, StepState::Succeeded, "f");
    for said in [
        &step(StepName::Set, StepState::Running, "not the last word"),
        &finish,
        &test,
        &set,
    ] {
        tell(journal, &run, said).await.unwrap();
    }
    assert_eq!(read(journal, &run).await.steps, [set, test, finish]);
}

pub async fn steps_left_running_end_with_their_run(journal: &dyn Journal) {
    for (n, ending, expected) in [
        (1, RunState::Succeeded, StepState::Succeeded),
        (2, RunState::Failed, StepState::Failed),
        (3, RunState::Deferred, StepState::Failed),
    ] {
        let run = claimed(journal, &request("orders", n)).await;
        let open = step(StepName::Set, StepState::Running, "x");
        tell(journal, &run, &open).await.unwrap();
        end(journal, &run, ending, at(9)).await;
        let closed = Step {
            state: expected,
            finished: Some(at(9)),
            ..open
        };
        assert_eq!(read(journal, &run).await.steps, [closed]);
    }
}

fn sight(active: &str, standby: &str) -> SecretSummary {
    SecretSummary {
        engine: "postgres".into(),
        host: None,
        active_user: active.into(),
        standby_user: standby.into(),
    }
}

pub async fn the_first_sighting_of_a_run_says_whom_it_goes_from_and_to(journal: &dyn Journal) {
    let run = claimed(journal, &request("orders", 1)).await;
    let (before, after) = (sight("app", "app_clone"), sight("app_clone", "app"));
    for seen in [&before, &after] {
        let note = Note {
            seen: Some(seen.clone()),
            steps: vec![],
        };
        journal.note(run.claim_token(), &note).await.unwrap();
    }
    let run = read(journal, &run).await;
    assert_eq!(run.from_user.as_deref(), Some("app"));
    assert_eq!(run.to_user.as_deref(), Some("app_clone"));
    journal.seen("never run", &before).await.unwrap();
    let memory = journal.rotation_records().await.unwrap();
    assert_eq!(memory["orders"].seen, Some(after));
    assert_eq!(memory["never run"].seen, Some(before));
    assert_eq!(memory["never run"].last_run, None);
}

pub async fn what_a_run_had_still_to_tell_is_told_with_its_end(journal: &dyn Journal) {
    for (n, state, seen_after) in [
        (1, RunState::Failed, sight("app", "app_clone")),
        (2, RunState::Succeeded, sight("app_clone", "app")),
    ] {
        let run = claimed(journal, &request("orders", n)).await;
        let open = step(StepName::Set, StepState::Running, "not the last word");
        tell(journal, &run, &open).await.unwrap();
        let note = Note {
            seen: Some(sight("app", "app_clone")),
            steps: vec![
                step(StepName::Set, StepState::Succeeded, "s"),
                step(StepName::Test, StepState::Failed, "t"),
            ],
        };
        let outcome = Outcome {
            state,
            error: (state != RunState::Succeeded).then(|| problem(Code::DbUnreachable)),
            now: at(9),
        };
        journal
            .finish(run.claim_token(), &note, &outcome)
            .await
            .unwrap();
        let ended = read(journal, &run).await;
        assert_eq!(ended.steps, note.steps);
        assert_eq!(ended.to_user.as_deref(), Some("app_clone"));
        let memory = journal.rotation_record("orders").await.unwrap().unwrap();
        assert_eq!(memory.seen, Some(seen_after), "{state:?}");
    }
}

pub async fn a_claim_knows_when_the_last_flip_was(journal: &dyn Journal) {
    let flip = async |n| match journal.claim(&request("orders", n)).await.unwrap() {
        Claim::Claimed(claimed) => (claimed.last_flip, claimed.run),
        other => panic!("not claimed: {other:?}"),
    };
    let (before, run) = flip(1).await;
    assert_eq!(before, None);
    end(journal, &run, RunState::Deferred, at(1)).await;
    journal.flipped("orders", at(2)).await.unwrap();
    let (again, run) = flip(1).await;
    assert_eq!((again, run.attempt), (Some(at(2)), 2));
    end(journal, &run, RunState::Succeeded, at(3)).await;
    assert_eq!(flip(2).await.0, Some(at(3)));
    // What a claim ends may have moved it too.
    let dead = claimed(journal, &request("bills", 3)).await;
    let open = step(StepName::Finish, StepState::Running, "x");
    tell(journal, &dead, &open).await.unwrap();
    let late = by("b", at(60), request("bills", 4));
    let Claim::Claimed(next) = journal.claim(&late).await.unwrap() else {
        panic!("the dead worker's lease has run out");
    };
    assert_eq!(next.last_flip, Some(at(60)));
}

pub async fn a_success_and_a_rollback_move_the_last_flip_and_a_failure_does_not(
    journal: &dyn Journal,
) {
    let run = claimed(journal, &request("orders", 1)).await;
    end(journal, &run, RunState::Failed, at(1)).await;
    assert_eq!(
        journal.rotation_records().await.unwrap()["orders"].last_flip,
        None
    );
    let run = claimed(journal, &request("orders", 2)).await;
    end(journal, &run, RunState::Succeeded, at(2)).await;
    let memory = journal
        .rotation_records()
        .await
        .unwrap()
        .remove("orders")
        .unwrap();
    assert_eq!(
        (memory.last_success, memory.last_flip),
        (Some(at(2)), Some(at(2)))
    );
    journal.flipped("orders", at(3)).await.unwrap();
    let memory = journal
        .rotation_records()
        .await
        .unwrap()
        .remove("orders")
        .unwrap();
    assert_eq!(
        (memory.last_success, memory.last_flip),
        (Some(at(2)), Some(at(3)))
    );
    assert_eq!(memory.last_run, Some(read(journal, &run).await));
}

pub async fn a_run_that_was_cut_off_in_its_last_step_may_have_moved_the_last_flip(
    journal: &dyn Journal,
) {
    for (rotation, step_name, flip) in [
        ("orders", StepName::Finish, Some(at(3601))),
        ("bills", StepName::Test, None),
    ] {
        let run = claimed(journal, &request(rotation, 1)).await;
        let open = step(step_name, StepState::Running, "x");
        tell(journal, &run, &open).await.unwrap();
        // Another attempt begins, and does not come that far.
        claimed(journal, &by("b", at(60), request(rotation, 1))).await;
        journal.sweep(at(3601)).await.unwrap();
        assert_eq!(read(journal, &run).await.state, RunState::Missed);
        assert_eq!(
            journal.rotation_records().await.unwrap()[rotation].last_flip,
            flip
        );
    }
}
