//! Execution of planned changes.
//!
//! # Failure modes
//! - An interruption leaves a part of the changes. Each batch is one transaction, the password is
//!   in the last one, and every prefix of the list is harmless.
//! - Another worker has taken the lock. Each batch first renews the lease and fails without one.
//!   For other databases, which do not have the table of locks, the renewal is a batch of its own.
//! - A statement changes another object than the planned one, because the server folds its name. A
//!   batch with an upper-case name first keeps the case of names in its session.

use super::RedshiftAdmin;
use super::api::{BatchStatement, Failure, FailureKind, split_into_batches};
use super::lock::FENCE;
use super::quote::{CASE_SETTING, has_upper_case_name};
use crate::{EngineError, RenderedChange};

/// Applies `changes` in order, in as few transactions as possible for each database.
pub(super) async fn apply(
    admin: &RedshiftAdmin,
    changes: &[RenderedChange],
) -> Result<(), EngineError> {
    for group in changes.chunk_by(|one, next| one.database == next.database) {
        let statements: Vec<BatchStatement> = group.iter().map(statement).collect();
        let fence = fence(admin);
        let settings = settings(&statements);
        let database = group.first().and_then(|change| change.database.as_deref());
        match database {
            None => {
                let before = [fence, settings].concat();
                for batch in split_into_batches(&statements, &before) {
                    submit(admin, &admin.address.database, &before, batch).await?;
                }
            }
            Some(other) => {
                for batch in split_into_batches(&statements, &settings) {
                    if !fence.is_empty() {
                        submit(admin, &admin.address.database, &fence, &[]).await?;
                    }
                    submit(admin, other, &settings, batch).await?;
                }
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
    let before = fence(admin);
    for batch in split_into_batches(statements, &before) {
        submit(admin, &admin.address.database, &before, batch).await?;
    }
    Ok(())
}

/// The statements that renew the lease; none if the admin has no lease.
fn fence(admin: &RedshiftAdmin) -> Vec<BatchStatement> {
    let lease = admin.lease();
    lease.map_or_else(Vec::new, |lease| lease.fence_statements().to_vec())
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

async fn submit(
    admin: &RedshiftAdmin,
    database: &str,
    before: &[BatchStatement],
    batch: &[BatchStatement],
) -> Result<(), EngineError> {
    let statements = [before, batch].concat();
    let done = admin
        .client
        .execute(&admin.login, database, &statements)
        .await;
    done.map_err(|failure| {
        let lost = failure.kind == FailureKind::DivisionByZero && failure.statement == Some(FENCE);
        if lost && before.len() > FENCE {
            return admin.address.explain(
                "updating the standby",
                &[],
                Failure::new(
                    FailureKind::Busy,
                    "another worker has taken the pair's lock",
                ),
            );
        }
        // `plan` numbers the statements without those in `before`.
        let failure = Failure {
            statement: failure
                .statement
                .and_then(|at| at.checked_sub(before.len())),
            ..failure
        };
        let what = format!("a transaction in {database:?}");
        admin.address.explain(&what, batch, failure)
    })
}
