//! Claims and leases.

use chrono::TimeDelta;

use super::fixture::*;
use super::*;
use twinkey_core::code::Code;

pub async fn a_claim_reads_back_as_granted(journal: &dyn Journal) {
    let mut manual = request("other", 2);
    manual.trigger = Trigger::Manual;
    manual.window = None;
    manual.cause.reason = None;
    for request in [request("orders", 1), manual] {
        let run = claimed(journal, &request).await;
        let expected = Run {
            id: run.id,
            rotation: request.rotation,
            trigger: request.trigger,
            actor: Some(request.cause.actor.clone()),
            reason: request.cause.reason,
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

pub async fn a_second_claim_reports_the_running_run(journal: &dyn Journal) {
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

pub async fn an_expired_lease_is_taken_over_as_the_next_attempt(journal: &dyn Journal) {
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
    let renew = async |token, at| journal.renew(token, at, LEASE).await.unwrap();
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

pub async fn an_expired_run_of_another_version_ends_as_failed(journal: &dyn Journal) {
    let dead = claimed(journal, &request("orders", 1)).await;
    let open = step(StepName::Set, StepState::Running, "x");
    record(journal, &dead, &open).await.unwrap();
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

pub async fn an_ended_run_blocks_its_version_only(journal: &dyn Journal) {
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

pub async fn a_deferred_run_keeps_its_id_when_claimed_again(journal: &dyn Journal) {
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
