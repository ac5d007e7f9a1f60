//! The last flip of a rotation.

use super::fixture::*;
use super::*;

pub async fn a_claim_returns_the_last_flip(journal: &dyn Journal) {
    let flip = async |n| match journal.claim(&request("orders", n)).await.unwrap() {
        Claim::Claimed(claimed) => (claimed.last_flip, claimed.run),
        other => panic!("not claimed: {other:?}"),
    };
    let (before, run) = flip(1).await;
    assert_eq!(before, None);
    end(journal, &run, RunState::Deferred, at(1)).await;
    fixture::flip(journal, "orders", at(2)).await;
    let (again, run) = flip(1).await;
    assert_eq!((again, run.attempt), (Some(at(2)), 2));
    end(journal, &run, RunState::Succeeded, at(3)).await;
    assert_eq!(flip(2).await.0, Some(at(3)));
    // What a claim ends may have moved it too.
    let dead = claimed(journal, &request("bills", 3)).await;
    let open = step(StepName::Finish, StepState::Running, "x");
    record(journal, &dead, &open).await.unwrap();
    let late = by("b", at(60), request("bills", 4));
    let Claim::Claimed(next) = journal.claim(&late).await.unwrap() else {
        panic!("the dead worker's lease has run out");
    };
    assert_eq!(next.last_flip, Some(at(60)));
}

pub async fn a_success_and_a_rollback_move_the_last_flip(journal: &dyn Journal) {
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
    fixture::flip(journal, "orders", at(3)).await;
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

pub async fn a_run_interrupted_in_its_last_step_moves_the_last_flip(journal: &dyn Journal) {
    for (rotation, step_name, flip) in [
        ("orders", StepName::Finish, Some(at(3601))),
        ("bills", StepName::Test, None),
    ] {
        let run = claimed(journal, &request(rotation, 1)).await;
        let open = step(step_name, StepState::Running, "x");
        record(journal, &run, &open).await.unwrap();
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
