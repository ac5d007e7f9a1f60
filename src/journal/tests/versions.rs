//! Moves of staging labels by other parties.

use twinkey_stores::stage;

use super::fixture::*;
use super::*;

fn seen(label: &str, version: &str) -> LabelledVersion {
    LabelledVersion {
        rotation: "orders".into(),
        secret: "orders/db".into(),
        label: label.into(),
        version_id: VersionId(version.into()),
    }
}

/// Whether the move of a label from what is known is recorded as a change.
async fn is_change(journal: &dyn Journal, seen: &LabelledVersion, second: i64) -> bool {
    let known = journal.known_version(seen).await.unwrap();
    let record = record_of(AuditAction::Change, &seen.rotation, at(second));
    let moved = journal.label_moved(seen, known.version.as_ref(), &record);
    moved.await.unwrap()
}

async fn changed(journal: &dyn Journal) -> Option<DateTime<Utc>> {
    let record = journal.rotation_record("orders").await.unwrap();
    record.unwrap().changed
}

pub async fn a_move_without_a_run_or_rollback_is_recorded_once(journal: &dyn Journal) {
    let current = |version: &str| seen(stage::CURRENT, version);
    flip(journal, "orders", at(0)).await;
    assert!(
        !is_change(journal, &current("a"), 1).await,
        "it is the first"
    );
    assert!(is_change(journal, &current("b"), 2).await);
    assert_eq!(changed(journal).await, Some(at(2)));
    let known = journal.known_version(&current("b")).await.unwrap();
    assert_eq!(known.version, Some(VersionId("b".into())));
    // Another worker saw the same, at the same time.
    let record = record_of(AuditAction::Change, "orders", at(3));
    let from = VersionId("a".into());
    let again = current("b");
    let again = journal.label_moved(&again, Some(&from), &record);
    assert_eq!(again.await, Ok(false));
    // A run moves AWSCURRENT.
    let run = claimed(journal, &request("orders", 1)).await;
    assert!(
        !is_change(journal, &current(&run.version_id.0), 4).await,
        "it runs"
    );
    end(journal, &run, RunState::Succeeded, at(5)).await;
    assert_eq!(changed(journal).await, None);
    let known = journal.known_version(&current("x")).await.unwrap();
    assert_eq!(known.version.as_ref(), Some(&run.version_id));
    // Its version later is that of another party, and so is a return to it.
    assert!(is_change(journal, &current("c"), 6).await);
    assert!(is_change(journal, &current(&run.version_id.0), 7).await);
    // A rollback, to the version of this fixture.
    flip(journal, "orders", at(8)).await;
    assert_eq!(changed(journal).await, None);
    let known = journal.known_version(&current("back")).await.unwrap();
    assert_eq!(known.version, Some(VersionId("back".into())));
    // A run that was interrupted when it moved AWSCURRENT.
    let run = claimed(journal, &by("a", at(9), request("orders", 2))).await;
    let finish = step(StepName::Finish, StepState::Running, "");
    super::fixture::record(journal, &run, &finish)
        .await
        .unwrap();
    end(journal, &run, RunState::Failed, at(10)).await;
    assert!(!is_change(journal, &current(&run.version_id.0), 11).await);
    // Another secret begins anew.
    let other = LabelledVersion {
        secret: "orders/new".into(),
        ..current("d")
    };
    assert!(!is_change(journal, &other, 12).await);
    let named = ("orders".to_owned(), "orders/new".to_owned());
    journal.record_secrets(&[named], at(13)).await.unwrap();
    super::fixture::rename(journal, "orders", "renamed", false).await;
    let renamed = LabelledVersion {
        rotation: "renamed".into(),
        ..other
    };
    let known = journal.known_version(&renamed).await.unwrap();
    assert_eq!(known.version, Some(VersionId("d".into())));
    let query = AuditQuery {
        action: Some(AuditAction::Change),
        limit: 100,
        ..AuditQuery::default()
    };
    let records = journal.audit(&query).await.unwrap();
    let times: Vec<_> = records.iter().map(|record| record.at).collect();
    assert_eq!(times, [at(7), at(6), at(2)]);
}

pub async fn a_pending_version_is_a_change_unless_a_run_created_it(journal: &dyn Journal) {
    let run = claimed(journal, &request("orders", 1)).await;
    end(journal, &run, RunState::Deferred, at(1)).await;
    assert!(!is_change(journal, &seen(stage::PENDING, &run.version_id.0), 2).await);
    let other = seen(stage::PENDING, "other");
    assert!(is_change(journal, &other, 3).await);
    let known = journal.known_version(&other).await.unwrap();
    assert_eq!(known.version.as_ref(), Some(&other.version_id), "once");
    assert_eq!(changed(journal).await, None, "AWSCURRENT is as it was");
}
