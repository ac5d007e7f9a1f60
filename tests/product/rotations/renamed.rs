//! Rotations that are renamed in the config.

use serde_json::Value as Json;
use twinkey_testkit::environment::{Environment, Setup, free_address};

#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_rotation_stays_paused() {
    let address = free_address();
    let setup = Setup {
        config: format!("[server]\nlisten = \"{address}\"\n"),
        ..Setup::default()
    };
    let env = Environment::open(setup).await;
    let worker = env.serve(&address).await;
    env.run_ok(&["pause", "shop"]).await;
    drop(worker);
    let config = std::fs::read_to_string(env.config()).unwrap();
    let renamed = config.replace("name = \"shop\"", "name = \"orders\"");
    std::fs::write(env.config(), renamed).unwrap();
    let _worker = env.serve(&address).await;
    let status = env.run_ok(&["status", "--json"]).await;
    let status: Json = serde_json::from_str(&status).unwrap();
    assert_eq!(status[0]["name"], "orders");
    assert_eq!(status[0]["state"], "paused");
}
