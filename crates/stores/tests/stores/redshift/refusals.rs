//! Rejected requests and idempotency tokens.

use std::time::Duration;

use aws_sdk_redshiftdata::error::ProvideErrorMetadata;
use aws_sdk_redshiftdata::types::SqlParameter;
use tokio::time::Instant;

use super::api::name;
use super::*;
use twinkey_testkit::aws::faults::Cut;
use twinkey_testkit::aws::redshift::WORKGROUP;

#[tokio::test]
async fn a_batch_has_at_most_40_statements_and_100_kilobytes() {
    let setup = Setup::new().await;
    let many = |count| vec!["SELECT 1"; count];
    setup.batch("admin", &many(40)).send().await.unwrap();
    for count in [0, 41] {
        let refused = setup.batch("admin", &many(count)).send().await;
        assert_eq!(name(refused), "ValidationException");
    }
    let long = |length: usize| format!("SELECT '{}'", "x".repeat(length - 9));
    setup.execute("admin", &long(100_000)).send().await.unwrap();
    let refused = setup.execute("admin", &long(100_001)).send().await;
    assert_eq!(name(refused), "ValidationException");
    for wait in [0, 31] {
        let refused = setup
            .execute("admin", "SELECT 1")
            .wait_time_seconds(wait)
            .send()
            .await;
        assert_eq!(name(refused), "ValidationException");
    }
    assert_eq!(
        setup.run("admin", "SELECT 1; SELECT 2").await.unwrap_err(),
        "ERROR: cannot insert multiple commands into a prepared statement"
    );
}

#[tokio::test]
async fn one_token_creates_one_statement() {
    let setup = Setup::new().await;
    let ask = |sql: &str| setup.execute("admin", sql).client_token("token");
    let first = ask("CREATE TABLE once (n int)").send().await.unwrap();
    let again = ask("CREATE TABLE once (n int)")
        .wait_time_seconds(30)
        .send()
        .await
        .unwrap();
    assert_eq!(first.id(), again.id());
    assert_eq!(again.status().unwrap().as_str(), "FINISHED");
    assert_eq!(name(ask("SELECT 2").send().await), "ValidationException");
    assert_eq!(setup.stand_in.redshift().history().len(), 1);
}

#[tokio::test]
async fn a_lost_response_is_repeated_for_the_same_token() {
    let setup = Setup::new().await;
    setup.stand_in.faults().cut(1, Cut::After);
    setup.execute("admin", "SELECT 1").send().await.unwrap();
    assert_eq!(setup.stand_in.faults().count("ExecuteStatement"), 2);
    assert_eq!(setup.stand_in.redshift().history().len(), 1);
}

#[tokio::test]
async fn throttling_and_active_statements_are_distinguished() {
    let setup = Setup::new().await;
    let faults = setup.stand_in.faults();
    faults.answer(
        "ExecuteStatement",
        1,
        400,
        "ActiveStatementsExceededException",
    );
    let refused = setup.execute("admin", "SELECT 1").send().await;
    assert_eq!(name(refused), "ActiveStatementsExceededException");
    let began = Instant::now();
    let a_while = Duration::from_millis(300);
    faults.answer_for("ExecuteStatement", a_while, 400, "ThrottlingException");
    let accepted = loop {
        match setup.execute("admin", "SELECT 1").send().await {
            Ok(accepted) => break accepted,
            Err(error) => assert_eq!(error.code(), Some("ThrottlingException")),
        }
    };
    assert!(began.elapsed() >= a_while);
    // It occupies the only slot until its end.
    setup.wait_for_end(accepted.id().unwrap()).await;
    let redshift = setup.stand_in.redshift();
    redshift.hold();
    redshift.set_max_active(1);
    setup.execute("admin", "SELECT 1").send().await.unwrap();
    let refused = setup.execute("admin", "SELECT 1").send().await;
    assert_eq!(name(refused), "ActiveStatementsExceededException");
    redshift.release();
}

#[tokio::test]
async fn parameters_are_values_only() {
    let setup = Setup::new().await;
    let parameter = |value: &str| {
        SqlParameter::builder()
            .name("x")
            .value(value)
            .build()
            .unwrap()
    };
    let ask = setup
        .execute("admin", "SELECT :x || '!'")
        .parameters(parameter("a'b"));
    let id = ask.send().await.unwrap().id().unwrap().to_owned();
    setup.wait_for_end(&id).await;
    let result = setup
        .client
        .get_statement_result()
        .id(&id)
        .send()
        .await
        .unwrap();
    assert_eq!(result.records()[0][0].as_string_value().unwrap(), "a'b!");
    let ask = setup
        .execute("admin", "DROP USER :x")
        .parameters(parameter("a"));
    let id = ask.send().await.unwrap().id().unwrap().to_owned();
    assert!(
        setup
            .wait_for_end(&id)
            .await
            .error()
            .unwrap()
            .contains("syntax error")
    );
    let unused = setup
        .execute("admin", "SELECT 1")
        .parameters(parameter("a"))
        .send()
        .await;
    assert_eq!(name(unused), "ValidationException");
}

#[tokio::test]
async fn invalid_requests_have_named_errors() {
    let setup = Setup::new().await;
    let ask = || setup.client.execute_statement().sql("SELECT 1");
    for (what, call) in [
        ("neither", ask().database("dev")),
        (
            "both",
            ask()
                .database("dev")
                .cluster_identifier(CLUSTER)
                .workgroup_name(WORKGROUP),
        ),
        ("no database", ask().cluster_identifier(CLUSTER)),
        (
            "a user on Serverless",
            ask()
                .database("dev")
                .workgroup_name(WORKGROUP)
                .db_user("admin"),
        ),
        (
            "two sign-ins",
            ask()
                .database("dev")
                .cluster_identifier(CLUSTER)
                .db_user("a")
                .secret_arn("admin"),
        ),
        (
            "no cluster",
            ask()
                .database("dev")
                .cluster_identifier("another")
                .db_user("admin"),
        ),
        (
            "no secret",
            ask()
                .database("dev")
                .cluster_identifier(CLUSTER)
                .secret_arn("missing"),
        ),
    ] {
        assert_eq!(name(call.send().await), "ValidationException", "{what}");
    }
    let unknown = setup
        .client
        .describe_statement()
        .id(Uuid::new_v4().to_string())
        .send()
        .await;
    assert_eq!(name(unknown), "ResourceNotFoundException");
    let tables = setup
        .client
        .list_tables()
        .cluster_identifier(CLUSTER)
        .database("dev")
        .send()
        .await;
    assert_eq!(name(tables), "UnknownOperationException");
    let databases = setup
        .client
        .list_databases()
        .cluster_identifier(CLUSTER)
        .database("dev")
        .secret_arn("admin");
    let databases = databases.send().await.unwrap();
    assert_eq!(databases.databases(), ["dev"]);
}
