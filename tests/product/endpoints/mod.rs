//! Readers and poolers: an application that signs in there is never refused.

mod mysql;
pub mod poolers;
pub mod postgres;
mod rds;
mod restarts;
mod soak;

use std::cell::Cell;
use std::time::Duration;

use secrecy::SecretString;
use serde_json::Value as Json;
use twinkey_stores::stage;
use twinkey_testkit::environment::{Database, Environment};

/// Reads AWSCURRENT and connects to each of the servers every 20 ms during `work`, as an application
/// does. Returns the number of connections, none of which may be refused.
async fn connecting<D: Database>(
    env: &Environment<D>,
    servers: &[u16],
    connect: impl AsyncFn(u16, String, SecretString) -> Result<(), String>,
    work: impl Future<Output = ()>,
) -> usize {
    let is_done = Cell::new(false);
    let work = async {
        work.await;
        is_done.set(true);
    };
    let application = async {
        let (mut count, mut refused) = (0, Vec::new());
        while !is_done.get() {
            let (document, _) = env.read(stage::CURRENT).await;
            for server in servers {
                let (user, password) = credentials(&document);
                match connect(*server, user, password).await {
                    Ok(()) => count += 1,
                    Err(error) => refused.push(error),
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        (count, refused)
    };
    let ((), (count, refused)) = tokio::join!(work, application);
    assert!(
        refused.is_empty(),
        "{} of {} connections were refused: {}",
        refused.len(),
        refused.len() + count,
        refused[0]
    );
    count
}

pub fn credentials(document: &Json) -> (String, SecretString) {
    let text = |field: &str| document[field].as_str().unwrap().to_owned();
    (text("username"), text("password").into())
}

/// The keys of a rotation with readers on this machine.
fn readers(ports: &[u16], more: &str) -> String {
    let all: Vec<String> = ports.iter().map(|p| format!("\"127.0.0.1:{p}\"")).collect();
    format!("readers = [{}]\n{more}", all.join(", "))
}

/// Asserts that `rotate` is refused with this code and changes nothing, and that `check` and `plan`
/// name the code first. Returns the message.
async fn is_refused<D: Database>(env: &Environment<D>, code: &str) -> String {
    let before = env.state().await;
    let checked = env.twinkey(&["check", "--json"]).await;
    assert_eq!(checked.status.code(), Some(1), "check passes");
    let checked = String::from_utf8(checked.stdout).unwrap();
    assert!(checked.contains(&format!("\"{code}\"")), "{checked}");
    let planned = env.twinkey(&["plan", "shop"]).await;
    let planned = [planned.stdout, planned.stderr].concat();
    let planned = String::from_utf8(planned).unwrap();
    assert!(planned.contains(code), "{planned}");
    assert_eq!(env.state().await, before, "check or plan changed something");
    env.refuses(&["rotate", "shop"], code).await
}

/// The entry of `status --json`.
async fn status<D: Database>(env: &Environment<D>) -> Json {
    let all: Json = serde_json::from_str(&env.run_ok(&["status", "--json"]).await).unwrap();
    all[0].clone()
}
