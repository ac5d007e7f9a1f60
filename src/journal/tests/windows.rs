//! The ends of windows.

use super::fixture::*;
use super::*;
use twinkey_core::code::{Code, Problem};

fn missed(now: DateTime<Utc>) -> Outcome {
    Outcome {
        state: RunState::Missed,
        error: Some(problem(Code::WindowClosed)),
        now,
    }
}

pub async fn a_missed_window_is_recorded_once_and_over_no_run(journal: &dyn Journal) {
    let end_window = async |request: &ClaimRequest| {
        let outcome = missed(request.now);
        journal.end_window(request, &outcome).await.unwrap()
    };
    let message = end_window(&request("orders", 1)).await;
    assert_eq!(
        end_window(&by("b", at(1), request("orders", 1))).await,
        None
    );
    let runs = journal
        .runs(&RunQuery {
            limit: 10,
            ..RunQuery::default()
        })
        .await
        .unwrap();
    assert_eq!(Some(&runs), message.map(|run| vec![run]).as_ref());
    assert_eq!(runs[0].state, RunState::Missed);
    assert_eq!(runs[0].error, Some(problem(Code::WindowClosed)));
    assert_eq!(runs[0].window, request("orders", 1).window);

    let held = claimed(journal, &request("bills", 2)).await;
    assert_eq!(end_window(&request("bills", 2)).await, None);
    assert_eq!(read(journal, &held).await, held);
    end(journal, &held, RunState::Succeeded, at(1)).await;
    let ended = read(journal, &held).await;
    let late = by("b", at(9000), request("bills", 2));
    assert_eq!(end_window(&late).await, None);
    assert_eq!(read(journal, &held).await, ended);
}

pub async fn a_missed_window_ends_an_abandoned_run(journal: &dyn Journal) {
    let deferred = claimed(journal, &request("orders", 1)).await;
    end(journal, &deferred, RunState::Deferred, at(1)).await;
    let dead = claimed(journal, &request("bills", 2)).await;
    let open = step(StepName::Set, StepState::Running, "x");
    record(journal, &dead, &open).await.unwrap();
    for (rotation, n, run) in [("orders", 1, deferred), ("bills", 2, dead)] {
        let late = by("b", at(4000), request(rotation, n));
        let message = journal.end_window(&late, &missed(at(4000))).await.unwrap();
        let run = read(journal, &run).await;
        assert_eq!(message.as_ref(), Some(&run));
        assert_eq!(
            (run.state, run.finished),
            (RunState::Missed, Some(at(4000)))
        );
        assert_eq!(run.error, Some(problem(Code::WindowClosed)));
        assert!(run.steps.iter().all(|s| s.state == StepState::Failed));
        let answer = journal.claim(&late).await.unwrap();
        assert!(matches!(answer, Claim::Over(_)));
    }
}

pub async fn a_window_with_a_run_is_not_missed_by_another_version(journal: &dyn Journal) {
    let run = claimed(journal, &request("orders", 1)).await;
    end(journal, &run, RunState::Succeeded, at(5)).await;
    let late = by("b", at(3600), request("orders", 2));
    for state in [RunState::Missed, RunState::Failed] {
        let ending = Outcome {
            state,
            ..missed(at(3600))
        };
        assert_eq!(journal.end_window(&late, &ending).await.unwrap(), None);
    }
    assert_eq!(read(journal, &run).await.state, RunState::Succeeded);
}

pub async fn a_waiting_run_is_continued_under_its_own_version(journal: &dyn Journal) {
    let unknown = request("orders", 1);
    let waits = |message: &str| Outcome {
        state: RunState::Deferred,
        error: Some(Problem {
            code: Code::SecretNotFound,
            message: message.into(),
            hint: "create it".into(),
        }),
        now: at(1),
    };
    let first = journal.end_window(&unknown, &waits("first")).await.unwrap();
    let first = first.unwrap();
    assert_eq!((first.state, first.finished), (RunState::Deferred, None));
    let second = journal.end_window(&unknown, &waits("second")).await;
    let second = second.unwrap().unwrap();
    assert_eq!(second.id, first.id);
    assert_eq!(read(journal, &first).await.error.unwrap().message, "second");

    let known = ClaimRequest {
        provisional: Some(unknown.version_id.clone()),
        ..request("orders", 2)
    };
    let run = claimed(journal, &known).await;
    assert_eq!((run.id, &run.version_id), (first.id, &known.version_id));
    assert_eq!(read(journal, &run).await.version_id, known.version_id);
    // A claimed run does not wait.
    let third = journal.end_window(&unknown, &waits("third")).await.unwrap();
    assert_eq!(third, None);
    end(journal, &run, RunState::Succeeded, at(2)).await;
    let over = journal.claim(&known).await.unwrap();
    assert!(matches!(over, Claim::Over(r) if r.id == run.id));
}
