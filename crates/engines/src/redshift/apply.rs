//! Execution of planned changes.
//!
//! # Failure modes
//! - An interruption leaves a part of the changes. Each batch is one transaction, the password is
//!   in the last one, and every prefix of the list is harmless.
//! - Another worker has taken the lock. Each batch first renews the lease and fails without one.
//!   For other databases, which do not have the table of locks, the renewal is a batch of its own.
//! - A statement changes another object than the planned one, because the server folds its name. A
//!   batch with an upper-case name first keeps the case of names in its session.
//! - ALTER … OWNER waits for the lock of a table, and the application's queries wait behind it. Such
//!   statements run a few at a time, apart from the others, and are cancelled after
//!   [`OWNER_TIMEOUT_MS`]. The run is then retried.
//! - The server refuses to change an owner. The clone keeps the object, and the run continues.
//! - An object was dropped after the inspection. A second inspection shows whether the statement is
//!   still planned. If not, the run is retried.

use super::RedshiftAdmin;
use super::api::{BatchStatement, Failure, FailureKind, split_into_batches};
use super::quote::{CASE_SETTING, has_upper_case_name};
use super::{inspect, plan};
use crate::{EngineError, RenderedChange};

/// Maximum number of owners that one transaction changes.
const OWNERS_PER_BATCH: usize = 5;
/// Time limit of one change of an owner, in milliseconds.
const OWNER_TIMEOUT_MS: u32 = 5000;

/// Applies `changes` in order, in as few transactions as possible for each database.
pub(super) async fn apply(
    admin: &mut RedshiftAdmin,
    changes: &[RenderedChange],
) -> Result<(), EngineError> {
    for group in changes.chunk_by(|one, next| {
        one.database == next.database && changes_owner(one) == changes_owner(next)
    }) {
        let statements: Vec<BatchStatement> = group.iter().map(statement).collect();
        let database = group.first().and_then(|change| change.database.clone());
        if group.first().is_some_and(changes_owner) {
            owners(admin, database.as_deref(), &statements).await?;
            continue;
        }
        let settings = settings(&statements);
        let before = match &database {
            None => [fence(admin), settings.clone()].concat(),
            Some(_) => settings.clone(),
        };
        for batch in split_into_batches(&statements, &before) {
            let done = submit(admin, database.as_deref(), &settings, batch).await;
            if let Err(failure) = done {
                let failure = or_dropped(admin, batch, failure).await;
                return Err(explain(admin, database.as_deref(), batch, failure));
            }
        }
    }
    Ok(())
}

fn changes_owner(change: &RenderedChange) -> bool {
    change.shown.starts_with("ALTER ") && change.shown.contains(" OWNER TO ")
}

/// Changes owners, a few in each transaction. Those that the server refuses are recorded.
async fn owners(
    admin: &mut RedshiftAdmin,
    database: Option<&str>,
    statements: &[BatchStatement],
) -> Result<(), EngineError> {
    let limit = format!("SET statement_timeout TO {OWNER_TIMEOUT_MS}");
    let mut settings = settings(statements);
    settings.push(BatchStatement::plain(limit));
    for batch in statements.chunks(OWNERS_PER_BATCH) {
        match submit(admin, database, &settings, batch).await {
            Ok(()) => continue,
            Err(failure) if failure.kind.is_refusal() => {}
            Err(failure) => return Err(explain(admin, database, batch, failure)),
        }
        for single in batch.chunks(1) {
            match submit(admin, database, &settings, single).await {
                Ok(()) => {}
                Err(failure) if failure.kind.is_refusal() => {
                    let refused = single.iter().map(|statement| statement.shown.clone());
                    admin
                        .kept
                        .extend(refused.map(|shown| (shown, failure.reason.clone())));
                }
                Err(failure) => return Err(explain(admin, database, single, failure)),
            }
        }
    }
    Ok(())
}

/// Executes statements that end sessions, while the lease is valid.
pub(super) async fn end_sessions(
    admin: &RedshiftAdmin,
    statements: &[BatchStatement],
) -> Result<(), EngineError> {
    for batch in split_into_batches(statements, &fence(admin)) {
        let done = submit(admin, None, &[], batch).await;
        done.map_err(|failure| explain(admin, None, batch, failure))?;
    }
    Ok(())
}

/// The statements that renew the lease; none if the admin has no lease.
fn fence(admin: &RedshiftAdmin) -> Vec<BatchStatement> {
    let lease = admin.lease();
    lease.map_or_else(Vec::new, |lease| {
        lease.fence_statements(admin.rights.superuser)
    })
}

/// The settings that these statements need in their session.
fn settings(statements: &[BatchStatement]) -> Vec<BatchStatement> {
    let needed = statements.iter().any(|s| has_upper_case_name(&s.shown));
    let setting = needed.then(|| BatchStatement::plain(CASE_SETTING));
    setting.into_iter().collect()
}

fn statement(change: &RenderedChange) -> BatchStatement {
    BatchStatement {
        shown: change.shown.clone(),
        sent: change.sent.clone(),
        digest: change.rendered_password.clone(),
    }
}

/// Executes one batch after its settings, and after a renewal of the lease. The index of a failed
/// statement is the one in `batch`.
async fn submit(
    admin: &RedshiftAdmin,
    database: Option<&str>,
    settings: &[BatchStatement],
    batch: &[BatchStatement],
) -> Result<(), Failure> {
    let fence = fence(admin);
    let (home, login) = (&admin.address.database, &admin.login);
    let Some(other) = database else {
        let statements = [&fence[..], settings, batch].concat();
        let done = admin.client.execute(login, home, &statements).await;
        return done.map_err(|failure| located(failure, &fence, settings.len()));
    };
    if !fence.is_empty() {
        let renewed = admin.client.execute(login, home, &fence).await;
        renewed.map_err(|failure| located(failure, &fence, 0))?;
    }
    let statements = [settings, batch].concat();
    let done = admin.client.execute(login, other, &statements).await;
    done.map_err(|failure| located(failure, &[], settings.len()))
}

/// The failure of a batch, without the statements before it. The last one of the fence fails if
/// another worker has the lease.
fn located(failure: Failure, fence: &[BatchStatement], settings: usize) -> Failure {
    let at_fence = fence.len().checked_sub(1);
    if failure.kind == FailureKind::DivisionByZero
        && at_fence.is_some()
        && failure.statement == at_fence
    {
        let lost = "another worker has taken the pair's lock";
        return Failure::new(FailureKind::Busy, lost);
    }
    let before = fence.len() + settings;
    let statement = failure.statement.and_then(|at| at.checked_sub(before));
    Failure {
        statement,
        ..failure
    }
}

fn explain(
    admin: &RedshiftAdmin,
    database: Option<&str>,
    batch: &[BatchStatement],
    failure: Failure,
) -> EngineError {
    let database = database.unwrap_or(&admin.address.database);
    let what = format!("a transaction in {database:?}");
    admin.address.explain(&what, batch, failure)
}

/// The same failure; a temporary one if its statement names a missing object and is no longer
/// planned.
async fn or_dropped(admin: &RedshiftAdmin, batch: &[BatchStatement], failure: Failure) -> Failure {
    let failed = failure.statement.and_then(|at| batch.get(at));
    let (Some(failed), Some(pair)) = (failed, &admin.pair) else {
        return failure;
    };
    if !failure.kind.is_refusal() || !failure.reason.contains("does not exist") {
        return failure;
    }
    let Ok(facts) = inspect::facts(admin, pair, false).await else {
        return failure;
    };
    let still = plan::plan(&facts, pair).differences;
    if still
        .iter()
        .any(|change| change.statement.to_string() == failed.shown)
    {
        return failure;
    }
    Failure {
        kind: FailureKind::Busy,
        ..failure
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(kind: FailureKind, statement: usize) -> Failure {
        Failure {
            statement: Some(statement),
            ..Failure::new(kind, "x")
        }
    }

    #[test]
    fn a_division_by_zero_counts_at_the_fence_only() {
        let fence = ["LOCK", "UPDATE", "SELECT"].map(BatchStatement::plain);
        let at = |statement| located(failure(FailureKind::DivisionByZero, statement), &fence, 1);
        assert_eq!(at(2).kind, FailureKind::Busy);
        assert_eq!(at(5).kind, FailureKind::DivisionByZero);
        assert_eq!(at(5).statement, Some(1));
        assert_eq!(at(3).statement, None, "a setting");
    }

    #[test]
    fn failures_without_a_fence_keep_their_position() {
        let failed = located(failure(FailureKind::DivisionByZero, 0), &[], 0);
        assert_eq!(
            (failed.kind, failed.statement),
            (FailureKind::DivisionByZero, Some(0))
        );
    }
}
