//! Every error code has a row, or a reason why none can stage it.

use std::collections::BTreeSet;

use twinkey_core::code::Code;

use super::row;

/// Codes that no cell can stage, with the reason and the test that covers them.
const NOT_STAGED: [(Code, &str); 9] = [
    (
        Code::WindowClosed,
        "a manual run has no window: rotation::run",
    ),
    (
        Code::LostRace,
        "two runs must meet between two requests: faults::races",
    ),
    (
        Code::StoreThrottled,
        "the SDK repeats throttled calls for a minute: faults::many_workers",
    ),
    (Code::Internal, "a defect of twinkey"),
    (
        Code::StoreQuota,
        "it needs a hundred versions of a secret: faults::external_changes",
    ),
    (
        Code::AlreadyRolledBack,
        "no run has it, only a rollback: cli::commands",
    ),
    (
        Code::ReaderBehind,
        "it needs a second server: endpoints::postgres, where check and plan name it too",
    ),
    (
        Code::DiscoveryFailed,
        "no run has it, because no rotation is armed: serving::discovery",
    ),
    (
        Code::HostIsPooler,
        "it needs a pooler: endpoints::poolers, where check and plan name it too",
    ),
];

#[test]
fn every_code_has_a_row_or_a_reason() {
    let staged: BTreeSet<Code> = row::all().iter().filter_map(|row| row.code).collect();
    for code in Code::ALL {
        let reason = NOT_STAGED.iter().find(|(other, _)| *other == code);
        assert_ne!(
            staged.contains(&code),
            reason.is_some(),
            "{code}: {reason:?}"
        );
    }
}

#[test]
fn each_row_that_check_cannot_name_says_why() {
    for row in row::all() {
        let is_late = row.report == row::Report::Nothing;
        assert_eq!(row.why.is_some(), is_late, "{}", row.fault);
    }
}
