//! Looking at what was submitted: DescribeStatement, GetStatementResult, ListStatements.

use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::Redshift;
use super::api::Answer;
use super::refusal::Refusal;
use super::request::{number, text, wait};
use super::statement::{Part, Statement, Status};

impl Redshift {
    pub(super) async fn describe(&self, asked: &Json) -> Answer {
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

    pub(super) async fn get_result(&self, asked: &Json) -> Answer {
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

    pub(super) fn list_statements(&self, asked: &Json) -> Answer {
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
}

/// A statement's id and, behind a colon, the number of one of its batch.
pub fn identifier(asked: &Json) -> Result<(String, Option<usize>), Refusal> {
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

fn part_of(statement: &Statement, number: usize) -> Result<&Part, Refusal> {
    let part = number.checked_sub(1).and_then(|at| statement.parts.get(at));
    part.ok_or_else(|| Refusal::missing(&statement.id, format!("there is no statement {number}")))
}

pub fn page_start(asked: &Json) -> Result<usize, Refusal> {
    let token = text(asked, "NextToken")?.filter(|token| !token.is_empty());
    let start = token.map(|token| token.strip_prefix("from:").and_then(|at| at.parse().ok()));
    match start {
        None => Ok(0),
        Some(Some(start)) => Ok(start),
        Some(None) => Err(Refusal::invalid("NextToken is not one of ours")),
    }
}
