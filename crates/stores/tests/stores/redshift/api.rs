//! States, results and batches of the Data API.

use aws_sdk_redshiftdata::error::ProvideErrorMetadata;
use aws_sdk_redshiftdata::types::{ExecutionMode, StatusString};

use super::*;

/// The name of the AWS error.
pub fn name<T: std::fmt::Debug>(answer: Result<T, impl ProvideErrorMetadata>) -> String {
    answer.unwrap_err().code().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_statement_passes_all_states_and_has_typed_cells() {
    let setup = Setup::new().await;
    let redshift = setup.stand_in.redshift();
    redshift.hold();
    let sql = "SELECT 1, 'a', NULL, 1.5::float, true";
    let submitted = setup
        .execute("admin", sql)
        .statement_name("named")
        .send()
        .await
        .unwrap();
    let id = submitted.id().unwrap();
    assert_eq!(submitted.status().unwrap().as_str(), "SUBMITTED");
    let result = setup.client.get_statement_result().id(id).send().await;
    assert_eq!(name(result), "ResourceNotFoundException");
    redshift.release();
    let ended = setup.wait_for_end(id).await;
    assert_eq!(ended.status(), Some(&StatusString::Finished));
    assert_eq!(
        (ended.db_user(), ended.query_string()),
        (Some("admin"), Some(sql))
    );
    assert_eq!(
        (ended.result_rows(), ended.has_result_set()),
        (1, Some(true))
    );
    let result = setup
        .client
        .get_statement_result()
        .id(id)
        .send()
        .await
        .unwrap();
    let cells = format!("{:?}", result.records()[0]);
    let typed =
        r#"[LongValue(1), StringValue("a"), IsNull(true), DoubleValue(1.5), BooleanValue(true)]"#;
    assert_eq!(cells, typed);
    let listed = setup
        .client
        .list_statements()
        .statement_name("nam")
        .send()
        .await
        .unwrap();
    assert_eq!(listed.statements()[0].query_string(), Some(sql));
    assert_eq!(redshift.history()[0].sql, sql);
}

#[tokio::test]
async fn results_have_pages_and_may_be_empty() {
    let setup = Setup::new().await;
    setup.stand_in.redshift().set_page_rows(2);
    let rows = setup
        .run("admin", "SELECT generate_series(1, 5)")
        .await
        .unwrap();
    assert_eq!(rows.len(), 5);
    assert_eq!(setup.stand_in.faults().count("GetStatementResult"), 3);
    let none = setup
        .execute("admin", "SELECT 1 AS n WHERE false")
        .wait_time_seconds(30);
    let none = none.send().await.unwrap();
    assert_eq!(
        (none.status().unwrap().as_str(), none.has_result_set()),
        ("FINISHED", Some(true))
    );
    let result = setup
        .client
        .get_statement_result()
        .id(none.id().unwrap())
        .send()
        .await
        .unwrap();
    assert_eq!(result.column_metadata()[0].name(), Some("n"));
    let wrong = setup
        .client
        .get_statement_result()
        .id(none.id().unwrap())
        .next_token("from:x");
    assert_eq!(name(wrong.send().await), "ValidationException");
}

#[tokio::test]
async fn a_batch_is_one_transaction_by_default() {
    let setup = Setup::new().await;
    let sqls = ["CREATE TABLE kept (n int)", "SELECT 1/0", "SELECT 1"];
    for (mode, statuses) in [
        (
            ExecutionMode::Transaction,
            ["FINISHED", "FAILED", "ABORTED"],
        ),
        (
            ExecutionMode::AutoCommit,
            ["FINISHED", "FAILED", "FINISHED"],
        ),
    ] {
        let batch = setup.batch("admin", &sqls).execution_mode(mode.clone());
        let submitted = batch.send().await.unwrap();
        let ended = setup.wait_for_end(submitted.id().unwrap()).await;
        assert_eq!(
            ended.error(),
            Some("Query #2 failed with ERROR: division by zero")
        );
        let subs = ended.sub_statements().iter();
        let shown: Vec<_> = subs.map(|sub| sub.status().unwrap().as_str()).collect();
        assert_eq!(shown, statuses);
        assert_eq!(ended.sub_statements()[1].id(), format!("{}:2", ended.id()));
        assert_eq!(
            ended.sub_statements()[1].error(),
            Some("ERROR: division by zero")
        );
        let kept = setup.run("admin", "SELECT * FROM kept").await;
        assert_eq!(kept.is_ok(), mode == ExecutionMode::AutoCommit, "{kept:?}");
    }
}

#[tokio::test]
async fn each_statement_of_a_batch_has_its_own_result() {
    let setup = Setup::new().await;
    let submitted = setup
        .batch("admin", &["SELECT 1", "SELECT 2"])
        .send()
        .await
        .unwrap();
    let id = submitted.id().unwrap();
    setup.wait_for_end(id).await;
    let second = setup
        .client
        .get_statement_result()
        .id(format!("{id}:2"))
        .send()
        .await
        .unwrap();
    assert_eq!(second.records()[0][0].as_long_value(), Ok(&2));
    let whole = setup.client.get_statement_result().id(id).send().await;
    assert_eq!(name(whole), "ValidationException");
    let third = setup
        .client
        .get_statement_result()
        .id(format!("{id}:3"))
        .send()
        .await;
    assert_eq!(name(third), "ResourceNotFoundException");
}

#[tokio::test]
async fn a_scheduled_failure_affects_one_statement() {
    let setup = Setup::new().await;
    setup
        .stand_in
        .redshift()
        .fail("SELECT 1", 1, "1023 Serializable isolation violation");
    let failed = setup.run("admin", "SELECT 1").await;
    assert_eq!(
        failed.unwrap_err(),
        "ERROR: 1023 Serializable isolation violation"
    );
    setup.run("admin", "SELECT 1").await.unwrap();
}

#[tokio::test]
async fn a_cancelled_statement_releases_its_locks() {
    let setup = Setup::new().await;
    setup.admin(&["CREATE TABLE held (n int)"]).await;
    let batch = setup.batch(
        "admin",
        &[
            "LOCK TABLE held",
            "SELECT count(*) FROM held h1, generate_series(1, 100000000) n",
        ],
    );
    let submitted = batch.send().await.unwrap();
    let id = submitted.id().unwrap();
    while setup
        .client
        .describe_statement()
        .id(id)
        .send()
        .await
        .unwrap()
        .sub_statements()[0]
        .status()
        .unwrap()
        .as_str()
        != "FINISHED"
    {}
    let cancelled = setup.client.cancel_statement().id(id).send().await.unwrap();
    assert_eq!(cancelled.status(), Some(true));
    assert_eq!(
        setup.wait_for_end(id).await.status(),
        Some(&StatusString::Aborted)
    );
    setup.admin(&["LOCK TABLE held"]).await;
    let again = setup.client.cancel_statement().id(id).send().await;
    assert_eq!(name(again), "ValidationException");
}

#[tokio::test]
async fn a_delayed_state_does_not_affect_calls_with_a_wait() {
    let setup = Setup::new().await;
    setup.stand_in.redshift().set_delayed_polls(2);
    let submitted = setup
        .execute("admin", "SELECT 1")
        .wait_time_seconds(30)
        .send()
        .await
        .unwrap();
    let id = submitted.id().unwrap();
    for expected in ["STARTED", "STARTED", "FINISHED"] {
        let seen = setup
            .client
            .describe_statement()
            .id(id)
            .send()
            .await
            .unwrap();
        assert_eq!(seen.status().unwrap().as_str(), expected);
    }
}
