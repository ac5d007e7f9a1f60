//! The actions.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value as Json, json};
use tokio::time::Instant;
use uuid::Uuid;

use super::look::{identifier, page_start};
use super::refusal::Refusal;
use super::request::{Place, Submission, number};
use super::statement::{Statement, Status};
use super::{Book, CLUSTER, Redshift, WORKGROUP};

pub type Answer = Result<Json, Refusal>;

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
        let known = known(&self.book(), submission.token.as_deref(), &same)?;
        let id = if let Some(id) = known {
            id
        } else {
            let sign_in = self.sign_in(&submission.place).await?;
            self.enter(submission, same, sign_in)?
        };
        self.wait_for(&id, wait).await;
        self.look(&id, |statement| Ok(statement.submitted()))
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
        let mut book = self.book();
        // Two calls with one token at once become one statement.
        if let Some(id) = known(&book, submission.token.as_deref(), &same)? {
            return Ok(id);
        }
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
    pub(super) async fn wait_for(&self, id: &str, seconds: Option<u64>) {
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
            super::pool::execute(&mut root, &stop).await.unwrap();
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

/// The statement that this token became; it is an error where something else was asked.
fn known(book: &Book, token: Option<&str>, same: &Json) -> Result<Option<String>, Refusal> {
    match token.and_then(|token| book.tokens.get(token)) {
        None => Ok(None),
        Some((asked, id)) if asked == same => Ok(Some(id.clone())),
        Some(_) => Err(Refusal::invalid(
            "The ClientToken was used before with other parameters",
        )),
    }
}
