//! The actions.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value as Json, json};
use tokio::time::Instant;
use uuid::Uuid;

use super::refusal::Refusal;
use super::request::{Place, Submission, number, text, wait};
use super::statement::{Statement, Status};
use super::{CLUSTER, Redshift, WORKGROUP};

type Answer = Result<Json, Refusal>;

impl Redshift {
    /// Answers one call: HTTP status and body.
    pub async fn answer(
        self: &Arc<Self>,
        action: &str,
        authorization: &str,
        body: &[u8],
    ) -> (u16, Json) {
        let answer = if !authorization.contains("/redshift-data/aws4_request") {
            let why = "the request is not signed for redshift-data";
            Err(Refusal::new(403, "IncompleteSignatureException", why))
        } else {
            match serde_json::from_slice(body) {
                Ok(asked) => self.dispatch(action, &asked).await,
                Err(error) => Err(Refusal::new(
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

    async fn dispatch(self: &Arc<Self>, action: &str, asked: &Json) -> Answer {
        match action {
            "ExecuteStatement" | "BatchExecuteStatement" => self.submit(action, asked).await,
            "DescribeStatement" => self.describe(asked).await,
            "GetStatementResult" => self.get_result(asked).await,
            "ListStatements" => self.list_statements(asked),
            "CancelStatement" => self.cancel(asked).await,
            "ListDatabases" => self.list_databases(asked).await,
            _ => Err(Refusal::new(
                400,
                "UnknownOperationException",
                "this stand-in does not have it",
            )),
        }
    }

    pub(super) fn check_place(place: &Place) -> Result<(), Refusal> {
        let known = match (&place.cluster, &place.workgroup) {
            (Some(cluster), _) => cluster == CLUSTER,
            (_, workgroup) => workgroup.as_deref() == Some(WORKGROUP),
        };
        let unknown = "Redshift endpoint doesn't exist in this region.";
        if known {
            Ok(())
        } else {
            Err(Refusal::invalid(unknown))
        }
    }

    async fn submit(self: &Arc<Self>, action: &str, asked: &Json) -> Answer {
        let submission = Submission::read(action, asked)?;
        Self::check_place(&submission.place)?;
        let same = json!({"action": action, "asked": Submission::without_wait(asked)});
        let wait = submission.wait;
        let known = self.known(submission.token.as_deref(), &same)?;
        let id = if let Some(id) = known {
            id
        } else {
            let sign_in = self.sign_in(&submission.place).await?;
            self.enter(submission, same, sign_in)?
        };
        self.wait_for(&id, wait).await;
        self.look(&id, |statement| Ok(statement.submitted()))
    }

    /// The statement that this token became; it is an error where something else was asked.
    fn known(&self, token: Option<&str>, same: &Json) -> Result<Option<String>, Refusal> {
        let book = self.book();
        match token.and_then(|token| book.tokens.get(token)) {
            None => Ok(None),
            Some((asked, id)) if asked == same => Ok(Some(id.clone())),
            Some(_) => Err(Refusal::invalid(
                "The ClientToken was used before with other parameters",
            )),
        }
    }

    fn enter(
        self: &Arc<Self>,
        submission: Submission,
        same: Json,
        sign_in: super::signin::SignIn,
    ) -> Result<String, Refusal> {
        let (most, late) = {
            let knobs = self.knobs();
            (knobs.active, knobs.late)
        };
        // Two calls with one token at once become one statement.
        if let Some(id) = self.known(submission.token.as_deref(), &same)? {
            return Ok(id);
        }
        let mut book = self.book();
        let active = book
            .statements
            .iter()
            .filter(|s| !s.status.is_final())
            .count();
        if active >= most {
            let why = "Active statements exceeded the allowed quota";
            return Err(Refusal::new(400, "ActiveStatementsExceededException", why));
        }
        self.note(&submission.sqls);
        let id = Uuid::new_v4().to_string();
        if let Some(token) = submission.token.clone() {
            book.tokens.insert(token, (same, id.clone()));
        }
        book.statements
            .push(Statement::new(id.clone(), submission, self.now(), late));
        let task = tokio::spawn(super::run::run(Arc::clone(self), id.clone(), sign_in));
        book.tasks.insert(id.clone(), task.abort_handle());
        Ok(id)
    }

    /// Until the statement has ended, or so many seconds.
    async fn wait_for(&self, id: &str, seconds: Option<u64>) {
        let Some(seconds) = seconds else { return };
        let deadline = Instant::now() + Duration::from_secs(seconds);
        let mut changes = self.changes.subscribe();
        loop {
            changes.mark_unchanged();
            let base = id.split(':').next().unwrap_or(id);
            let ended = self.look(base, |s| Ok(s.status.is_final()));
            if ended.unwrap_or(true)
                || tokio::time::timeout_at(deadline, changes.changed())
                    .await
                    .is_err()
            {
                return;
            }
        }
    }

    pub(super) fn look<T>(
        &self,
        id: &str,
        see: impl FnOnce(&mut Statement) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let mut book = self.book();
        let found = book
            .statements
            .iter_mut()
            .find(|statement| statement.id == id);
        see(found.ok_or_else(|| Refusal::missing(id, format!("Query {id} does not exist.")))?)
    }

    async fn describe(&self, asked: &Json) -> Answer {
        let (id, number) = identifier(asked)?;
        let waits = wait(asked)?;
        self.wait_for(&id, waits).await;
        self.look(&id, |statement| {
            let mut shown = match number {
                None => statement.described(),
                Some(number) => part_of(statement, number).map(|_| statement.sub(number))?,
            };
            if waits.is_none() && statement.late > 0 && statement.status.is_final() {
                statement.late -= 1;
                let still = shown.as_object_mut().unwrap();
                still.retain(|key, _| !["Error", "SubStatements"].contains(&key.as_str()));
                shown["Status"] = json!(Status::Started.name());
                shown["HasResultSet"] = json!(false);
            }
            Ok(shown)
        })
    }

    async fn get_result(&self, asked: &Json) -> Answer {
        let (id, number) = identifier(asked)?;
        self.wait_for(&id, wait(asked)?).await;
        let page = self.knobs().page_rows;
        let start = page_start(asked)?;
        self.look(&id, |statement| {
            let number = match number {
                None if statement.submission.is_batch => {
                    return Err(Refusal::invalid(
                        "A batch has results by statement: name one as id:number",
                    ));
                }
                None => 1,
                Some(number) => number,
            };
            let ended = statement.status == Status::Finished
                || statement.submission.auto_commit && statement.status.is_final();
            let part = part_of(statement, number)?;
            let Some(result) = part.result.as_ref().filter(|_| ended) else {
                let why =
                    "Query does not have result. Please check query status with DescribeStatement.";
                return Err(Refusal::missing(&id, why));
            };
            if start > result.rows.len() {
                return Err(Refusal::invalid("NextToken is not one of this result's"));
            }
            let end = result.rows.len().min(start + page);
            let mut shown = json!({
                "Records": result.rows[start..end], "ColumnMetadata": result.columns,
                "TotalNumRows": result.rows.len(),
            });
            if end < result.rows.len() {
                shown["NextToken"] = json!(format!("from:{end}"));
            }
            Ok(shown)
        })
    }

    fn list_statements(&self, asked: &Json) -> Answer {
        let most = number(asked, "MaxResults", 0..=100)?
            .filter(|most| *most > 0)
            .unwrap_or(100);
        let status = text(asked, "Status")?.unwrap_or_else(|| "FINISHED".into());
        let prefix = text(asked, "StatementName")?.unwrap_or_default();
        let cluster = text(asked, "ClusterIdentifier")?;
        let workgroup = text(asked, "WorkgroupName")?;
        let database = text(asked, "Database")?;
        if cluster.is_some() && workgroup.is_some() {
            return Err(Refusal::invalid(
                "ClusterIdentifier and WorkgroupName exclude each other",
            ));
        }
        if database.is_some() && cluster.is_none() && workgroup.is_none() {
            return Err(Refusal::invalid(
                "Database is of a ClusterIdentifier or a WorkgroupName",
            ));
        }
        let start = page_start(asked)?;
        let book = self.book();
        let newest_first = book.statements.iter().rev().filter(|statement| {
            let place = &statement.submission.place;
            (status == "ALL" || status == statement.status.name())
                && statement
                    .submission
                    .name
                    .as_deref()
                    .unwrap_or_default()
                    .starts_with(&prefix)
                && (cluster.is_none() || cluster == place.cluster)
                && (workgroup.is_none() || workgroup == place.workgroup)
                && database
                    .as_ref()
                    .is_none_or(|database| *database == place.database)
        });
        let all: Vec<Json> = newest_first.map(Statement::listed).collect();
        let end = all.len().min(start + usize::try_from(most).unwrap());
        let mut shown = json!({"Statements": all.get(start..end).unwrap_or_default()});
        if end < all.len() {
            shown["NextToken"] = json!(format!("from:{end}"));
        }
        Ok(shown)
    }

    async fn cancel(&self, asked: &Json) -> Answer {
        let (id, _) = identifier(asked)?;
        let now = self.now();
        let pid = self.look(&id, |statement| {
            if statement.status.is_final() {
                let state = statement.status.name();
                return Err(Refusal::invalid(format!(
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
        if let Some(task) = self.book().tasks.remove(&id) {
            task.abort();
        }
        if pid != 0 {
            let mut root = self.root("postgres").await.unwrap();
            let stop = format!("SELECT pg_terminate_backend({pid})");
            super::execute(&mut root, &stop).await.unwrap();
        }
        self.changes.send_modify(|count| *count += 1);
        Ok(json!({"Status": true}))
    }

    async fn list_databases(&self, asked: &Json) -> Answer {
        let place = Place::read(asked)?;
        Self::check_place(&place)?;
        let most = number(asked, "MaxResults", 0..=1000)?
            .filter(|most| *most > 0)
            .unwrap_or(1000);
        let start = page_start(asked)?;
        let sign_in = self.sign_in(&place).await?;
        let all = self.databases(&place, sign_in).await;
        let all = all.map_err(|error| Refusal::new(500, "DatabaseConnectionException", error))?;
        let end = all.len().min(start + usize::try_from(most).unwrap());
        let mut shown = json!({"Databases": all.get(start..end).unwrap_or_default()});
        if end < all.len() {
            shown["NextToken"] = json!(format!("from:{end}"));
        }
        Ok(shown)
    }
}

/// A statement's id and, behind a colon, the number of one of its batch.
fn identifier(asked: &Json) -> Result<(String, Option<usize>), Refusal> {
    let id = text(asked, "Id")?.unwrap_or_default();
    let (base, number) = id
        .split_once(':')
        .map_or((id.as_str(), None), |(b, n)| (b, Some(n)));
    let number = number.map(str::parse).transpose();
    match (Uuid::try_parse(base), number) {
        (Ok(_), Ok(number)) => Ok((base.to_owned(), number)),
        _ => Err(Refusal::invalid(format!(
            "id must satisfy regex pattern: {id}"
        ))),
    }
}

fn part_of(statement: &Statement, number: usize) -> Result<&super::statement::Part, Refusal> {
    let part = number.checked_sub(1).and_then(|at| statement.parts.get(at));
    part.ok_or_else(|| Refusal::missing(&statement.id, format!("there is no statement {number}")))
}

fn page_start(asked: &Json) -> Result<usize, Refusal> {
    let token = text(asked, "NextToken")?.filter(|token| !token.is_empty());
    let start = token.map(|token| token.strip_prefix("from:").and_then(|at| at.parse().ok()));
    match start {
        None => Ok(0),
        Some(Some(start)) => Ok(start),
        Some(None) => Err(Refusal::invalid("NextToken is not one of ours")),
    }
}
