//! Properties of every journal, run on each; and tests of the SQLite file and of PostgreSQL
//! ([`postgres`]).

mod audit;
mod claims;
mod discovered;
mod fencing;
pub(crate) mod fixture;
mod flips;
mod keyed;
pub(crate) mod postgres;
mod pruning;
mod records;
mod steps;
mod versions;
mod windows;

use std::os::unix::fs::PermissionsExt;

use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use twinkey_core::code::{Code, Diagnostic};

use super::*;

async fn new_journal() -> (tempfile::TempDir, SqliteJournal) {
    let folder = tempfile::tempdir().unwrap();
    let journal = SqliteJournal::open(&folder.path().join("j.db"))
        .await
        .unwrap();
    (folder, journal)
}

/// One test for each property and journal.
macro_rules! on_every_journal {
    ($($module:ident::$property:ident),* $(,)?) => {
        mod on_sqlite {
            $(
                #[tokio::test]
                async fn $property() {
                    let (_folder, journal) = super::new_journal().await;
                    super::$module::$property(&journal).await;
                }
            )*
        }
        mod on_postgres {
            $(
                #[tokio::test]
                async fn $property() {
                    let journal = super::postgres::with_test_time().await;
                    super::$module::$property(&journal).await;
                }
            )*
        }
    };
}

on_every_journal! {
    audit::an_action_outside_a_run_is_written_with_its_record,
    audit::a_run_is_recorded_once_when_it_has_ended,
    audit::records_are_listed_newest_first_by_filter_and_page,
    claims::a_claim_reads_back_as_granted,
    claims::a_second_claim_reports_the_running_run,
    claims::an_expired_lease_is_taken_over_as_the_next_attempt,
    claims::a_lost_claim_cannot_be_renewed,
    claims::an_expired_run_of_another_version_ends_as_failed,
    claims::an_ended_run_blocks_its_version_only,
    claims::a_deferred_run_keeps_its_id_when_claimed_again,
    discovered::one_worker_lists_when_it_is_due,
    discovered::a_listing_is_recorded_as_a_whole,
    discovered::arming_is_recorded_once,
    steps::steps_are_those_of_the_current_attempt_in_order,
    steps::running_steps_end_with_their_run,
    steps::the_first_observation_determines_the_two_users,
    steps::unwritten_progress_is_recorded_with_the_end,
    flips::a_claim_returns_the_last_flip,
    flips::a_success_and_a_rollback_move_the_last_flip,
    flips::a_run_interrupted_in_its_last_step_moves_the_last_flip,
    keyed::a_key_keeps_its_request_and_answer_for_a_week,
    keyed::one_of_many_equal_requests_is_new,
    versions::a_move_without_a_run_or_rollback_is_recorded_once,
    versions::a_pending_version_is_a_change_unless_a_run_created_it,
    windows::a_waiting_run_is_continued_under_its_own_version,
    windows::a_missed_window_is_recorded_once_and_over_no_run,
    windows::a_missed_window_ends_an_abandoned_run,
    fencing::a_worker_that_lost_its_run_writes_nothing,
    fencing::a_run_ended_by_another_version_accepts_no_writes,
    fencing::a_deferred_run_is_ended_by_its_last_worker,
    windows::a_window_with_a_run_is_not_missed_by_another_version,
    fencing::each_abandoned_run_is_returned_to_one_worker,
    pruning::old_runs_and_records_are_removed_in_batches,
    pruning::runs_that_the_state_needs_are_kept,
    records::pairs_are_found_by_server_and_user,
    records::a_pair_that_was_seen_keeps_its_owner,
    records::a_renamed_rotation_keeps_its_pause_and_flip,
    records::a_name_of_another_secret_keeps_no_record,
    records::two_rotations_of_one_secret_are_independent,
    records::runs_are_listed_newest_first_by_filter_and_page,
    records::writes_about_a_missing_or_ended_run_fail,
    records::records_contain_pauses_and_first_seen_times,
    records::a_refusal_is_recorded_until_it_is_accepted_or_flipped,
    records::a_retirement_is_recorded_until_the_next_flip,
    records::abandoned_runs_are_ended,
    records::finds_a_run_by_version_and_a_record_by_rotation,
    records::changed_records_are_found_by_revision,
    records::a_closed_journal_accepts_no_calls,
}

#[tokio::test]
async fn the_files_are_readable_by_their_owner_only() {
    let (folder, journal) = new_journal().await;
    fixture::pause(&journal, "orders").await;
    let mut modes = Vec::new();
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        modes.push((
            entry.file_name(),
            entry.metadata().unwrap().permissions().mode() & 0o777,
        ));
    }
    assert_eq!(modes.len(), 3, "{modes:?}");
    assert!(modes.iter().all(|(_, mode)| *mode == 0o600), "{modes:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_openings_of_a_new_file_succeed() {
    for _ in 0..50 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("j.db");
        let openers: Vec<_> = (0..8)
            .map(|_| {
                let path = path.clone();
                tokio::spawn(async move { SqliteJournal::open(&path).await })
            })
            .collect();
        for opener in openers {
            opener.await.unwrap().unwrap().ping().await.unwrap();
        }
    }
}

#[tokio::test]
async fn writes_are_visible_to_other_processes_and_after_reopening() {
    let (folder, journal) = new_journal().await;
    let other = SqliteJournal::open(&folder.path().join("j.db"))
        .await
        .unwrap();
    let run = fixture::claimed(&journal, &fixture::request("orders", 1)).await;
    assert_eq!(other.run(run.id).await.unwrap(), Some(run.clone()));
    assert_eq!(
        other.claim(&fixture::request("orders", 2)).await.unwrap(),
        Claim::Running {
            run: Box::new(run.clone()),
            left: fixture::LEASE
        }
    );
    drop((journal, other));
    let again = SqliteJournal::open(&folder.path().join("j.db"))
        .await
        .unwrap();
    assert_eq!(again.run(run.id).await.unwrap(), Some(run));
}

#[tokio::test]
async fn a_run_from_before_the_records_has_no_actor() {
    let (folder, journal) = new_journal().await;
    let run = fixture::claimed(&journal, &fixture::request("orders", 1)).await;
    let options = SqliteConnectOptions::new().filename(folder.path().join("j.db"));
    let mut file = options.connect().await.unwrap();
    let forget = sqlx::query("UPDATE runs SET actor = NULL");
    forget.execute(&mut file).await.unwrap();
    let read = fixture::read(&journal, &run).await;
    assert_eq!(read, Run { actor: None, ..run });
    assert_eq!(read.shown_actor(), "schedule");
}

#[tokio::test]
async fn a_run_of_a_process_that_exited_is_taken_at_once() {
    let (folder, journal) = new_journal().await;
    let file = folder.path().join("j.db-runs-a");
    let claim = async |name: &str, n| {
        let mut request = fixture::by(name, fixture::at(1), fixture::request("orders", n));
        request.window = None;
        journal.claim(&request).await.unwrap()
    };
    let Claim::Claimed(first) = claim("a", 1).await else {
        panic!("nothing runs");
    };
    assert!(matches!(claim("b", 1).await, Claim::Running { .. }));
    // The file of a process that was killed is not locked.
    std::fs::remove_file(&file).unwrap();
    std::fs::write(&file, "").unwrap();
    let Claim::Claimed(again) = claim("b", 1).await else {
        panic!("the process of \"a\" exited");
    };
    assert_eq!((again.run.id, again.run.attempt), (first.run.id, 2));
    assert!(!file.exists());

    // Housekeeping ends such a run, which is no longer claimed.
    std::fs::remove_file(folder.path().join("j.db-runs-b")).unwrap();
    std::fs::write(folder.path().join("j.db-runs-b"), "").unwrap();
    let ended = journal.sweep(fixture::at(2)).await.unwrap();
    assert_eq!(ended.len(), 1);
    assert_eq!(ended[0].state, RunState::Failed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_of_many_concurrent_claims_is_granted() {
    let (folder, first) = new_journal().await;
    let second = SqliteJournal::open(&folder.path().join("j.db"))
        .await
        .unwrap();
    let claims: Vec<_> = (0..64)
        .map(|n| {
            let journal = [&first, &second][n as usize % 2].clone();
            let request = fixture::request("orders", n % 3);
            tokio::spawn(async move { journal.claim(&request).await.unwrap() })
        })
        .collect();
    let mut granted = 0;
    for claim in claims {
        match claim.await.unwrap() {
            Claim::Claimed(_) => granted += 1,
            Claim::Running { .. } => {}
            Claim::Over(run) => panic!("over: {run:?}"),
        }
    }
    assert_eq!(granted, 1);
}

#[tokio::test]
async fn a_writing_method_locks_the_file_before_it_reads() {
    let (folder, journal) = new_journal().await;
    let mut writer = journal.writer().await.unwrap();
    let _tx = journal.write(&mut writer).await.unwrap();
    let mut impatient = SqliteConnectOptions::new()
        .filename(folder.path().join("j.db"))
        .busy_timeout(Duration::ZERO)
        .connect()
        .await
        .unwrap();
    let refused = sqlx::query("BEGIN IMMEDIATE")
        .execute(&mut impatient)
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("locked"), "{refused}");
}

#[tokio::test]
async fn an_invalid_file_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("notes.txt");
    std::fs::write(&text, "not a database, however long one looks at it").unwrap();
    let error = SqliteJournal::open(&text).await.unwrap_err();
    assert!(error.to_string().contains("notes.txt"), "{error}");
    let nowhere = folder.path().join("missing/j.db");
    let error = SqliteJournal::open(&nowhere).await.unwrap_err();
    assert!(error.to_string().contains("missing/j.db"), "{error}");
}

#[tokio::test]
async fn refuses_a_second_worker_but_no_command() {
    let (folder, journal) = new_journal().await;
    let path = folder.path().join("j.db");
    journal.register_worker("first").await.unwrap();
    let command = SqliteJournal::open(&path).await.unwrap();
    fixture::pause(&command, "orders").await;
    let refused = command.register_worker("second").await.unwrap_err();
    let message = refused.to_string();
    assert!(
        message.contains("worker first") && message.contains("j.db"),
        "{message}"
    );
    assert_eq!(refused.code(), Code::JournalUnavailable);
    let copy = journal.clone();
    drop(journal);
    command.register_worker("second").await.unwrap_err();
    drop(copy);
    command.register_worker("second").await.unwrap();
}

#[tokio::test]
async fn no_call_succeeds_after_the_file_was_deleted_or_replaced() {
    let (folder, journal) = new_journal().await;
    let path = folder.path().join("j.db");
    // With the companions of SQLite.
    let rename = |from: &str, to: &str| {
        for end in ["", "-wal", "-shm"] {
            let path = |name: &str| folder.path().join(format!("{name}{end}"));
            std::fs::rename(path(from), path(to)).unwrap();
        }
    };
    journal.ping().await.unwrap();
    rename("j.db", "kept.db");
    for replaced in [false, true] {
        if replaced {
            let other = SqliteJournal::open(&path).await.unwrap();
            fixture::pause(&other, "orders").await;
            other.close().await;
        }
        let results = [
            journal.ping().await.map(drop),
            journal.rotation_records().await.map(drop),
            journal
                .claim(&fixture::request("orders", 1))
                .await
                .map(drop),
        ];
        for result in results {
            let error = result.unwrap_err();
            assert_eq!(error.code(), Code::JournalUnavailable);
            assert!(error.to_string().contains("deleted or replaced"), "{error}");
            assert!(error.hint().contains("restart the worker"), "{error}");
        }
    }
    // It is the opened file again.
    rename("kept.db", "j.db");
    journal.ping().await.unwrap();
    assert_eq!(journal.rotation_records().await.unwrap().len(), 0);
}
