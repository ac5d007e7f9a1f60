//! Masters that RDS manages: the RDS API names their host.

use serde_json::json;
use twinkey::rds::{DatabaseIds, RdsEndpoints};
use twinkey_core::aws::Aws;
use twinkey_core::telemetry::Clock;
use twinkey_stores::{SecretStore, stage};
use twinkey_testkit::aws::rds::RdsDatabase;
use twinkey_testkit::aws::{StandIn, sdk_config};
use twinkey_testkit::environment::mariadb::MariadbEnvironment;
use twinkey_testkit::environment::{Database, Environment, FIRST, MASTER_SECRET, SECRET, Setup};

use super::without_master_host;
use crate::faults::failures::is_refused;

/// The environment's server as an instance or cluster whose managed master secret is this one.
async fn managed<D: Database>(env: &Environment<D>) -> RdsDatabase {
    let store = env.stand_in().store();
    let master = store.describe(MASTER_SECRET).await.unwrap();
    RdsDatabase {
        endpoint: Some(("127.0.0.1".into(), env.server.port())),
        reader: None,
        master_secret: Some(master.arn),
        copies: Vec::new(),
    }
}

fn of_another_team(port: u16) -> RdsDatabase {
    RdsDatabase {
        endpoint: Some(("127.0.0.1".into(), port)),
        reader: None,
        master_secret: Some("arn:aws:secretsmanager:eu-west-1:1:secret:rds!db-other-AbCdEf".into()),
        copies: Vec::new(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_managed_master_of_postgres_rotates() {
    let env = Environment::open(Setup::default()).await;
    without_master_host(&env, "").await;
    is_refused(&env, "host_untrusted").await;
    let instance = managed(&env).await;
    env.stand_in().rds().add_instance("orders", instance);
    env.run_ok(&["check", "shop"]).await;
    env.run_ok(&["rotate", "shop"]).await;
    env.run_ok(&["rollback", "shop"]).await;
    env.signed_in(stage::CURRENT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_managed_master_of_a_mariadb_cluster_rotates() {
    let env = MariadbEnvironment::on_mariadb(Setup::default()).await;
    without_master_host(&env, "").await;
    let cluster = managed(&env).await;
    env.stand_in().rds().add_cluster("orders", cluster);
    env.run_ok(&["rotate", "shop"]).await;
    env.signed_in(stage::CURRENT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identifier_in_the_secret_only_selects_what_is_asked() {
    let env = Environment::open(Setup::default()).await;
    without_master_host(&env, "").await;
    let mut document = env.document("app", FIRST);
    document["dbInstanceIdentifier"] = json!("other");
    env.put(SECRET, &document).await;
    let rds = env.stand_in().rds();
    rds.add_instance("other", of_another_team(env.server.port()));
    is_refused(&env, "host_untrusted").await;

    let calls = env.stand_in().faults();
    rds.add_instance("orders", managed(&env).await);
    document["dbInstanceIdentifier"] = json!("ORDERS");
    env.put(SECRET, &document).await;
    let before = calls.count("DescribeDBInstances");
    env.run_ok(&["rotate", "shop"]).await;
    assert_eq!(calls.count("DescribeDBInstances") - before, 1);

    let (mut document, _) = env.read(stage::CURRENT).await;
    document["dbInstanceIdentifier"] = json!("missing");
    env.put(SECRET, &document).await;
    env.run_ok(&["rotate", "shop"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_endpoint_of_rds_decides_and_not_the_secrets_host() {
    let env = Environment::open(Setup::default()).await;
    without_master_host(&env, "").await;
    let unused = twinkey_testkit::ports::reserve().unwrap();
    let mut instance = managed(&env).await;
    instance.endpoint = Some(("127.0.0.1".into(), unused));
    env.stand_in()
        .rds()
        .add_instance("orders", instance.clone());
    let message = is_refused(&env, "db_unreachable").await;
    assert!(message.contains(&unused.to_string()), "{message}");

    instance.endpoint = None;
    env.stand_in().rds().add_instance("orders", instance);
    is_refused(&env, "host_untrusted").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_or_silent_api_is_named() {
    let env = Environment::open(Setup::default()).await;
    without_master_host(&env, "").await;
    let faults = env.stand_in().faults();
    env.stand_in()
        .rds()
        .add_cluster("orders", managed(&env).await);
    // The cluster is found although instances are denied.
    faults.answer("DescribeDBInstances", 1, 403, "AccessDenied");
    env.run_ok(&["rotate", "shop"]).await;
    faults.answer("DescribeDBClusters", usize::MAX, 403, "AccessDenied");
    let message = is_refused(&env, "host_untrusted").await;
    assert!(
        message.contains("DescribeDBClusters responds AccessDenied"),
        "{message}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_listing_answers_for_all_masters_and_is_kept() {
    let stand_in = StandIn::start().await;
    let master = |n: u16| format!("arn:{n}");
    for n in 0..250_u16 {
        let database = RdsDatabase {
            endpoint: Some((format!("db-{n}"), n + 1)),
            reader: None,
            master_secret: Some(master(n)),
            copies: Vec::new(),
        };
        stand_in.rds().add_instance(&format!("db-{n:03}"), database);
    }
    let aws = Aws::from_config(sdk_config(&stand_in.url()));
    let (clock, endpoints) = (Clock::system(), RdsEndpoints::default());
    for n in [249, 0, 120] {
        let master = master(n);
        let found = endpoints.endpoint(&aws, &clock, &master, DatabaseIds::default());
        let found = found.await.unwrap().unwrap();
        assert_eq!(found.to_string(), format!("db-{n}:{}", n + 1));
    }
    assert_eq!(
        stand_in.faults().count("DescribeDBInstances"),
        3,
        "three pages"
    );
    assert_eq!(stand_in.faults().count("DescribeDBClusters"), 0);

    // An answer that does not exist is not kept.
    for _ in 0..2 {
        let found = endpoints.endpoint(&aws, &clock, "arn:none", DatabaseIds::default());
        assert_eq!(found.await.unwrap(), None);
    }
    assert_eq!(stand_in.faults().count("DescribeDBClusters"), 2);
    // Throttled calls are repeated.
    stand_in
        .faults()
        .answer("DescribeDBInstances", 1, 400, "Throttling");
    let found = endpoints.endpoint(&aws, &clock, "arn:none", DatabaseIds::default());
    assert_eq!(found.await.unwrap(), None);
}
