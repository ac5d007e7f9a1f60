//! Rotations on a server of the MongoDB wire protocol.

mod failures;
mod fixture;
mod interruptions;
mod roles;
mod rotations;

use twinkey_stores::stage;

use twinkey_testkit::environment::Database;
use twinkey_testkit::environment::documentdb::{LocalMongo, MongoEnvironment};

/// Asserts that both users are equal, sign in and have their privileges.
async fn assert_pair_is_equal(env: &MongoEnvironment) {
    let base = env.reported("app").await;
    assert!(base.is_some());
    assert_eq!(base, env.reported("app_clone").await);
    for label in [stage::CURRENT, stage::PREVIOUS] {
        let mut client = env.signed_in(label).await;
        assert!(LocalMongo::may_work(&mut client).await, "{label}");
        // A dropped client disconnects later, and its session would stop the next run.
        client.shutdown().immediate(true).await;
    }
}

/// The user of AWSCURRENT.
async fn active(env: &MongoEnvironment) -> String {
    let (current, _) = env.read(stage::CURRENT).await;
    current["username"].as_str().unwrap().to_owned()
}
