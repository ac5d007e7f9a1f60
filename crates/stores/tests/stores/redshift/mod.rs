//! Tests of the stand-in's Data API with the AWS SDK.

mod api;
mod catalogue;
mod refusals;
mod signins;
mod users;

use aws_sdk_redshiftdata::Client;
use aws_sdk_redshiftdata::operation::batch_execute_statement::builders::BatchExecuteStatementFluentBuilder;
use aws_sdk_redshiftdata::operation::describe_statement::DescribeStatementOutput;
use aws_sdk_redshiftdata::operation::execute_statement::builders::ExecuteStatementFluentBuilder;
use aws_sdk_redshiftdata::types::Field;
use secrecy::SecretString;
use serde_json::json;
use twinkey_testkit::postgres::{LocalPostgres, Options};
use uuid::Uuid;

use twinkey_testkit::aws::redshift::{CLUSTER, HOME};
use twinkey_testkit::aws::{StandIn, sdk_config};

/// A stand-in with a superuser `admin`, whose secret is `admin`.
pub struct Setup {
    pub stand_in: StandIn,
    pub client: Client,
}

const ADMIN_PASSWORD: &str = "Admin0Password";

impl Setup {
    pub async fn new() -> Self {
        let options = Options::new(LocalPostgres::find(None).unwrap());
        let stand_in = StandIn::with_redshift(options).await;
        let create = format!("CREATE USER admin PASSWORD '{ADMIN_PASSWORD}' CREATEUSER");
        stand_in.redshift().dba(HOME, &[&create]).await;
        let client = Client::new(&sdk_config(&stand_in.url()));
        let setup = Self { stand_in, client };
        setup.secret("admin", ADMIN_PASSWORD).await;
        setup
    }

    /// Stores a user's secret under the user's name.
    pub async fn secret(&self, user: &str, password: &str) {
        let document = json!({
            "engine": "redshift", "host": "stand-in", "username": user, "password": password,
            "dbClusterIdentifier": CLUSTER,
        });
        let document = SecretString::from(document.to_string());
        self.stand_in
            .store()
            .create_or_put(user, &document)
            .await
            .unwrap();
    }

    /// Creates a user with a password in clear, and its secret.
    pub async fn user(&self, name: &str) {
        let password = format!("Secret0Of{}", Uuid::new_v4().simple());
        let create = format!("CREATE USER {name} PASSWORD '{password}'");
        self.stand_in.redshift().dba(HOME, &[&create]).await;
        self.secret(name, &password).await;
    }

    /// A call on the cluster with the user's secret.
    pub fn execute(&self, user: &str, sql: &str) -> ExecuteStatementFluentBuilder {
        let call = self.client.execute_statement().cluster_identifier(CLUSTER);
        call.database(HOME).secret_arn(user).sql(sql)
    }

    pub fn batch(&self, user: &str, sqls: &[&str]) -> BatchExecuteStatementFluentBuilder {
        let call = self
            .client
            .batch_execute_statement()
            .cluster_identifier(CLUSTER);
        let sqls = sqls.iter().map(|sql| (*sql).to_owned()).collect();
        call.database(HOME).secret_arn(user).set_sqls(Some(sqls))
    }

    pub async fn wait_for_end(&self, id: &str) -> DescribeStatementOutput {
        let described = self
            .client
            .describe_statement()
            .id(id)
            .wait_time_seconds(30);
        described.send().await.unwrap()
    }

    /// The rows of a statement, or its error.
    pub async fn run(&self, user: &str, sql: &str) -> Result<Vec<Vec<String>>, String> {
        let submitted = self.execute(user, sql).send().await.unwrap();
        let ended = self.wait_for_end(submitted.id().unwrap()).await;
        if let Some(error) = ended.error() {
            assert_eq!(ended.status().unwrap().as_str(), "FAILED");
            return Err(error.to_owned());
        }
        if ended.has_result_set() != Some(true) {
            return Ok(Vec::new());
        }
        let mut pages = self
            .client
            .get_statement_result()
            .id(ended.id())
            .into_paginator()
            .send();
        let mut rows = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.unwrap();
            rows.extend(
                page.records()
                    .iter()
                    .map(|row| row.iter().map(shown).collect()),
            );
        }
        Ok(rows)
    }

    /// Runs statements as the admin and asserts that they succeed.
    pub async fn admin(&self, sqls: &[&str]) {
        for sql in sqls {
            self.run("admin", sql)
                .await
                .unwrap_or_else(|error| panic!("{sql}: {error}"));
        }
    }

    /// The first column of the user's query, sorted.
    pub async fn column(&self, user: &str, sql: &str) -> Vec<String> {
        let rows = self
            .run(user, sql)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
        let mut column: Vec<String> = rows.iter().map(|row| row.join(" ")).collect();
        column.sort();
        column
    }
}

fn shown(cell: &Field) -> String {
    match cell {
        Field::StringValue(text) => text.clone(),
        Field::LongValue(number) => number.to_string(),
        Field::BooleanValue(is) => is.to_string(),
        Field::IsNull(_) => "null".into(),
        other => format!("{other:?}"),
    }
}
