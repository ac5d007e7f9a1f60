//! What every journal promises ([`sentences`], [`windows`], [`memory`], [`fencing`]), run on each; what only the SQLite file must
//! do; and what only a PostgreSQL must ([`postgres`]).

mod fencing;
mod memory;
pub(crate) mod postgres;
pub(crate) mod sentences;
mod windows;

use std::os::unix::fs::PermissionsExt;

use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use twinkey_core::code::Code;

use super::*;

async fn fresh() -> (tempfile::TempDir, SqliteJournal) {
    let folder = tempfile::tempdir().unwrap();
    let journal = SqliteJournal::open(&folder.path().join("j.db"))
        .await
        .unwrap();
    (folder, journal)
}

/// One test a sentence and a journal, so that a failure names both.
macro_rules! on_every_journal {
    ($($room:ident::$sentence:ident),* $(,)?) => {
        mod on_sqlite {
            $(
                #[tokio::test]
                async fn $sentence() {
                    let (_folder, journal) = super::fresh().await;
                    super::$room::$sentence(&journal).await;
                }
            )*
        }
        mod on_postgres {
            $(
                #[tokio::test]
                async fn $sentence() {
                    let journal = super::postgres::by_our_time().await;
                    super::$room::$sentence(&journal).await;
                }
            )*
        }
    };
}

on_every_journal! {
    sentences::a_claim_is_granted_and_reads_back_as_it_was_given,
    sentences::a_second_claim_is_told_that_a_run_is_running,
    sentences::a_renewed_lease_holds_and_an_expired_one_is_taken_over_as_the_next_attempt,
    sentences::a_lost_claim_cannot_be_renewed,
    sentences::a_dead_workers_run_of_another_version_ends_as_failed,
    sentences::a_run_that_ended_is_over_for_its_version_and_not_for_another,
    sentences::a_deferred_run_is_claimed_again_under_the_same_id,
    sentences::steps_are_those_of_the_current_attempt_in_their_order,
    sentences::steps_left_running_end_with_their_run,
    sentences::the_first_sighting_of_a_run_says_whom_it_goes_from_and_to,
    sentences::what_a_run_had_still_to_tell_is_told_with_its_end,
    sentences::a_claim_knows_when_the_last_flip_was,
    sentences::a_success_and_a_rollback_move_the_last_flip_and_a_failure_does_not,
    sentences::a_run_that_was_cut_off_in_its_last_step_may_have_moved_the_last_flip,
    windows::a_missed_window_is_recorded_once_and_never_over_a_run_that_ended_or_is_held,
    windows::a_missed_window_ends_a_run_that_nobody_holds,
    fencing::a_worker_whose_run_was_taken_over_writes_nothing_more_about_it,
    fencing::a_run_that_another_version_has_ended_is_written_about_no_more,
    fencing::a_deferred_run_is_ended_by_whom_it_was_last_given_to,
    windows::a_window_that_was_worked_is_not_missed_under_another_version,
    fencing::what_is_swept_up_is_given_to_one_sweeper,
    memory::two_rotations_of_one_secret_do_not_get_in_each_others_way,
    memory::runs_are_listed_newest_first_by_rotation_state_and_page,
    memory::writing_about_a_run_that_is_not_there_or_is_over_is_an_error,
    memory::the_memory_holds_pauses_and_first_sightings,
    memory::a_retirement_is_remembered_until_the_next_flip,
    memory::what_nobody_works_on_any_more_is_swept_up,
    memory::a_run_is_found_by_its_version_and_a_memory_by_its_rotation,
}

#[tokio::test]
async fn the_file_and_its_companions_are_readable_by_their_owner_alone() {
    let (folder, journal) = fresh().await;
    journal.set_paused("orders", true).await.unwrap();
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
async fn many_that_open_a_new_file_at_once_all_get_a_journal() {
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
async fn what_one_process_writes_another_reads_and_a_reopened_file_still_holds() {
    let (folder, journal) = fresh().await;
    let other = SqliteJournal::open(&folder.path().join("j.db"))
        .await
        .unwrap();
    let run = sentences::claimed(&journal, &sentences::request("orders", 1)).await;
    assert_eq!(other.run(run.id).await.unwrap(), Some(run.clone()));
    assert_eq!(
        other.claim(&sentences::request("orders", 2)).await.unwrap(),
        Claim::Running {
            run: Box::new(run.clone()),
            left: sentences::LEASE
        }
    );
    drop((journal, other));
    let again = SqliteJournal::open(&folder.path().join("j.db"))
        .await
        .unwrap();
    assert_eq!(again.run(run.id).await.unwrap(), Some(run));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_claims_at_once_through_two_openings_exactly_one_is_granted() {
    let (folder, first) = fresh().await;
    let second = SqliteJournal::open(&folder.path().join("j.db"))
        .await
        .unwrap();
    let claims: Vec<_> = (0..64)
        .map(|n| {
            let journal = [&first, &second][n as usize % 2].clone();
            let request = sentences::request("orders", n % 3);
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
async fn a_writing_method_holds_the_file_before_it_reads() {
    let (folder, journal) = fresh().await;
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
async fn a_file_that_is_no_journal_or_cannot_be_made_is_refused_by_name() {
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
async fn a_second_worker_is_refused_until_the_first_is_gone_and_commands_never_are() {
    let (folder, journal) = fresh().await;
    let path = folder.path().join("j.db");
    journal.register_worker("first").await.unwrap();
    let command = SqliteJournal::open(&path).await.unwrap();
    command.set_paused("orders", true).await.unwrap();
    let refused = command.register_worker("second").await.unwrap_err();
    let told = refused.to_string();
    assert!(
        told.contains("worker first") && told.contains("j.db"),
        "{told}"
    );
    assert_eq!(refused.code(), Code::JournalUnavailable);
    let copy = journal.clone();
    drop(journal);
    command.register_worker("second").await.unwrap_err();
    drop(copy);
    command.register_worker("second").await.unwrap();
}

#[tokio::test]
async fn a_journal_whose_file_was_deleted_does_not_answer_a_ping() {
    let (folder, journal) = fresh().await;
    journal.ping().await.unwrap();
    std::fs::remove_file(folder.path().join("j.db")).unwrap();
    journal.ping().await.unwrap_err();
}
