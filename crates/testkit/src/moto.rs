//! A moto server, as a second implementation of Secrets Manager. Its deviations from AWS are listed
//! in `crates/stores/tests/stores`.

use std::process::{Child, Command, Stdio};

use crate::locations::cache;
use crate::ports;

/// A moto server on a free port. Dropping it kills it.
pub struct Moto {
    child: Child,
    url: String,
}

impl Moto {
    /// Starts a server and waits until it answers.
    pub async fn start() -> Self {
        let program = cache().join("venv/bin/moto_server");
        assert!(
            program.exists(),
            "moto is not installed: run scripts/setup, which makes .cache/venv"
        );
        let port = ports::reserve().unwrap();
        let child = Command::new(program)
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut moto = Self {
            child,
            url: format!("http://127.0.0.1:{port}"),
        };
        while reqwest::get(format!("{}/moto-api/data.json", moto.url))
            .await
            .is_err()
        {
            if let Some(status) = moto.child.try_wait().unwrap() {
                panic!("moto ended before it answered: {status}");
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        moto
    }

    /// For `secrets.endpoint_url`.
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        // Both fail only if it has already exited.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
