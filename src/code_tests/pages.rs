//! Every error code has a page, and a test of the whole program that produces it.

use std::path::{Path, PathBuf};

use twinkey_core::code::Code;

/// The test of a code: its file under `tests/` and its name.
const fn test_of(code: Code) -> (&'static str, &'static str) {
    const COMMANDS: &str = "product/cli/commands.rs";
    const FAILURES: &str = "product/faults/failures.rs";
    const OWNERSHIP: &str = "product/rotations/ownership.rs";
    const EXTERNAL_CHANGES: &str = "product/faults/external_changes.rs";
    match code {
        Code::ConfigInvalid => (COMMANDS, "status_and_history_show_runs_pauses_and_windows"),
        Code::SecretNotFound | Code::PendingSigninFailed => (
            COMMANDS,
            "rollback_requires_that_the_previous_user_signs_in",
        ),
        Code::PrivilegesDiffer => (COMMANDS, "grants_verify_fails_on_a_difference_and_lists_it"),
        Code::DbRefused => (COMMANDS, "a_probe_that_fails_stops_the_run_before_the_flip"),
        Code::SecretMalformed
        | Code::UnsupportedEngine
        | Code::MasterSigninFailed
        | Code::CurrentSigninFailed => (
            FAILURES,
            "each_broken_secret_has_its_own_code_and_names_what_is_wrong",
        ),
        Code::DbUnreachable => (
            FAILURES,
            "missing_secrets_and_unreachable_hosts_have_their_own_codes",
        ),
        Code::ManagedElsewhere => (FAILURES, "a_secret_with_another_rotator_is_refused"),
        Code::AwsCredentials => (
            "product/faults/credentials.rs",
            "each_fault_of_the_credentials_is_one_sentence",
        ),
        Code::StoreDenied | Code::StoreUnavailable => (
            FAILURES,
            "a_store_that_denies_or_is_unreachable_has_its_own_code",
        ),
        Code::PendingConflict => (FAILURES, "a_foreign_pending_version_is_refused_and_kept"),
        Code::PrivilegesMissing => (
            FAILURES,
            "a_missing_admin_option_is_reported_with_its_statement",
        ),
        Code::TooSoon => (
            FAILURES,
            "min_interval_refuses_a_second_rotation_unless_forced",
        ),
        Code::StandbyInUse => (FAILURES, "sessions_of_the_standby_stop_a_manual_run"),
        Code::TlsFailed => (FAILURES, "tls_is_verified_and_has_no_fallback"),
        Code::HostMismatch => (FAILURES, "a_master_on_another_server_is_refused"),
        Code::UsernameTooLong => (
            "product/rotations/three_in_a_row.rs",
            "a_user_name_of_63_bytes_is_refused_unless_its_clone_fits",
        ),
        Code::WindowClosed => (
            "product/serving/worker.rs",
            "a_worker_restarted_after_the_window_reports_it_missed",
        ),
        Code::AlreadyRunning => (
            EXTERNAL_CHANGES,
            "a_second_run_of_a_rotation_is_refused_in_any_journal",
        ),
        Code::LostRace => (
            EXTERNAL_CHANGES,
            "a_secret_edited_during_a_run_keeps_the_edit",
        ),
        Code::StoreThrottled => (
            EXTERNAL_CHANGES,
            "a_store_that_keeps_throttling_has_its_own_code",
        ),
        Code::StoreQuota => (
            EXTERNAL_CHANGES,
            "a_secret_with_too_many_new_versions_has_its_own_code",
        ),
        Code::JournalUnavailable => (
            EXTERNAL_CHANGES,
            "a_file_that_is_not_a_journal_is_reported_and_kept",
        ),
        Code::HostUntrusted => (
            "product/masters/hosts.rs",
            "a_master_without_a_trusted_host_is_refused",
        ),
        Code::AccountDiffers => (
            "product/engines/mariadb/consumers.rs",
            "an_account_with_another_password_is_refused_and_kept",
        ),
        Code::PairShared => (OWNERSHIP, "a_copy_with_all_versions_of_a_secret_is_refused"),
        Code::StandbyForeign => (OWNERSHIP, "a_user_that_exists_already_is_not_taken"),
        Code::AlreadyRolledBack => (
            "product/cli/commands.rs",
            "a_second_rollback_is_refused_and_changes_nothing",
        ),
        Code::ReaderBehind | Code::ReaderUnreachable => (
            "product/endpoints/postgres.rs",
            "sessions_outages_and_strangers_at_readers_stop_a_run",
        ),
        Code::HostIsPooler => (
            "product/endpoints/poolers.rs",
            "a_master_at_a_pooler_is_refused_before_anything_is_locked",
        ),
        Code::PoolerRefused | Code::HookRefused => (
            "product/endpoints/poolers.rs",
            "an_unlisted_user_is_refused_until_a_hook_writes_the_list",
        ),
        Code::DiscoveryFailed => (
            "product/serving/discovery.rs",
            "a_tagged_secret_is_armed_rotated_and_disarmed",
        ),
        Code::Internal => (
            EXTERNAL_CHANGES,
            "a_worker_whose_address_is_in_use_reports_it_and_exits",
        ),
    }
}

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

#[test]
fn every_code_is_produced_by_a_test_of_the_program() {
    for code in Code::ALL {
        let (file, name) = test_of(code);
        let text = read(&repository("tests").join(file));
        let head = format!("async fn {name}(");
        let (before, rest) = text
            .split_once(&head)
            .unwrap_or_else(|| panic!("{code}: {file} has no {name}"));
        let attribute = before.trim_end().lines().next_back().unwrap();
        assert!(
            attribute.starts_with("#[tokio::test"),
            "{name}: {attribute}"
        );
        let body = rest.split("\n}\n").next().unwrap();
        let outputs = [format!("\"{code}\""), format!("error[{code}]: ")];
        assert!(
            outputs.iter().any(|output| body.contains(output)),
            "{name} does not check {code}"
        );
    }
}

#[test]
fn every_code_has_a_page_and_a_line_in_the_index() {
    const PARTS: [&str; 3] = ["## What it means", "## How to confirm", "## What to do"];
    let index = read(&repository("docs/errors.md"));
    for code in Code::ALL {
        let file = repository("docs/errors").join(format!("{code}.md"));
        let page = read(&file);
        let mut lines = page.lines();
        assert_eq!(lines.next(), Some(&*format!("# `{code}`")));
        let (short, retried) = lines
            .nth(1)
            .and_then(|line| line.strip_suffix('.')?.split_once(". **Retried:** "))
            .unwrap_or_else(|| panic!("{code}: the line with its meaning and retries is missing"));
        let row = format!("| [`{code}`](errors/{code}.md) | {short} | {retried} |");
        assert!(
            index.lines().any(|line| line == row),
            "not in the index: {row}"
        );
        let parts: Vec<&str> = page.lines().filter(|l| l.starts_with("## ")).collect();
        assert_eq!(parts, PARTS, "{code}");
        for text in page.split("\n## ").skip(1) {
            let text = text.split_once('\n').map_or("", |(_, text)| text.trim());
            assert!(text.len() > 40, "{code}: {text:?} is too short");
        }
    }
    let pages = std::fs::read_dir(repository("docs/errors")).unwrap();
    assert_eq!(pages.count(), Code::ALL.len(), "a page of a removed code");
}

/// The anchor of a heading.
fn anchor(heading: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    let text: String = heading
        .trim_start_matches('#')
        .trim()
        .chars()
        .filter(kept)
        .collect();
    text.to_lowercase().replace(' ', "-")
}

#[test]
fn every_link_of_the_documents_has_a_target() {
    let mut documents = vec![repository("README.md"), repository("CHANGELOG.md")];
    for folder in ["docs", "docs/adr", "docs/errors"] {
        for entry in std::fs::read_dir(repository(folder)).unwrap() {
            documents.push(entry.unwrap().path());
        }
    }
    documents.retain(|file| file.extension().is_some_and(|e| e == "md"));
    for document in &documents {
        let text = read(document);
        for link in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            let (path, part) = link.split_once('#').unwrap_or((link, ""));
            if path.contains("://") {
                continue;
            }
            let target = match path {
                "" => document.clone(),
                path => document.parent().unwrap().join(path),
            };
            let here = document.display();
            assert!(target.exists(), "{here}: {link} has no target");
            if !part.is_empty() {
                let target = read(&target);
                let mut headings = target.lines().filter(|line| line.starts_with('#'));
                assert!(
                    headings.any(|h| anchor(h) == part),
                    "{here}: no part {link}"
                );
            }
        }
    }
}
