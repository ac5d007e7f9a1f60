//! Statements in the Data API, which keeps them for 24 hours.

use serde_json::{Value as Json, json};

use super::request::Submission;

/// The state of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Submitted,
    Picked,
    Started,
    Finished,
    Failed,
    Aborted,
}

impl Status {
    pub fn is_final(self) -> bool {
        matches!(self, Self::Finished | Self::Failed | Self::Aborted)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Submitted => "SUBMITTED",
            Self::Picked => "PICKED",
            Self::Started => "STARTED",
            Self::Finished => "FINISHED",
            Self::Failed => "FAILED",
            Self::Aborted => "ABORTED",
        }
    }
}

/// Rows in the form of the API.
#[derive(Debug, Clone, Default)]
pub struct ResultSet {
    pub columns: Vec<Json>,
    pub rows: Vec<Json>,
}

/// One statement of a submission.
#[derive(Debug, Clone)]
pub struct Part {
    pub sql: String,
    pub status: Status,
    pub error: Option<String>,
    pub result: Option<ResultSet>,
    /// -1: unknown.
    pub affected: i64,
}

#[derive(Debug, Clone)]
pub struct Statement {
    pub id: String,
    pub submission: Submission,
    /// Set at the sign-in; for a database user at the submission.
    pub user: Option<String>,
    pub status: Status,
    pub error: Option<String>,
    pub parts: Vec<Part>,
    pub created: f64,
    pub updated: f64,
    pub pid: i64,
    /// Number of polls that still report it as running.
    pub delayed_polls: usize,
}

impl Statement {
    pub fn new(id: String, submission: Submission, now: f64, delayed_polls: usize) -> Self {
        let part = |sql: &String| Part {
            sql: sql.clone(),
            status: Status::Submitted,
            error: None,
            result: None,
            affected: -1,
        };
        Self {
            id,
            parts: submission.sqls.iter().map(part).collect(),
            user: submission.target.db_user.clone(),
            submission,
            status: Status::Submitted,
            error: None,
            created: now,
            updated: now,
            pid: 0,
            delayed_polls,
        }
    }

    fn has_result_set(&self) -> bool {
        self.status == Status::Finished && self.parts.iter().any(|part| part.result.is_some())
    }

    /// The response of ExecuteStatement and BatchExecuteStatement.
    pub fn submitted(&self) -> Json {
        let target = &self.submission.target;
        without_null(json!({
            "Id": self.id, "CreatedAt": self.created, "ClusterIdentifier": target.cluster,
            "WorkgroupName": target.workgroup, "SecretArn": target.secret, "DbUser": self.user,
            "Database": target.database, "Status": self.status.name(),
            "HasResultSet": self.has_result_set(),
        }))
    }

    pub fn described(&self) -> Json {
        let target = &self.submission.target;
        let only = (!self.submission.is_batch).then(|| &self.parts[0]);
        let subs: Vec<Json> = (1..=self.parts.len()).map(|n| self.sub(n)).collect();
        without_null(json!({
            "Id": self.id, "CreatedAt": self.created, "UpdatedAt": self.updated,
            "ClusterIdentifier": target.cluster, "WorkgroupName": target.workgroup,
            "SecretArn": target.secret, "DbUser": self.user, "Database": target.database,
            "Status": self.status.name(), "Error": self.error, "Duration": self.nanoseconds(),
            "HasResultSet": self.has_result_set(), "RedshiftPid": self.pid, "RedshiftQueryId": -1,
            "QueryString": only.map(|part| part.sql.clone()),
            "ResultRows": only.map_or(-1, Part::count), "ResultSize": only.map_or(-1, Part::size),
            "QueryParameters": self.parameters(),
            "SubStatements": self.submission.is_batch.then_some(subs),
            "ExecutionMode": self.submission.is_batch.then_some(
                if self.submission.auto_commit { "AUTO_COMMIT" } else { "TRANSACTION" }),
            "ResultFormat": "JSON",
        }))
    }

    /// The `number`th statement of a batch, from 1 on.
    pub fn sub(&self, number: usize) -> Json {
        let part = &self.parts[number - 1];
        without_null(json!({
            "Id": format!("{}:{number}", self.id), "CreatedAt": self.created, "UpdatedAt": self.updated,
            "Status": part.status.name(), "Error": part.error, "QueryString": part.sql,
            "Duration": self.nanoseconds(), "HasResultSet": part.result.is_some(),
            "ResultRows": part.count(), "ResultSize": part.size(), "RedshiftQueryId": -1,
        }))
    }

    /// The entry in ListStatements.
    pub fn listed(&self) -> Json {
        let only = (!self.submission.is_batch).then(|| self.parts[0].sql.clone());
        without_null(json!({
            "Id": self.id, "CreatedAt": self.created, "UpdatedAt": self.updated,
            "Status": self.status.name(), "StatementName": self.submission.name,
            "SecretArn": self.submission.target.secret, "IsBatchStatement": self.submission.is_batch,
            "QueryString": only, "QueryStrings": self.submission.sqls,
            "QueryParameters": self.parameters(), "ResultFormat": "JSON",
        }))
    }

    fn parameters(&self) -> Option<Vec<Json>> {
        let all = &self.submission.parameters;
        let shown = all
            .iter()
            .map(|(name, value)| json!({"name": name, "value": value}));
        (!all.is_empty()).then(|| shown.collect())
    }

    #[allow(
        clippy::cast_possible_truncation,
        reason = "a statement does not run for 292 years"
    )]
    fn nanoseconds(&self) -> i64 {
        let ended = self.status.is_final();
        if ended {
            ((self.updated - self.created) * 1e9) as i64
        } else {
            -1
        }
    }
}

impl Part {
    fn count(&self) -> i64 {
        let rows = self.result.as_ref().map(|result| result.rows.len());
        rows.map_or(self.affected, |rows| i64::try_from(rows).unwrap())
    }

    fn size(&self) -> i64 {
        let size = |result: &ResultSet| result.rows.iter().map(|row| row.to_string().len()).sum();
        let size: Option<usize> = self.result.as_ref().map(size);
        size.map_or(-1, |size| i64::try_from(size).unwrap())
    }
}

/// The document without null fields, which AWS omits.
fn without_null(mut shown: Json) -> Json {
    shown
        .as_object_mut()
        .unwrap()
        .retain(|_, value| !value.is_null());
    shown
}
