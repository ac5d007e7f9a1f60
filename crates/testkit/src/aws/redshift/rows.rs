//! Result rows as typed cells of the API.

use serde_json::{Value as Json, json};
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Column, Executor, Row, SqlSafeStr, Statement as _, TypeInfo, ValueRef};

use super::statement::ResultSet;

/// Runs a query and returns all rows.
pub async fn fetch(connection: &mut PgConnection, sql: &str) -> Result<ResultSet, sqlx::Error> {
    let text = || AssertSqlSafe(sql.to_owned());
    // A result without rows has columns too.
    let prepared = connection.prepare(text().into_sql_str()).await?;
    let columns: Vec<(String, String)> = prepared
        .columns()
        .iter()
        .map(|column| {
            (
                column.name().to_owned(),
                column.type_info().name().to_ascii_lowercase(),
            )
        })
        .collect();
    // The simple protocol returns every value as text.
    let rows = sqlx::raw_sql(text()).fetch_all(&mut *connection).await?;
    let metadata = |(name, type_name): &(String, String)| json!({"name": name, "label": name, "typeName": type_name, "nullable": 1});
    Ok(ResultSet {
        columns: columns.iter().map(metadata).collect(),
        rows: rows.iter().map(|row| record(row, &columns)).collect(),
    })
}

fn record(row: &PgRow, columns: &[(String, String)]) -> Json {
    let cell = |(at, (_, type_name)): (usize, &(String, String))| {
        let value = row.try_get_raw(at).unwrap();
        if value.is_null() {
            return json!({"isNull": true});
        }
        let text = value.as_str().unwrap();
        match type_name.as_str() {
            "bool" => json!({"booleanValue": text == "t"}),
            "int2" | "int4" | "int8" | "oid" => json!({"longValue": text.parse::<i64>().unwrap()}),
            "float4" | "float8" => json!({"doubleValue": text.parse::<f64>().unwrap()}),
            _ => json!({"stringValue": text}),
        }
    };
    Json::Array(columns.iter().enumerate().map(cell).collect())
}
