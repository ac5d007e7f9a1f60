//! The Data API: submit a batch, wait for its end, read its results.
//!
//! What can go wrong, and what prevents it:
//! - too many statements at once, or too many calls: such answers are waited out, with a back-off, for
//!   longer than the API's worst half minute;
//! - an answer is lost: the call is made again under the same token, a few times;
//! - a statement hangs: it is cancelled after a time limit, and its transaction with it;
//! - a result is read page by page, or not at all where the API says that it has no rows.

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

use super::backoff::Backoff;
use super::batch::{Line, token};
use super::failure::{Answer, Failed, Kind, answer, of_message, without};
use super::rows::Row;
use crate::RedshiftTarget;
use twinkey_core::secret::ExposeSecret;

/// How long a batch may take. What takes longer waits for a lock of the application's.
pub(super) const BATCH_LIMIT: Duration = Duration::from_secs(60);
/// How long "too many at once" is waited out, in each call.
const PATIENCE: Duration = Duration::from_secs(90);
/// How often a call without an answer is made again.
const LOST_ANSWERS: u32 = 4;
const CONNECT: Duration = Duration::from_secs(3);
/// The longest that the API is asked to wait for the end of a batch, in seconds; it takes 30 at most.
const WAIT_SECONDS: i32 = 5;
const ONE_TRY: Duration = Duration::from_secs(15);

/// As whom a batch is carried out ("Authorizing access" in the Data API's guide).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Login {
    /// The user of a secret, by its name or ARN.
    Secret(String),
    /// Temporary credentials of a database user.
    DbUser(String),
    /// Whoever the worker's IAM identity is in the database.
    Identity,
}

/// The Data API of one cluster or workgroup.
#[derive(Debug, Clone)]
pub(super) struct Client {
    sdk: Sdk,
    target: RedshiftTarget,
    /// Tells this client's calls from those of every other.
    id: Uuid,
    submitted: Arc<AtomicU64>,
}

/// A batch that is done.
#[derive(Debug)]
pub(super) struct Done {
    /// One for each statement: its id, and whether there are rows to be read.
    parts: Vec<(String, bool)>,
}

impl Client {
    pub(super) fn new(config: &SdkConfig, target: RedshiftTarget) -> Self {
        let config = Builder::from(config)
            // Calls are made again here, where each answer's meaning is known.
            .retry_config(RetryConfig::disabled())
            .timeout_config(
                TimeoutConfig::builder()
                    .connect_timeout(CONNECT)
                    .operation_attempt_timeout(ONE_TRY)
                    .operation_timeout(ONE_TRY)
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

    /// What tells this client's calls from those of every other.
    pub(super) const fn id(&self) -> Uuid {
        self.id
    }

    /// Carries the lines out in one transaction, and waits for its end. Their rows can be had.
    pub(super) async fn ask(
        &self,
        login: &Login,
        database: &str,
        lines: &[Line],
    ) -> Result<Done, Failed> {
        let (statement, _) = self.submit(login, database, lines, None).await?;
        let ended = self.ended(&statement).await?;
        done(&ended, lines)
    }

    /// Carries the lines out in one transaction, and waits for its end. One call, where it is short.
    pub(super) async fn change(
        &self,
        login: &Login,
        database: &str,
        lines: &[Line],
    ) -> Result<(), Failed> {
        let wait = Some(WAIT_SECONDS);
        let (statement, finished) = self.submit(login, database, lines, wait).await?;
        if finished {
            return Ok(());
        }
        let ended = self.ended(&statement).await?;
        done(&ended, lines).map(drop)
    }

    /// The rows of one of a batch's statements.
    pub(super) async fn rows(&self, done: &Done, statement: usize) -> Result<Vec<Row>, Failed> {
        let mut rows = Vec::new();
        let Some((id, true)) = done.parts.get(statement) else {
            return Ok(rows);
        };
        let mut page = None;
        loop {
            let call = || {
                let call = self.sdk.get_statement_result().id(id);
                call.set_next_token(page.clone()).send()
            };
            let answer = patiently(call).await?;
            rows.extend(answer.records.iter().map(|record| Row::new(record)));
            page = answer.next_token.filter(|token| !token.is_empty());
            if page.is_none() {
                return Ok(rows);
            }
        }
    }

    async fn submit(
        &self,
        login: &Login,
        database: &str,
        lines: &[Line],
        wait: Option<i32>,
    ) -> Result<(String, bool), Failed> {
        let number = self.submitted.fetch_add(1, Ordering::Relaxed);
        let token = token(self.id, number, database, lines);
        let (cluster, workgroup) = match &self.target {
            RedshiftTarget::Cluster(name) => (Some(name.clone()), None),
            RedshiftTarget::Workgroup(name) => (None, Some(name.clone())),
        };
        let (secret, user) = match login {
            Login::Secret(id) => (Some(id.clone()), None),
            Login::DbUser(name) => (None, Some(name.clone())),
            Login::Identity => (None, None),
        };
        let sqls: Vec<String> = lines
            .iter()
            .map(|line| line.sent.expose_secret().to_owned())
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
        let answer = patiently(call).await?;
        let finished = answer.status == Some(StatementStatusString::Finished);
        match answer.id {
            Some(id) => Ok((id, finished)),
            None => Err(Failed::new(
                Kind::Unreachable,
                "the answer names no statement",
            )),
        }
    }

    /// How a statement ended. One that takes too long is cancelled.
    async fn ended(&self, id: &str) -> Result<DescribeStatementOutput, Failed> {
        let begun = Instant::now();
        let mut backoff = Backoff::between_looks();
        loop {
            let call = || {
                let call = self.sdk.describe_statement().id(id);
                call.wait_time_seconds(WAIT_SECONDS).send()
            };
            let seen = patiently(call).await?;
            match &seen.status {
                Some(StatusString::Finished | StatusString::Failed | StatusString::Aborted) => {
                    return Ok(seen);
                }
                _ if begun.elapsed() < BATCH_LIMIT => sleep(backoff.next()).await,
                _ => {
                    // Whether it was still running or has just ended, the next look tells.
                    let _ = self.sdk.cancel_statement().id(id).send().await;
                    let limit = BATCH_LIMIT.as_secs();
                    return Err(Failed::new(
                        Kind::Busy,
                        format!("it was not done after {limit} seconds, and is cancelled"),
                    ));
                }
            }
        }
    }
}

/// Makes a call until it is answered, within limits.
async fn patiently<T, E, F>(call: impl Fn() -> F) -> Result<T, Failed>
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    F: Future<Output = Result<T, SdkError<E>>>,
{
    let begun = Instant::now();
    let mut backoff = Backoff::between_calls();
    let mut lost = 0;
    loop {
        let error = match call().await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let (what, reason) = understood(&error);
        match what {
            Answer::Wait if begun.elapsed() < PATIENCE => {}
            Answer::Wait => return Err(Failed::new(Kind::Busy, reason)),
            Answer::Again if lost < LOST_ANSWERS => lost += 1,
            Answer::Again => return Err(Failed::new(Kind::Unreachable, reason)),
            Answer::Fails(kind) => return Err(Failed::new(kind, reason)),
        }
        sleep(backoff.next()).await;
    }
}

fn understood<E>(error: &SdkError<E>) -> (Answer, String)
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    match error {
        SdkError::ServiceError(e) => {
            let status = e.raw().status().as_u16();
            let name = e.err().code();
            let message = e.err().message().unwrap_or("no message");
            (
                answer(name, status, message),
                match name {
                    Some(name) => format!("{name}: {message}"),
                    None => format!("HTTP status {status}"),
                },
            )
        }
        SdkError::TimeoutError(_) => (Answer::Again, "no answer in time".into()),
        SdkError::DispatchFailure(_) => (Answer::Again, "the call could not be sent".into()),
        SdkError::ResponseError(_) => (Answer::Again, "the answer broke off".into()),
        SdkError::ConstructionFailure(_) => (
            Answer::Fails(Kind::Denied),
            "the call could not be made: is a region set (secrets.region or AWS_REGION)?".into(),
        ),
        _ => (Answer::Again, "the call failed".into()),
    }
}

/// What a statement that has ended tells.
fn done(ended: &DescribeStatementOutput, lines: &[Line]) -> Result<Done, Failed> {
    let parts = ended.sub_statements();
    if ended.status == Some(StatusString::Finished) {
        let parts = parts
            .iter()
            .map(|part| {
                let some = part.has_result_set.unwrap_or_default() && part.result_rows != 0;
                (part.id.clone(), some)
            })
            .collect();
        return Ok(Done { parts });
    }
    let failed = parts
        .iter()
        .position(|part| part.status == Some(StatementStatusString::Failed));
    let message = failed
        .and_then(|at| parts.get(at)?.error.as_deref())
        .or(ended.error.as_deref());
    let Some(message) = message else {
        return Err(Failed::new(Kind::Busy, "it was aborted"));
    };
    let mut reason = message.to_owned();
    for digest in lines.iter().filter_map(|line| line.digest.as_ref()) {
        reason = without(&reason, Some(digest));
    }
    Err(Failed {
        kind: of_message(message),
        reason,
        statement: failed,
    })
}
