//! DescribeStatement, GetStatementResult and ListStatements.

use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::Redshift;
use super::api::ApiResult;
use super::api_error::ApiError;
use super::request::{number, text, wait};
use super::statement::{Part, Statement, Status};

impl Redshift {
    pub(super) async fn describe(&self, request: &Json) -> ApiResult {
        let (id, number) = identifier(request)?;
        let waits = wait(request)?;
        self.wait_for(&id, waits).await;
        self.with_statement(&id, |statement| {
            let mut shown = match number {
                None => statement.described(),
                Some(number) => part_of(statement, number).map(|_| statement.sub(number))?,
            };
            if waits.is_none() && statement.delayed_polls > 0 && statement.status.is_final() {
                statement.delayed_polls -= 1;
                let still = shown.as_object_mut().unwrap();
                still.retain(|key, _| !["Error", "SubStatements"].contains(&key.as_str()));
                shown["Status"] = json!(Status::Started.name());
                shown["HasResultSet"] = json!(false);
            }
            Ok(shown)
        })
    }

    pub(super) async fn get_result(&self, request: &Json) -> ApiResult {
        let (id, number) = identifier(request)?;
        self.wait_for(&id, wait(request)?).await;
        let page = self.faults().page_rows;
        let start = page_start(request)?;
        self.with_statement(&id, |statement| {
            let number = match number {
                None if statement.submission.is_batch => {
                    return Err(ApiError::invalid(
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
                return Err(ApiError::missing(&id, why));
            };
            if start > result.rows.len() {
                return Err(ApiError::invalid("NextToken is not one of this result's"));
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

    pub(super) fn list_statements(&self, request: &Json) -> ApiResult {
        let most = number(request, "MaxResults", 0..=100)?
            .filter(|most| *most > 0)
            .unwrap_or(100);
        let status = text(request, "Status")?.unwrap_or_else(|| "FINISHED".into());
        let prefix = text(request, "StatementName")?.unwrap_or_default();
        let cluster = text(request, "ClusterIdentifier")?;
        let workgroup = text(request, "WorkgroupName")?;
        let database = text(request, "Database")?;
        if cluster.is_some() && workgroup.is_some() {
            return Err(ApiError::invalid(
                "ClusterIdentifier and WorkgroupName exclude each other",
            ));
        }
        if database.is_some() && cluster.is_none() && workgroup.is_none() {
            return Err(ApiError::invalid(
                "Database is of a ClusterIdentifier or a WorkgroupName",
            ));
        }
        let start = page_start(request)?;
        let log = self.statement_log();
        let newest_first = log.statements.iter().rev().filter(|statement| {
            let target = &statement.submission.target;
            (status == "ALL" || status == statement.status.name())
                && statement
                    .submission
                    .name
                    .as_deref()
                    .unwrap_or_default()
                    .starts_with(&prefix)
                && (cluster.is_none() || cluster == target.cluster)
                && (workgroup.is_none() || workgroup == target.workgroup)
                && database
                    .as_ref()
                    .is_none_or(|database| *database == target.database)
        });
        let all: Vec<Json> = newest_first.map(Statement::listed).collect();
        let end = all.len().min(start + usize::try_from(most).unwrap());
        let mut shown = json!({"Statements": all.get(start..end).unwrap_or_default()});
        if end < all.len() {
            shown["NextToken"] = json!(format!("from:{end}"));
        }
        Ok(shown)
    }
}

/// A statement's id and, after a colon, the number of a statement in its batch.
pub fn identifier(request: &Json) -> Result<(String, Option<usize>), ApiError> {
    let id = text(request, "Id")?.unwrap_or_default();
    let (base, number) = id
        .split_once(':')
        .map_or((id.as_str(), None), |(b, n)| (b, Some(n)));
    let number = number.map(str::parse).transpose();
    match (Uuid::try_parse(base), number) {
        (Ok(_), Ok(number)) => Ok((base.to_owned(), number)),
        _ => Err(ApiError::invalid(format!(
            "id must satisfy regex pattern: {id}"
        ))),
    }
}

fn part_of(statement: &Statement, number: usize) -> Result<&Part, ApiError> {
    let part = number.checked_sub(1).and_then(|at| statement.parts.get(at));
    part.ok_or_else(|| ApiError::missing(&statement.id, format!("there is no statement {number}")))
}

pub fn page_start(request: &Json) -> Result<usize, ApiError> {
    let token = text(request, "NextToken")?.filter(|token| !token.is_empty());
    let start = token.map(|token| token.strip_prefix("from:").and_then(|at| at.parse().ok()));
    match start {
        None => Ok(0),
        Some(Some(start)) => Ok(start),
        Some(None) => Err(ApiError::invalid("NextToken is not one of ours")),
    }
}
