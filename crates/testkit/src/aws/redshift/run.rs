//! Execution of submitted statements.

use std::sync::Arc;

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row};

use super::pool::execute;
use super::request::ConnectionTarget;
use super::signin::SignIn;
use super::sql::{Translated, literal, translate};
use super::statement::{ResultSet, Statement, Status};
use super::{Redshift, rows};

/// Runs a submission to its end.
pub async fn run(redshift: Arc<Redshift>, id: String, sign_in: SignIn) {
    let mut held = redshift.held.subscribe();
    let _ = held.wait_for(|held| !held).await;
    let _slot = redshift.slots.acquire().await.unwrap();
    redshift.change(&id, |statement| statement.status = Status::Picked);
    let Ok(submission) = redshift.with_statement(&id, |statement| Ok(statement.submission.clone()))
    else {
        return;
    };
    let signed_in = redshift
        .connect(&submission.target.database, &sign_in)
        .await;
    let (mut connection, user) = match signed_in {
        Ok(signed_in) => signed_in,
        Err(error) => return redshift.end(&id, Err(error)),
    };
    let pid = sqlx::query("SELECT pg_backend_pid()")
        .fetch_one(&mut connection)
        .await;
    let pid: i32 = pid.unwrap().get(0);
    redshift.change(&id, |statement| {
        statement.user = Some(user.clone());
        statement.pid = pid.into();
        statement.status = Status::Started;
    });
    let mut outcome = Ok(());
    let one_transaction = !submission.auto_commit;
    if one_transaction {
        begin(&mut connection).await;
    }
    for (at, sql) in submission.sqls.iter().enumerate() {
        redshift.change(&id, |statement| {
            statement.parts[at].status = Status::Started
        });
        let done = match redshift.scheduled_failure(sql) {
            Some(message) => Err(format!("ERROR: {message}")),
            None => {
                execute_statement(
                    &mut connection,
                    &user,
                    sql,
                    &submission.parameters,
                    one_transaction,
                )
                .await
            }
        };
        let failed = done.is_err();
        redshift.change(&id, |statement| {
            let part = &mut statement.parts[at];
            match &done {
                Ok((result, affected)) => {
                    part.status = Status::Finished;
                    part.result.clone_from(result);
                    part.affected = *affected;
                }
                Err(error) => {
                    part.status = Status::Failed;
                    part.error = Some(error.clone());
                }
            }
        });
        if let (Err(error), Ok(())) = (done, &outcome) {
            let number = at + 1;
            outcome = Err(if submission.is_batch {
                format!("Query #{number} failed with {error}")
            } else {
                error
            });
        }
        if failed && one_transaction {
            break;
        }
    }
    if one_transaction && outcome.is_ok() {
        outcome = execute(&mut connection, "COMMIT")
            .await
            .map(drop)
            .map_err(|e| message(&e));
    }
    redshift
        .put_back(&submission.target.database, connection)
        .await;
    redshift.end(&id, outcome);
}

async fn begin(connection: &mut PgConnection) {
    execute(connection, "BEGIN ISOLATION LEVEL REPEATABLE READ")
        .await
        .unwrap();
}

type StatementResult = Result<(Option<ResultSet>, i64), String>;

/// Executes one statement, in a new transaction unless one is open.
async fn execute_statement(
    connection: &mut PgConnection,
    user: &str,
    sql: &str,
    parameters: &[(String, String)],
    in_transaction: bool,
) -> StatementResult {
    let keeps_case = keeps_case(connection).await;
    let translated = translate(sql, parameters, keeps_case);
    let translated = translated.map_err(|error| format!("ERROR: {error}"))?;
    if in_transaction && translated.alone {
        return Err("ERROR: CREATE or DROP DATABASE cannot run inside a transaction block".into());
    }
    if in_transaction || translated.alone {
        return steps(connection, user, &translated)
            .await
            .map_err(|e| message(&e));
    }
    begin(connection).await;
    let done = steps(connection, user, &translated).await;
    let end = if done.is_ok() { "COMMIT" } else { "ROLLBACK" };
    let ended = execute(connection, end).await;
    done.and_then(|done| ended.map(|_| done))
        .map_err(|e| message(&e))
}

/// Whether the session keeps the case of names in quotes. It is off by default.
async fn keeps_case(connection: &mut PgConnection) -> bool {
    let setting =
        "SELECT coalesce(current_setting('redshift.enable_case_sensitive_identifier', true), '')";
    let row = sqlx::query(setting).fetch_one(connection).await;
    let value: String = row.unwrap().get(0);
    ["true", "on", "1"].contains(&value.as_str())
}

async fn steps(
    connection: &mut PgConnection,
    user: &str,
    translated: &Translated,
) -> Result<(Option<ResultSet>, i64), sqlx::Error> {
    let mut affected = -1;
    for step in &translated.steps {
        if translated.has_rows {
            let result = rows::fetch(connection, &step.sql).await?;
            return Ok((Some(result), -1));
        }
        if step.as_root {
            execute(connection, "RESET SESSION AUTHORIZATION").await?;
        }
        let count = execute(connection, &step.sql).await?;
        affected = i64::try_from(count).unwrap();
        if step.as_root {
            execute(
                connection,
                &format!("SET SESSION AUTHORIZATION {}", literal(user)),
            )
            .await?;
        }
    }
    Ok((None, affected))
}

/// The server's error as Redshift reports it.
fn message(error: &sqlx::Error) -> String {
    let sqlx::Error::Database(error) = error else {
        return format!("ERROR: {error}");
    };
    let message = error.message().replacen("role \"", "user \"", 1);
    let message = message.replacen(
        "permission denied for table",
        "permission denied for relation",
        1,
    );
    let error = error.downcast_ref::<sqlx::postgres::PgDatabaseError>();
    let detail = error.detail().map(|detail| format!("\n  Detail: {detail}"));
    format!("ERROR: {message}{}", detail.unwrap_or_default())
}

impl Redshift {
    /// Changes a statement that has not ended.
    fn change(&self, id: &str, change: impl FnOnce(&mut Statement)) {
        let now = self.now();
        let _ = self.with_statement(id, |statement| {
            if !statement.status.is_final() {
                change(statement);
                statement.updated = now;
            }
            Ok(())
        });
        self.changes.send_modify(|count| *count += 1);
    }

    fn end(&self, id: &str, outcome: Result<(), String>) {
        self.change(id, |statement| {
            statement.status = if outcome.is_ok() {
                Status::Finished
            } else {
                Status::Failed
            };
            statement.error = outcome.err();
            let unfinished = statement
                .parts
                .iter_mut()
                .filter(|part| !part.status.is_final());
            for part in unfinished {
                part.status = if statement.submission.is_batch {
                    Status::Aborted
                } else {
                    Status::Failed
                };
                if !statement.submission.is_batch {
                    part.error.clone_from(&statement.error);
                }
            }
        });
        self.statement_log().tasks.remove(id);
    }

    /// Runs statements in Redshift's SQL in one session as a user, or as the superuser, without the
    /// API, up to the first failure.
    ///
    /// # Errors
    /// The statement and the server's message.
    pub async fn run_as(
        &self,
        database: &str,
        user: Option<&str>,
        statements: &[&str],
    ) -> Result<(), String> {
        let mut connection = self.take(database).await.unwrap();
        let superuser = &self.server().superuser().username;
        let user = user.unwrap_or(superuser);
        let become_user = format!("SET SESSION AUTHORIZATION {}", literal(user));
        execute(&mut connection, &become_user).await.unwrap();
        let mut outcome = Ok(());
        for sql in statements {
            let done = execute_statement(&mut connection, user, sql, &[], false).await;
            outcome = done.map(drop).map_err(|error| format!("{sql}: {error}"));
            if outcome.is_err() {
                break;
            }
        }
        self.put_back(database, connection).await;
        outcome
    }

    pub(super) async fn databases(
        &self,
        target: &ConnectionTarget,
        sign_in: SignIn,
    ) -> Result<Vec<String>, String> {
        let (mut connection, _) = self.connect(&target.database, &sign_in).await?;
        let sql = "SELECT database_name FROM svv_redshift_databases ORDER BY 1";
        let rows = sqlx::query(AssertSqlSafe(sql.to_owned()))
            .fetch_all(&mut connection)
            .await;
        Ok(rows.unwrap().iter().map(|row| row.get(0)).collect())
    }
}
