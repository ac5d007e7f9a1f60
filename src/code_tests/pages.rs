//! Every error code has a page, and a test of the whole program that produces it.

use std::path::{Path, PathBuf};

use twinkey_core::code::Code;

/// The test of a code: its file under `tests/` and its name.
const fn test_of(code: Code) -> (&'static str, &'static str) {
    const COMMANDS: &str = "product/commands.rs";
    const FAILURES: &str = "product/failures.rs";
    const MEANWHILE: &str = "product/meanwhile.rs";
    match code {
        Code::ConfigInvalid => (COMMANDS, "status_history_pause_and_resume_tell_what_is"),
        Code::SecretNotFound | Code::PendingSigninFailed => (
            COMMANDS,
            "rollback_goes_back_to_a_user_that_signs_in_and_only_then",
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
            "a_missing_secret_and_an_unreachable_host_have_their_own_codes",
        ),
        Code::ManagedElsewhere => (FAILURES, "another_rotator_on_the_secret_is_left_alone"),
        Code::StoreDenied | Code::StoreUnavailable => {
            (FAILURES, "a_store_that_denies_or_is_gone_has_its_own_code")
        }
        Code::PendingConflict => (
            FAILURES,
            "a_pending_version_that_is_not_the_standbys_is_refused_and_kept",
        ),
        Code::PrivilegesMissing => (
            FAILURES,
            "a_master_without_admin_option_is_told_the_statement_that_mends_it",
        ),
        Code::TooSoon => (
            FAILURES,
            "a_min_interval_holds_for_a_second_rotation_and_force_overrides_it",
        ),
        Code::StandbyInUse => (
            FAILURES,
            "sessions_on_the_standby_stop_a_manual_run_and_are_named",
        ),
        Code::TlsFailed => (FAILURES, "tls_is_verified_and_never_given_up"),
        Code::HostMismatch => (FAILURES, "a_master_on_another_server_is_refused"),
        Code::UsernameTooLong => (
            "product/rotations.rs",
            "a_user_name_of_63_bytes_is_refused_unless_the_clone_fits_too",
        ),
        Code::WindowClosed => (
            "product/serving.rs",
            "a_worker_that_comes_back_after_the_window_leaves_awscurrent_alone_and_says_missed",
        ),
        Code::AlreadyRunning => (
            MEANWHILE,
            "a_second_run_is_refused_while_one_is_on_whatever_its_journal_and_the_first_ends_well",
        ),
        Code::LostRace => (
            MEANWHILE,
            "a_secret_that_is_edited_while_a_run_is_on_stays_as_it_was_edited",
        ),
        Code::StoreThrottled => (
            MEANWHILE,
            "a_store_that_throttles_for_longer_than_anybody_waits_has_its_own_code",
        ),
        Code::JournalUnavailable => (
            MEANWHILE,
            "a_journal_that_is_none_is_told_and_left_as_it_is",
        ),
        Code::Internal => (
            MEANWHILE,
            "a_worker_whose_address_is_taken_says_so_and_ends",
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
