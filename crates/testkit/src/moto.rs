//! moto, as a second opinion on the stores: where it is right (the list is in `tests/stores.rs`).

use crate::locations::cache;
use std::process::{Child, Command, Stdio};

/// A moto server on a free port; killed when dropped.
pub struct Moto {
    child: Child,
    url: String,
}

impl Moto {
    /// Starts one and waits until it answers.
    pub async fn start() -> Self {
        let program = cache().join("venv/bin/moto_server");
        assert!(
            program.exists(),
            "moto is not there: run scripts/setup, which makes .cache/venv"
        );
        // moto binds the port itself; the operating system does not hand a free one out twice in a row.
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
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
        // Both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
