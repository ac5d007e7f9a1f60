//! Calls of the Data API: submit a batch, wait for its end, read its rows.
//!
//! # Failure modes
//! - The API throttles calls or limits concurrent statements. Such calls are retried with a
//!   back-off for longer than the API's quotas can last.
//! - A response is lost. The call is retried a few times with the same token.
//! - A statement hangs. It is cancelled after [`BATCH_LIMIT`], or after [`READ_LIMIT`] if it only
//!   reads, and its transaction with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_redshiftdata::Client as Sdk;
use aws_sdk_redshiftdata::config::Builder;
use aws_sdk_redshiftdata::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_redshiftdata::operation::describe_statement::DescribeStatementOutput;
use aws_sdk_redshiftdata::types::{StatementStatusString, StatusString};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::backoff::{CALL_BACKOFF, POLL_BACKOFF};
use super::batch::{BatchStatement, client_token};
use super::failure::{
    ErrorAction, Failure, FailureKind, classify_error, classify_message, without_digest,
};
use super::rows::{Row, Table};
use crate::RedshiftTarget;
use twinkey_core::secret::ExposeSecret;

/// Time limit of a batch. A slower batch is waiting for a lock of the application.
pub(in crate::redshift) const BATCH_LIMIT: Duration = Duration::from_secs(60);
/// Time limit of a batch that only reads the catalog. The views expand every grant of a database.
pub(in crate::redshift) const READ_LIMIT: Duration = Duration::from_secs(300);
/// Time limit for the retries of one throttled call.
const THROTTLING_LIMIT: Duration = Duration::from_secs(90);
/// Maximum number of retries of one unanswered call.
const MAX_LOST_ANSWERS: u32 = 4;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Seconds that the API waits for the end of a batch inside one call; its maximum is 30.
const WAIT_SECONDS: i32 = 5;
const CALL_TIMEOUT: Duration = Duration::from_secs(15);

/// The database user of a batch ("Authorizing access" in the Data API guide).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::redshift) enum Login {
    /// The user in a secret, by the secret's name or ARN.
    Secret(String),
    /// Temporary credentials of a database user.
    DbUser(String),
    /// The database user that is mapped to the worker's IAM identity.
    Identity,
}

/// A client of the Data API for one cluster or workgroup.
#[derive(Debug, Clone)]
pub(in crate::redshift) struct DataApiClient {
    sdk: Sdk,
    target: RedshiftTarget,
    /// Part of every token, and the holder's name in the pair's lock.
    id: Uuid,
    submitted: Arc<AtomicU64>,
}

/// A batch that succeeded.
#[derive(Debug)]
pub(in crate::redshift) struct FinishedBatch {
    /// The id of each statement, and whether it has rows.
    parts: Vec<(String, bool)>,
}

impl DataApiClient {
    pub(in crate::redshift) fn new(config: &SdkConfig, target: RedshiftTarget) -> Self {
        let config = Builder::from(config)
            // `with_retries` retries, because it classifies errors by their meaning.
            .retry_config(RetryConfig::disabled())
            .timeout_config(
                TimeoutConfig::builder()
                    .connect_timeout(CONNECT_TIMEOUT)
                    .operation_attempt_timeout(CALL_TIMEOUT)
                    .operation_timeout(CALL_TIMEOUT)
                    .build(),
            )
            .build();
        Self {
            sdk: Sdk::from_conf(config),
            target,
            id: Uuid::new_v4(),
            submitted: Arc::default(),
        }
    }

    /// The unique id of this client.
    pub(in crate::redshift) const fn id(&self) -> Uuid {
        self.id
    }

    /// Runs the statements in one transaction and waits for its end, so that rows can be read.
    pub(in crate::redshift) async fn query(
        &self,
        login: &Login,
        database: &str,
        statements: &[BatchStatement],
        limit: Duration,
    ) -> Result<FinishedBatch, Failure> {
        let (id, _) = self.submit(login, database, statements, None).await?;
        let ended = self.wait_for_end(&id, limit).await?;
        finished_batch(&ended, statements)
    }

    /// Runs the statements in one transaction and waits for its end; one call if it is short.
    pub(in crate::redshift) async fn execute(
        &self,
        login: &Login,
        database: &str,
        statements: &[BatchStatement],
    ) -> Result<(), Failure> {
        let wait = Some(WAIT_SECONDS);
        let (id, finished) = self.submit(login, database, statements, wait).await?;
        if finished {
            return Ok(());
        }
        let ended = self.wait_for_end(&id, BATCH_LIMIT).await?;
        finished_batch(&ended, statements).map(drop)
    }

    /// All pages of the rows of one statement in a batch.
    pub(in crate::redshift) async fn rows(
        &self,
        batch: &FinishedBatch,
        statement: usize,
    ) -> Result<Vec<Row>, Failure> {
        Ok(self.table(batch, statement).await?.rows)
    }

    /// All pages of the rows of one statement in a batch, with the names of the columns.
    pub(in crate::redshift) async fn table(
        &self,
        batch: &FinishedBatch,
        statement: usize,
    ) -> Result<Table, Failure> {
        let mut table = Table::default();
        let Some((id, true)) = batch.parts.get(statement) else {
            return Ok(table);
        };
        let mut page = None;
        loop {
            let call = || {
                let call = self.sdk.get_statement_result().id(id);
                call.set_next_token(page.clone()).send()
            };
            let response = with_retries(call).await?;
            if table.columns.is_empty() {
                let columns = response.column_metadata().iter();
                let names = columns.map(|column| column.name().unwrap_or_default().to_owned());
                table.columns = names.collect();
            }
            let rows = response.records.iter().map(|record| Row::new(record));
            table.rows.extend(rows);
            page = response.next_token.filter(|token| !token.is_empty());
            if page.is_none() {
                return Ok(table);
            }
        }
    }

    async fn submit(
        &self,
        login: &Login,
        database: &str,
        statements: &[BatchStatement],
        wait: Option<i32>,
    ) -> Result<(String, bool), Failure> {
        let number = self.submitted.fetch_add(1, Ordering::Relaxed);
        let token = client_token(self.id, number, database, statements);
        let (cluster, workgroup) = match &self.target {
            RedshiftTarget::Cluster(name) => (Some(name.clone()), None),
            RedshiftTarget::Workgroup(name) => (None, Some(name.clone())),
        };
        let (secret, user) = match login {
            Login::Secret(id) => (Some(id.clone()), None),
            Login::DbUser(name) => (None, Some(name.clone())),
            Login::Identity => (None, None),
        };
        let sqls: Vec<String> = statements
            .iter()
            .map(|statement| statement.sent.expose_secret().to_owned())
            .collect();
        let call = || {
            let call = self.sdk.batch_execute_statement();
            call.set_cluster_identifier(cluster.clone())
                .set_workgroup_name(workgroup.clone())
                .set_secret_arn(secret.clone())
                .set_db_user(user.clone())
                .database(database)
                .client_token(&token)
                .set_wait_time_seconds(wait)
                .set_sqls(Some(sqls.clone()))
                .send()
        };
        let response = with_retries(call).await?;
        let finished = response.status == Some(StatementStatusString::Finished);
        match response.id {
            Some(id) => Ok((id, finished)),
            None => Err(Failure::new(
                FailureKind::Unreachable,
                "the response contains no statement id",
            )),
        }
    }

    /// Polls a statement until it ends, and cancels it after the time limit.
    async fn wait_for_end(
        &self,
        id: &str,
        limit: Duration,
    ) -> Result<DescribeStatementOutput, Failure> {
        let started = Instant::now();
        let mut delays = POLL_BACKOFF.delays();
        loop {
            let call = || {
                let call = self.sdk.describe_statement().id(id);
                call.wait_time_seconds(WAIT_SECONDS).send()
            };
            let status = with_retries(call).await?;
            match &status.status {
                Some(StatusString::Finished | StatusString::Failed | StatusString::Aborted) => {
                    return Ok(status);
                }
                _ if started.elapsed() < limit => sleep(delays.next_delay()).await,
                _ => {
                    // The result does not matter: the statement may have just ended.
                    let _ = self.sdk.cancel_statement().id(id).send().await;
                    let limit = limit.as_secs();
                    return Err(Failure::new(
                        FailureKind::Busy,
                        format!("the batch was cancelled after {limit} seconds"),
                    ));
                }
            }
        }
    }
}

/// Retries a call until it succeeds, fails permanently or reaches a limit.
async fn with_retries<T, E, F>(call: impl Fn() -> F) -> Result<T, Failure>
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    F: Future<Output = Result<T, SdkError<E>>>,
{
    let started = Instant::now();
    let mut delays = CALL_BACKOFF.delays();
    let mut lost = 0;
    loop {
        let error = match call().await {
            Ok(response) => return Ok(response),
            Err(error) => error,
        };
        let (action, reason) = classify(&error);
        match action {
            ErrorAction::WaitAndRetry if started.elapsed() < THROTTLING_LIMIT => {}
            ErrorAction::WaitAndRetry => return Err(Failure::new(FailureKind::Busy, reason)),
            ErrorAction::Retry if lost < MAX_LOST_ANSWERS => lost += 1,
            ErrorAction::Retry => return Err(Failure::new(FailureKind::Unreachable, reason)),
            ErrorAction::Fail(kind) => return Err(Failure::new(kind, reason)),
        }
        sleep(delays.next_delay()).await;
    }
}

fn classify<E>(error: &SdkError<E>) -> (ErrorAction, String)
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    match error {
        SdkError::ServiceError(e) => {
            let status = e.raw().status().as_u16();
            let name = e.err().code();
            let message = e.err().message().unwrap_or("no message");
            (
                classify_error(name, status, message),
                match name {
                    Some(name) => format!("{name}: {message}"),
                    None => format!("HTTP status {status}"),
                },
            )
        }
        SdkError::TimeoutError(_) => (ErrorAction::Retry, "the call timed out".into()),
        SdkError::DispatchFailure(_) => (ErrorAction::Retry, "the call could not be sent".into()),
        SdkError::ResponseError(_) => (ErrorAction::Retry, "the response was incomplete".into()),
        SdkError::ConstructionFailure(_) => (
            ErrorAction::Fail(FailureKind::Denied),
            "the call could not be made: is a region set (secrets.region or AWS_REGION)?".into(),
        ),
        _ => (ErrorAction::Retry, "the call failed".into()),
    }
}

/// The parts of a batch that ended, or its failure.
fn finished_batch(
    ended: &DescribeStatementOutput,
    statements: &[BatchStatement],
) -> Result<FinishedBatch, Failure> {
    let parts = ended.sub_statements();
    if ended.status == Some(StatusString::Finished) {
        let parts = parts
            .iter()
            .map(|part| {
                let some = part.has_result_set.unwrap_or_default() && part.result_rows != 0;
                (part.id.clone(), some)
            })
            .collect();
        return Ok(FinishedBatch { parts });
    }
    let failed = parts
        .iter()
        .position(|part| part.status == Some(StatementStatusString::Failed));
    let message = failed
        .and_then(|at| parts.get(at)?.error.as_deref())
        .or(ended.error.as_deref());
    let Some(message) = message else {
        return Err(Failure::new(FailureKind::Busy, "the batch was aborted"));
    };
    let mut reason = message.to_owned();
    for digest in statements
        .iter()
        .filter_map(|statement| statement.digest.as_ref())
    {
        reason = without_digest(&reason, Some(digest));
    }
    Err(Failure {
        kind: classify_message(message),
        reason,
        statement: failed,
    })
}
