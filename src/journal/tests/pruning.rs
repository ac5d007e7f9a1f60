//! Removal of old runs and records.

use super::fixture::*;
use super::*;

/// A run from `begin`, for a second.
async fn ended(journal: &dyn Journal, request: ClaimRequest, begin: i64, state: RunState) -> Run {
    let run = claimed(journal, &by("a", at(begin), request)).await;
    let steps = vec![step(StepName::Create, StepState::Succeeded, "x")];
    let note = Note { seen: None, steps };
    journal.note(run.claim_token(), &note).await.unwrap();
    end(journal, &run, state, at(begin + 1)).await;
    run
}

fn manual(rotation: &str, n: u32) -> ClaimRequest {
    ClaimRequest {
        trigger: Trigger::Manual,
        window: None,
        ..request(rotation, n)
    }
}

async fn run_ids(journal: &dyn Journal) -> Vec<Uuid> {
    let query = RunQuery {
        limit: 1000,
        ..RunQuery::default()
    };
    let runs = journal.runs(&query).await.unwrap();
    runs.iter().map(|run| run.id).collect()
}

async fn records(journal: &dyn Journal) -> Vec<AuditRecord> {
    let query = AuditQuery {
        limit: 1000,
        ..AuditQuery::default()
    };
    journal.audit(&query).await.unwrap()
}

/// Removes what is older, and returns the size of each batch.
async fn prune(journal: &dyn Journal, before: i64, limit: u32) -> Vec<(u64, u64)> {
    let mut batches = Vec::new();
    loop {
        let pruned = journal.prune(at(before), limit).await.unwrap();
        if pruned == Pruned::default() {
            return batches;
        }
        batches.push((pruned.runs, pruned.records));
    }
}

pub async fn old_runs_and_records_are_removed_in_batches(journal: &dyn Journal) {
    let mut runs = Vec::new();
    for n in 0..5 {
        let begin = i64::from(n) * 10;
        runs.push(ended(journal, request("orders", n), begin, RunState::Succeeded).await);
    }
    journal
        .append(&record_of(AuditAction::Repair, "orders", at(5)))
        .await
        .unwrap();
    // The run of second 30 ended at the limit.
    assert_eq!(prune(journal, 31, 2).await, [(2, 2), (1, 2)]);
    assert_eq!(run_ids(journal).await, [runs[4].id, runs[3].id]);
    let left: Vec<_> = records(journal).await.iter().map(|r| r.run).collect();
    assert_eq!(left, [Some(runs[4].id), Some(runs[3].id)]);
    assert_eq!(read(journal, &runs[3]).await.steps.len(), 1);
    assert_eq!(journal.run(runs[0].id).await.unwrap(), None);
}

pub async fn runs_that_the_state_needs_are_kept(journal: &dyn Journal) {
    let gone = ended(journal, request("orders", 1), 0, RunState::Succeeded).await;
    let success = ended(journal, manual("orders", 2), 10, RunState::Succeeded).await;
    let failed = ended(journal, manual("orders", 3), 20, RunState::Failed).await;
    let in_window = ended(journal, request("orders", 4), 30, RunState::Failed).await;
    let last = ended(journal, manual("orders", 5), 40, RunState::Failed).await;
    let running = claimed(journal, &by("a", at(50), request("billing", 1))).await;
    let waiting = claimed(journal, &by("a", at(50), request("stock", 1))).await;
    end(journal, &waiting, RunState::Deferred, at(51)).await;
    pause(journal, "idle").await;
    let before = journal.rotation_records().await.unwrap();

    assert_eq!(prune(journal, 100_000, 100).await, [(2, 3)]);
    let mut kept = run_ids(journal).await;
    kept.sort();
    let mut expected = [&success, &in_window, &last, &running, &waiting].map(|run| run.id);
    expected.sort();
    assert_eq!(kept, expected);
    for run in [&gone, &failed] {
        assert_eq!(journal.run(run.id).await.unwrap(), None);
    }
    assert_eq!(journal.rotation_records().await.unwrap(), before);
    let of_runs = records(journal).await;
    assert!(of_runs.iter().all(|record| record.run.is_some()));
    assert_eq!(of_runs.len(), 3, "{of_runs:?}");
}

/// A journal with many old runs.
async fn fill(journal: &SqliteJournal) {
    let mut writer = journal.writer().await.unwrap();
    for sql in [
        "INSERT INTO rotations (name) VALUES ('orders')",
        "INSERT INTO runs (id, rotation, \"trigger\", state, worker, version_id, started, finished,
                           attempt)
         WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 5000)
         SELECT 'id-' || n, 'orders', 'manual', 'succeeded', 'a', 'version-' || n, n, n + 1, 1 FROM n",
        "PRAGMA wal_checkpoint(TRUNCATE)",
    ] {
        sqlx::query(sql).execute(&mut *writer).await.unwrap();
    }
}

/// The bytes of the file, after a checkpoint.
async fn size(journal: &SqliteJournal, path: &std::path::Path) -> u64 {
    let mut writer = journal.writer().await.unwrap();
    let checkpoint = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)");
    checkpoint.execute(&mut *writer).await.unwrap();
    std::fs::metadata(path).unwrap().len()
}

#[tokio::test]
async fn the_file_shrinks_after_a_removal() {
    let (folder, journal) = new_journal().await;
    fill(&journal).await;
    let path = folder.path().join("j.db");
    let full = size(&journal, &path).await;
    while journal.prune(at(0), 1000).await.unwrap() != Pruned::default() {}
    while journal.compact().await.unwrap() {}
    let left = size(&journal, &path).await;
    assert!(left < full / 3, "{left} of {full}");
}

#[tokio::test]
async fn a_worker_rewrites_a_file_of_an_older_version() {
    let (folder, journal) = new_journal().await;
    let path = folder.path().join("j.db");
    let mut writer = journal.writer().await.unwrap();
    // As versions before `keep` created it.
    for sql in ["PRAGMA auto_vacuum = NONE", "VACUUM"] {
        sqlx::query(sql).execute(&mut *writer).await.unwrap();
    }
    drop(writer);
    fill(&journal).await;
    let full = size(&journal, &path).await;
    while journal.prune(at(0), 1000).await.unwrap() != Pruned::default() {}
    assert!(!journal.compact().await.unwrap(), "it cannot shrink yet");
    assert_eq!(size(&journal, &path).await, full);
    journal.close().await;

    let journal = SqliteJournal::open(&path).await.unwrap();
    journal.register_worker("a").await.unwrap();
    let left = size(&journal, &path).await;
    assert!(left < full / 3, "{left} of {full}");
    assert!(!journal.compact().await.unwrap());
    let mut writer = journal.writer().await.unwrap();
    let count = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM runs");
    assert_eq!(count.fetch_one(&mut *writer).await.unwrap(), 1);
}
