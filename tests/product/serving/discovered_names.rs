//! Names of discovered rotations, which keep their records when a `[[rotation]]` takes the name.

use serde_json::Value as Json;
use twinkey_stores::stage;
use twinkey_testkit::aws::StandIn;
use twinkey_testkit::environment::{Backend, Environment, FIRST, SECRET, free_address, until};

use super::discovery::{NAME, discovering, rotations, tag, untag};
use super::worker::signal;

/// The states of the runs in the history of a rotation.
async fn run_states(env: &Environment, name: &str) -> Vec<String> {
    let history = env.run_ok(&["history", name, "--json"]).await;
    let entries: Vec<Json> = serde_json::from_str(&history).unwrap();
    let runs = entries
        .iter()
        .filter(|entry| entry.get("trigger").is_some());
    runs.map(|run| run["state"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn records_stay_with_a_secret_whose_name_is_taken() {
    let address = free_address();
    let config = format!("[server]\nlisten = \"{address}\"");
    let env = discovering("", config, Backend::StandIn(StandIn::start().await)).await;
    tag(&env, SECRET, "twinkey", "rotate").await;
    env.put("prod/other", &env.document("other", FIRST)).await;
    let mut serve = env.serve(&address).await;
    until("the secret is armed", async || {
        rotations(&address).await.contains_key(NAME)
    })
    .await;
    env.run_ok(&["rotate", NAME]).await;
    env.run_ok(&["pause", NAME]).await;

    // The config gives the name to another secret.
    let discovering = std::fs::read_to_string(env.config()).unwrap();
    let table = format!(
        "[[rotation]]\nname = \"{NAME}\"\nsecret = \"prod/other\"\nmaster_secret = \"prod/master\"\n"
    );
    let taken = discovering.replace("[[discover]]", &format!("{table}\n[[discover]]"));
    std::fs::write(env.config(), taken).unwrap();
    signal(&serve, "HUP");
    until("the name is taken", async || {
        let all = rotations(&address).await;
        all.len() == 2
            && all
                .get(NAME)
                .is_some_and(|one| one["secret"] == "prod/other")
    })
    .await;
    let mut all = rotations(&address).await;
    let other = all.remove(NAME).unwrap();
    assert!(other["paused"].is_null(), "{other}");
    let (name, view) = all.pop_first().unwrap();
    assert!(name.starts_with(&format!("{NAME}-")), "{name}");
    assert_eq!(
        (&view["secret"], &view["state"]),
        (&SECRET.into(), &"paused".into())
    );
    assert_eq!(run_states(&env, NAME).await, [""; 0]);
    assert_eq!(run_states(&env, &name).await, ["succeeded"]);
    // Its pair is its own, also under the new name.
    env.run_ok(&["rotate", &name, "--force"]).await;
    env.signed_in(stage::CURRENT).await;

    // The `[[rotation]]` is removed. The secret keeps its name.
    std::fs::write(env.config(), &discovering).unwrap();
    signal(&serve, "HUP");
    until("the name is free", async || {
        let all = rotations(&address).await;
        all.len() == 1 && all.get(&name).is_some_and(|one| one["state"] == "paused")
    })
    .await;
    // Disarmed, it has its history.
    untag(&env, SECRET, "twinkey").await;
    env.run_ok(&["discover"]).await;
    until("the rotation is disarmed", async || {
        rotations(&address).await.is_empty()
    })
    .await;
    assert_eq!(run_states(&env, &name).await, ["succeeded"; 2]);
    signal(&serve, "TERM");
    assert!(serve.wait().await.unwrap().success());
}
