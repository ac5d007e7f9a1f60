//! Client of the Redshift Data API: batches, retries, errors and result rows.

mod backoff;
mod batch;
mod client;
mod failure;
mod rows;

pub(in crate::redshift) use self::backoff::{CALL_BACKOFF, VISIBILITY_BACKOFF};
#[cfg(test)]
pub(in crate::redshift) use self::batch::MAX_STATEMENTS;
pub(in crate::redshift) use self::batch::{BatchStatement, split_into_batches};
pub(in crate::redshift) use self::client::{BATCH_LIMIT, DataApiClient, Login, READ_LIMIT};
pub(in crate::redshift) use self::failure::{ErrorAction, Failure, FailureKind, classify_error};
pub(in crate::redshift) use self::rows::{Row, Table, UnexpectedColumn};
