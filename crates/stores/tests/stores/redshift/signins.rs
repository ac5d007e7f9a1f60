//! Users of statements and rejected sign-ins.

use aws_sdk_redshiftdata::operation::execute_statement::builders::ExecuteStatementFluentBuilder;
use secrecy::ExposeSecret;
use twinkey_core::secret::verifier;

use super::*;
use twinkey_testkit::aws::redshift::{IDENTITY, WORKGROUP};

/// The user of the statement, or its error.
async fn who(setup: &Setup, ask: ExecuteStatementFluentBuilder) -> Result<String, String> {
    let submitted = ask.send().await.unwrap();
    let ended = setup.wait_for_end(submitted.id().unwrap()).await;
    match ended.error() {
        Some(error) => Err(error.to_owned()),
        None => Ok(ended.db_user().unwrap().to_owned()),
    }
}

fn refused(user: &str) -> Result<String, String> {
    Err(format!(
        "FATAL: password authentication failed for user \"{user}\""
    ))
}

#[tokio::test]
async fn a_secrets_password_is_compared_with_the_stored_digest() {
    let setup = Setup::new().await;
    let password = SecretString::from("Secret0Of-app");
    let md5 = verifier::md5(&password, "app");
    // The digest of password and salt from another tool.
    let sha256 = "sha256|821708135fcc42eb3afda85286dee0ed15c2c461d000291609f77eb113073ec2|c721bff5d9042cf541ff7b9d48fa8a6e545c19a763e3710151f9513038b0f6c6";
    for (stored, right) in [
        (md5.expose_secret(), "Secret0Of-app"),
        (sha256, "Mypassword1"),
        ("sha256|Another0Password", "Another0Password"),
        ("Clear0Password", "Clear0Password"),
    ] {
        setup
            .admin(&[&format!("CREATE USER app PASSWORD '{stored}'")])
            .await;
        for (password, wanted) in [
            (right, Ok("app".into())),
            ("Wrong0Password", refused("app")),
        ] {
            setup.secret("app", password).await;
            assert_eq!(
                who(&setup, setup.execute("app", "SELECT 1")).await,
                wanted,
                "{stored}"
            );
        }
        setup.admin(&["DROP USER app"]).await;
        setup.secret("app", right).await;
        assert_eq!(
            who(&setup, setup.execute("app", "SELECT 1")).await,
            refused("app")
        );
    }
}

#[tokio::test]
async fn disabled_and_expired_passwords_are_refused() {
    let setup = Setup::new().await;
    setup.user("app").await;
    for (alter, wanted) in [
        ("VALID UNTIL '2001-01-01'", refused("app")),
        ("VALID UNTIL 'infinity'", Ok("app".into())),
        ("PASSWORD DISABLE", refused("app")),
    ] {
        setup.admin(&[&format!("ALTER USER app {alter}")]).await;
        assert_eq!(
            who(&setup, setup.execute("app", "SELECT 1")).await,
            wanted,
            "{alter}"
        );
    }
    let temporary = setup
        .client
        .execute_statement()
        .cluster_identifier(CLUSTER)
        .database(HOME);
    let temporary = temporary.db_user("app").sql("SELECT 1");
    assert_eq!(who(&setup, temporary).await, Ok("app".into()));
}

#[tokio::test]
async fn a_secret_is_valid_for_its_cluster_in_its_current_version() {
    let setup = Setup::new().await;
    setup.user("app").await;
    setup.secret("app", "Later0Password").await;
    assert_eq!(
        who(&setup, setup.execute("app", "SELECT 1")).await,
        refused("app")
    );
    let other = json!({"username": "app", "password": "x", "dbClusterIdentifier": "another"});
    let other = SecretString::from(other.to_string());
    // The embedded store accepts only complete secrets.
    let put = setup.stand_in.store().create_or_put("other", &other).await;
    put.unwrap();
    let ask = setup.execute("other", "SELECT 1").send().await;
    assert!(format!("{:?}", ask.unwrap_err()).contains("does not match"));
}

#[tokio::test]
async fn serverless_accepts_secrets_and_identities() {
    let setup = Setup::new().await;
    let serverless = || {
        setup
            .client
            .execute_statement()
            .workgroup_name(WORKGROUP)
            .database(HOME)
    };
    let admin = serverless()
        .secret_arn("admin")
        .sql("CREATE TABLE made (n int)");
    assert_eq!(who(&setup, admin).await, Ok("admin".into()));
    setup.admin(&["SELECT * FROM made"]).await;
    let own = || serverless().sql("SELECT * FROM made");
    let denied = "ERROR: permission denied for relation made";
    assert_eq!(who(&setup, own()).await, Err(denied.into()));
    setup
        .admin(&[&format!(
            "ALTER USER \"{IDENTITY}\" CREATEUSER PASSWORD 'Some0Password'"
        )])
        .await;
    assert_eq!(who(&setup, own()).await, Ok(IDENTITY.into()));
}

#[tokio::test]
async fn an_unknown_user_or_database_fails_the_statement() {
    let setup = Setup::new().await;
    let missing = setup
        .client
        .execute_statement()
        .cluster_identifier(CLUSTER)
        .database(HOME);
    let missing = missing.db_user("missing").sql("SELECT 1");
    assert_eq!(
        who(&setup, missing).await,
        Err("FATAL: user \"missing\" does not exist".into())
    );
    let nowhere = setup.execute("admin", "SELECT 1").database("nowhere");
    assert_eq!(
        who(&setup, nowhere).await,
        Err("FATAL: database \"nowhere\" does not exist".into())
    );
}

#[tokio::test]
async fn a_user_has_only_its_own_privileges_and_settings() {
    let setup = Setup::new().await;
    setup.user("app").await;
    setup
        .admin(&[
            "CREATE SCHEMA mine",
            "CREATE TABLE mine.t (n int)",
            "ALTER USER app SET search_path TO mine, public",
        ])
        .await;
    let denied = setup.run("app", "SELECT * FROM mine.t").await;
    assert_eq!(
        denied.unwrap_err(),
        "ERROR: permission denied for schema mine"
    );
    setup
        .admin(&[
            "GRANT USAGE ON SCHEMA mine TO app",
            "GRANT SELECT ON mine.t TO app",
        ])
        .await;
    setup.run("app", "SELECT * FROM t").await.unwrap();
    for not_allowed in [
        "CREATE USER other PASSWORD DISABLE",
        "ALTER USER admin PASSWORD 'Some0Password'",
        "DROP USER admin",
        "INSERT INTO t VALUES (1)",
        "CREATE GROUP g",
        "CREATE ROLE r",
        "RESET SESSION AUTHORIZATION",
        "SET SESSION AUTHORIZATION admin",
    ] {
        setup.run("app", not_allowed).await.expect_err(not_allowed);
    }
}
