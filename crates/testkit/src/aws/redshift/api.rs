//! Actions of the API.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value as Json, json};
use tokio::time::Instant;
use uuid::Uuid;

use super::api_error::ApiError;
use super::request::{ConnectionTarget, Submission, number};
use super::results::{identifier, page_start};
use super::statement::{Statement, Status};
use super::{CLUSTER, Redshift, StatementLog, WORKGROUP};

pub type ApiResult = Result<Json, ApiError>;

impl Redshift {
    /// Handles one call and returns HTTP status and body.
    pub async fn answer(
        self: &Arc<Self>,
        action: &str,
        authorization: &str,
        body: &[u8],
    ) -> (u16, Json) {
        let answer = if !authorization.contains("/redshift-data/aws4_request") {
            let why = "the request is not signed for redshift-data";
            Err(ApiError::new(403, "IncompleteSignatureException", why))
        } else {
            match serde_json::from_slice(body) {
                Ok(request) => self.dispatch(action, &request).await,
                Err(error) => Err(ApiError::new(
                    400,
                    "SerializationException",
                    error.to_string(),
                )),
            }
        };
        match answer {
            Ok(body) => (200, body),
            Err(refusal) => (refusal.status, refusal.body),
        }
    }

    async fn dispatch(self: &Arc<Self>, action: &str, request: &Json) -> ApiResult {
        match action {
            "ExecuteStatement" | "BatchExecuteStatement" => self.submit(action, request).await,
            "DescribeStatement" => self.describe(request).await,
            "GetStatementResult" => self.get_result(request).await,
            "ListStatements" => self.list_statements(request),
            "CancelStatement" => self.cancel(request).await,
            "ListDatabases" => self.list_databases(request).await,
            _ => Err(ApiError::new(
                400,
                "UnknownOperationException",
                "this stand-in does not have it",
            )),
        }
    }

    pub(super) fn check_target(target: &ConnectionTarget) -> Result<(), ApiError> {
        let known = match (&target.cluster, &target.workgroup) {
            (Some(cluster), _) => cluster == CLUSTER,
            (_, workgroup) => workgroup.as_deref() == Some(WORKGROUP),
        };
        let unknown = "Redshift endpoint doesn't exist in this region.";
        if known {
            Ok(())
        } else {
            Err(ApiError::invalid(unknown))
        }
    }

    async fn submit(self: &Arc<Self>, action: &str, request: &Json) -> ApiResult {
        let submission = Submission::read(action, request)?;
        Self::check_target(&submission.target)?;
        let same = json!({"action": action, "request": Submission::without_wait(request)});
        let wait = submission.wait;
        let known = statement_of_token(&self.statement_log(), submission.token.as_deref(), &same)?;
        let id = if let Some(id) = known {
            id
        } else {
            let sign_in = self.sign_in(&submission.target).await?;
            self.enter(submission, same, sign_in)?
        };
        self.wait_for(&id, wait).await;
        self.with_statement(&id, |statement| Ok(statement.submitted()))
    }

    fn enter(
        self: &Arc<Self>,
        submission: Submission,
        same: Json,
        sign_in: super::signin::SignIn,
    ) -> Result<String, ApiError> {
        let (most, delayed_polls) = {
            let faults = self.faults();
            (faults.active, faults.delayed_polls)
        };
        let mut log = self.statement_log();
        // Concurrent calls with one token become one statement.
        if let Some(id) = statement_of_token(&log, submission.token.as_deref(), &same)? {
            return Ok(id);
        }
        let active = log
            .statements
            .iter()
            .filter(|s| !s.status.is_final())
            .count();
        if active >= most {
            let why = "Active statements exceeded the allowed quota";
            return Err(ApiError::new(400, "ActiveStatementsExceededException", why));
        }
        self.log(&submission.sqls);
        let id = Uuid::new_v4().to_string();
        if let Some(token) = submission.token.clone() {
            log.tokens.insert(token, (same, id.clone()));
        }
        log.statements.push(Statement::new(
            id.clone(),
            submission,
            self.now(),
            delayed_polls,
        ));
        let task = tokio::spawn(super::run::run(Arc::clone(self), id.clone(), sign_in));
        log.tasks.insert(id.clone(), task.abort_handle());
        Ok(id)
    }

    /// Waits for the end of the statement, at most so many seconds.
    pub(super) async fn wait_for(&self, id: &str, seconds: Option<u64>) {
        let Some(seconds) = seconds else { return };
        let deadline = Instant::now() + Duration::from_secs(seconds);
        let mut changes = self.changes.subscribe();
        loop {
            changes.mark_unchanged();
            let base = id.split(':').next().unwrap_or(id);
            let ended = self.with_statement(base, |s| Ok(s.status.is_final()));
            if ended.unwrap_or(true)
                || tokio::time::timeout_at(deadline, changes.changed())
                    .await
                    .is_err()
            {
                return;
            }
        }
    }

    pub(super) fn with_statement<T>(
        &self,
        id: &str,
        see: impl FnOnce(&mut Statement) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        let mut log = self.statement_log();
        let found = log
            .statements
            .iter_mut()
            .find(|statement| statement.id == id);
        see(found.ok_or_else(|| ApiError::missing(id, format!("Query {id} does not exist.")))?)
    }

    async fn cancel(&self, request: &Json) -> ApiResult {
        let (id, _) = identifier(request)?;
        let now = self.now();
        let pid = self.with_statement(&id, |statement| {
            if statement.status.is_final() {
                let state = statement.status.name();
                return Err(ApiError::invalid(format!(
                    "Could not cancel a query that is already in {state} state."
                )));
            }
            statement.status = Status::Aborted;
            statement.updated = now;
            for part in statement
                .parts
                .iter_mut()
                .filter(|part| !part.status.is_final())
            {
                part.status = Status::Aborted;
            }
            Ok(statement.pid)
        })?;
        if let Some(task) = self.statement_log().tasks.remove(&id) {
            task.abort();
        }
        if pid != 0 {
            let mut root = self.root("postgres").await.unwrap();
            let stop = format!("SELECT pg_terminate_backend({pid})");
            super::pool::execute(&mut root, &stop).await.unwrap();
        }
        self.changes.send_modify(|count| *count += 1);
        Ok(json!({"Status": true}))
    }

    async fn list_databases(&self, request: &Json) -> ApiResult {
        let target = ConnectionTarget::read(request)?;
        Self::check_target(&target)?;
        let most = number(request, "MaxResults", 0..=1000)?
            .filter(|most| *most > 0)
            .unwrap_or(1000);
        let start = page_start(request)?;
        let sign_in = self.sign_in(&target).await?;
        let all = self.databases(&target, sign_in).await;
        let all = all.map_err(|error| ApiError::new(500, "DatabaseConnectionException", error))?;
        let end = all.len().min(start + usize::try_from(most).unwrap());
        let mut shown = json!({"Databases": all.get(start..end).unwrap_or_default()});
        if end < all.len() {
            shown["NextToken"] = json!(format!("from:{end}"));
        }
        Ok(shown)
    }
}

/// The statement of this token; an error if its request was different.
fn statement_of_token(
    log: &StatementLog,
    token: Option<&str>,
    same: &Json,
) -> Result<Option<String>, ApiError> {
    match token.and_then(|token| log.tokens.get(token)) {
        None => Ok(None),
        Some((request, id)) if request == same => Ok(Some(id.clone())),
        Some(_) => Err(ApiError::invalid(
            "The ClientToken was used before with other parameters",
        )),
    }
}
