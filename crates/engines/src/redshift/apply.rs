//! Execution of planned changes.
//!
//! # Failure modes
//! - An interruption leaves a part of the changes. Each batch is one transaction, the password is
//!   in the last one, and every prefix of the list is harmless.
//! - Another worker has taken the lock. Each batch first renews the lease and fails without one.
//!   For other databases, which do not have the table of locks, the renewal is a batch of its own.

use super::RedshiftAdmin;
use super::api::{BatchStatement, Failure, FailureKind, split_into_batches};
use super::lock::{FENCE, Lease};
use crate::{EngineError, RenderedChange};

/// Applies `changes` in order, in as few transactions as possible for each database.
pub(super) async fn apply(
    admin: &RedshiftAdmin,
    changes: &[RenderedChange],
) -> Result<(), EngineError> {
    for group in changes.chunk_by(|one, next| one.database == next.database) {
        let statements: Vec<BatchStatement> = group.iter().map(statement).collect();
        let fence = admin.lease().map(Lease::fence_statements);
        let database = group.first().and_then(|change| change.database.as_deref());
        match database {
            None => {
                let before = fence.as_ref().map_or(&[][..], |fence| fence);
                for batch in split_into_batches(&statements, before) {
                    submit(admin, &admin.address.database, before, batch).await?;
                }
            }
            Some(other) => {
                for batch in split_into_batches(&statements, &[]) {
                    if let Some(fence) = &fence {
                        submit(admin, &admin.address.database, fence, &[]).await?;
                    }
                    submit(admin, other, &[], batch).await?;
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
    let fence = admin.lease().map(Lease::fence_statements);
    let before = fence.as_ref().map_or(&[][..], |fence| fence);
    for batch in split_into_batches(statements, before) {
        submit(admin, &admin.address.database, before, batch).await?;
    }
    Ok(())
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
        if lost && !before.is_empty() {
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
