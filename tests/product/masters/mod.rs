//! Where a master's password goes, and where it does not.

mod attacks;
mod hostile;
mod hosts;
mod owner;
mod rds;
mod texts;
mod tls;

use serde_json::{Value as Json, json};
use twinkey_testkit::environment::{Database, Environment, MASTER_SECRET, SECRET, Setup};
use twinkey_testkit::hostile::HostileServer;

const MASTER_PASSWORD: &str = "Master-0123456789-abcdef-XYZ";

/// The master secret as RDS writes it: without a host.
fn bare_master() -> Json {
    json!({"username": "rdsmaster", "password": MASTER_PASSWORD})
}

/// Edits the secret so that it names the hostile server and another user.
async fn redirect<D: Database>(env: &Environment<D>, hostile: &HostileServer, user: &str) {
    let mut document = env.document(user, "Guessed-0123456789-abcdef");
    document["port"] = json!(hostile.port());
    env.put(SECRET, &document).await;
}

/// Removes the host from the master secret and adds keys to the rotation.
async fn without_master_host<D: Database>(env: &Environment<D>, rotation: &str) {
    env.put(MASTER_SECRET, &bare_master()).await;
    let rotation = rotation.into();
    env.configure(&Setup {
        rotation,
        ..Setup::default()
    });
}

fn assert_no_master(hostile: &HostileServer) {
    assert!(!hostile.received("rdsmaster"), "the master signed in");
    assert_no_password(hostile);
}

fn assert_no_password(hostile: &HostileServer) {
    assert!(!hostile.received(MASTER_PASSWORD), "it has the password");
}
