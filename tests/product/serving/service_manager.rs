//! The worker under a service manager: sd_notify(3) of systemd, and the health checks of
//! containers.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixDatagram;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};

use twinkey_testkit::environment::{Environment, Setup, free_address, until};
use twinkey_testkit::pki::{Pki, write_key};

const TOKEN: &str = "an-admin-token-of-some-length";

/// A stand-in of systemd that reads the messages of the worker.
struct FakeManager {
    socket: UnixDatagram,
    messages: Vec<String>,
}

impl FakeManager {
    fn listen(env: &Environment) -> Self {
        let socket = UnixDatagram::bind(env.folder.path().join("notify")).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self {
            socket,
            messages: Vec::new(),
        }
    }

    /// Starts `serve` under this manager with a watchdog.
    fn serve(env: &Environment, watchdog: Duration) -> Child {
        env.command(env!("CARGO_BIN_EXE_twinkey"))
            .arg("serve")
            .env("NOTIFY_SOCKET", env.folder.path().join("notify"))
            .env("WATCHDOG_USEC", watchdog.as_micros().to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// Reads messages, and returns whether one after `mark` starts with `begins`.
    fn received(&mut self, begins: &str, mark: usize) -> bool {
        let mut message = [0; 1024];
        while let Ok(length) = self.socket.recv(&mut message) {
            self.messages
                .push(String::from_utf8(message[..length].to_vec()).unwrap());
        }
        self.messages[mark..]
            .iter()
            .any(|messages| messages.starts_with(begins))
    }

    async fn wait_for(&mut self, begins: &str, mark: usize) {
        until(&format!("the manager receives {begins}"), async || {
            self.received(begins, mark)
        })
        .await;
    }

    /// The lines of the messages after `mark`, without those of the watchdog.
    fn since(&self, mark: usize) -> Vec<&str> {
        self.messages[mark..]
            .iter()
            .filter(|messages| *messages != "WATCHDOG=1\n")
            .flat_map(|messages| messages.lines())
            .map(|line| match line.split_once('=') {
                Some(("MONOTONIC_USEC", _)) => "MONOTONIC_USEC",
                _ => line,
            })
            .collect()
    }
}

fn signal(serve: &Child, name: &str) {
    let id = serve.id().unwrap().to_string();
    let sent = std::process::Command::new("kill")
        .args(["-s", name, &id])
        .status();
    assert!(sent.unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_manager_gets_ready_reload_stop_and_watchdog_messages() {
    let address = free_address();
    let env = Environment::open(Setup {
        config: format!("[server]\nlisten = \"{address}\""),
        ..Setup::default()
    })
    .await;
    let mut manager = FakeManager::listen(&env);
    let mut serve = FakeManager::serve(&env, Duration::from_millis(200));
    let armed = "STATUS=schedules armed";

    manager.wait_for("READY=1", 0).await;
    let ready = reqwest::get(format!("http://{address}/readyz")).await;
    assert!(ready.unwrap().status().is_success(), "the worker is ready");
    assert_eq!(manager.since(0), ["READY=1", armed]);
    for beats in 1..=3 {
        let mark = manager.messages.len();
        manager.wait_for("WATCHDOG=1", mark).await;
        assert!(manager.messages.len() > mark, "beat {beats}");
    }

    let good = std::fs::read_to_string(env.config()).unwrap();
    for (config, status) in [
        (good.clone(), "STATUS=config reloaded"),
        (
            format!("{good}\nnonsense = 1\n"),
            "STATUS=new config refused, the previous one stays active",
        ),
    ] {
        std::fs::write(env.config(), config).unwrap();
        let mark = manager.messages.len();
        signal(&serve, "HUP");
        manager.wait_for("READY=1", mark).await;
        assert_eq!(
            manager.since(mark),
            ["RELOADING=1", "MONOTONIC_USEC", "READY=1", status]
        );
    }

    let mark = manager.messages.len();
    signal(&serve, "TERM");
    assert!(serve.wait().await.unwrap().success());
    assert!(
        manager.received("STOPPING=1", mark),
        "{:?}",
        manager.messages
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_watchdog_or_manager_no_message_is_sent() {
    let address = free_address();
    let env = Environment::open(Setup {
        config: format!("[server]\nlisten = \"{address}\""),
        ..Setup::default()
    })
    .await;
    // A watchdog of another process, which the environment may contain.
    let mut manager = FakeManager::listen(&env);
    let mut serve = env
        .command(env!("CARGO_BIN_EXE_twinkey"))
        .arg("serve")
        .env("NOTIFY_SOCKET", env.folder.path().join("notify"))
        .env("WATCHDOG_USEC", "1000")
        .env("WATCHDOG_PID", std::process::id().to_string())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    manager.wait_for("READY=1", 0).await;
    signal(&serve, "TERM");
    assert!(serve.wait().await.unwrap().success());
    assert!(!manager.received("WATCHDOG=1", 0), "{:?}", manager.messages);

    let mut alone = env.serve(&address).await;
    signal(&alone, "TERM");
    assert!(alone.wait().await.unwrap().success());
}

/// Runs `healthz` with this config.
async fn healthz(env: &Environment, more: &[&str]) -> std::process::Output {
    let mut command: Command = env.command(env!("CARGO_BIN_EXE_twinkey"));
    command.arg("healthz").args(more).output().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn healthz_accepts_only_a_running_worker() {
    let address = free_address();
    let pki = Pki::new();
    // The worker listens on all addresses, as in a container, with TLS for a name.
    let listen = address.replace("127.0.0.1", "0.0.0.0");
    let env = Environment::open(Setup {
        config: format!(
            "[server]\nlisten = \"{listen}\"\nadmin_token_file = \"token\"\ntls = {{ cert = \"cert.pem\", key = \"key.pem\" }}"
        ),
        ..Setup::default()
    })
    .await;
    let write = |name: &str, text: &str| {
        std::fs::write(env.folder.path().join(name), text).unwrap();
    };
    write("token", TOKEN);
    write("cert.pem", &pki.server.0);
    write_key(&env.folder.path().join("key.pem"), &pki.server.1);

    let message = env.fails(&["healthz"], 1, "internal").await;
    assert!(
        message.contains("refused"),
        "the worker has not started: {message}"
    );

    let mut serve = env
        .command(env!("CARGO_BIN_EXE_twinkey"))
        .arg("serve")
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    until("the worker is healthy", async || {
        healthz(&env, &[]).await.status.success()
    })
    .await;
    assert_eq!(env.run_ok(&["healthz"]).await, "ok\n");
    // Other URLs need a valid certificate. The root of this one is unknown.
    let url = format!(
        "https://{}/healthz",
        address.replace("127.0.0.1", "localhost")
    );
    let message = env.fails(&["healthz", "--url", &url], 1, "internal").await;
    assert!(message.contains("certificate"), "{message}");

    // An invalid new config does not affect the running worker.
    let good = std::fs::read_to_string(env.config()).unwrap();
    std::fs::write(env.config(), format!("{good}\nnonsense = 1\n")).unwrap();
    env.run_ok(&["healthz"]).await;
    let wrong = good.replace("cert =", "certificate =");
    std::fs::write(env.config(), wrong).unwrap();
    let message = env.fails(&["healthz"], 2, "config_invalid").await;
    assert!(message.contains("server.tls"), "{message}");
    std::fs::write(env.config(), good).unwrap();

    signal(&serve, "TERM");
    assert!(serve.wait().await.unwrap().success());
    env.fails(&["healthz"], 1, "internal").await;

    // A server that is not a worker.
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/healthz", other.local_addr().unwrap());
    let answering = std::thread::spawn(move || {
        let (mut asked, _) = other.accept().unwrap();
        let mut request = [0; 1024];
        assert!(asked.read(&mut request).unwrap() > 0);
        asked
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nIt works!")
            .unwrap();
    });
    let message = env.fails(&["healthz", "--url", &url], 1, "internal").await;
    assert!(message.contains("not as a worker"), "{message}");
    answering.join().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn healthz_times_out_on_a_worker_that_hangs() {
    let env = Environment::open(Setup {
        config: "[server]\nlisten = \"127.0.0.1:1\"".into(),
        ..Setup::default()
    })
    .await;
    // It accepts connections and does not respond.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/healthz", silent.local_addr().unwrap());
    let message = env.fails(&["healthz", "--url", &url], 1, "internal").await;
    assert!(message.contains("timed out"), "{message}");
}
