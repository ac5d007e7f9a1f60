//! Steps and observations of runs.

use super::fixture::*;
use super::*;
use twinkey_core::code::Code;

pub async fn steps_are_those_of_the_current_attempt_in_order(journal: &dyn Journal) {
    let run = claimed(journal, &request("orders", 1)).await;
    let first = step(StepName::Create, StepState::Succeeded, "first attempt");
    record(journal, &run, &first).await.unwrap();
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
        record(journal, &run, said).await.unwrap();
    }
    assert_eq!(read(journal, &run).await.steps, [set, test, finish]);
}

pub async fn running_steps_end_with_their_run(journal: &dyn Journal) {
    for (n, ending, expected) in [
        (1, RunState::Succeeded, StepState::Succeeded),
        (2, RunState::Failed, StepState::Failed),
        (3, RunState::Deferred, StepState::Failed),
    ] {
        let run = claimed(journal, &request("orders", n)).await;
        let open = step(StepName::Set, StepState::Running, "x");
        record(journal, &run, &open).await.unwrap();
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
        port: None,
        active_user: active.into(),
        standby_user: standby.into(),
    }
}

pub async fn the_first_observation_determines_the_two_users(journal: &dyn Journal) {
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

pub async fn unwritten_progress_is_recorded_with_the_end(journal: &dyn Journal) {
    for (n, state, seen_after) in [
        (1, RunState::Failed, sight("app", "app_clone")),
        (2, RunState::Succeeded, sight("app_clone", "app")),
    ] {
        let run = claimed(journal, &request("orders", n)).await;
        let open = step(StepName::Set, StepState::Running, "not the last word");
        record(journal, &run, &open).await.unwrap();
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
