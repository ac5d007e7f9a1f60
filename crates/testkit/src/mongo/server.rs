//! MongoDB server in a temporary folder.
//!
//! # Failure modes
//! - The server outlives the test. It is the child of a shell that reads a pipe from the test
//!   process. When the pipe closes, the shell stops the server and removes the folder.
//! - Another process takes the port before the server binds it. The start is repeated.
//! - The machine's configuration changes the server. It runs with an empty configuration file and
//!   an empty environment.
//! - The first user must be created while authentication is off. The port is returned only after
//!   the restart with authentication.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::locations::cache;
use mongodb::bson::{Document, doc};
use twinkey_core::secret::Credentials;
use twinkey_core::secret::ExposeSecret;
use twinkey_core::secret::password::PasswordPolicy;

use super::wire::Message;

const SUPERUSER: &str = "root_admin";
const START_LIMIT: Duration = Duration::from_secs(60);
const MAX_ATTEMPTS: usize = 3;
/// The server with 5000 rounds in each SCRAM mechanism. That is the least that MongoDB accepts as
/// `scramIterationCount` and `scramSHA256IterationCount`. With the default of 15000, the driver of a
/// test, which is not optimised, spends two thirds of the test's time on them.
const SERVER: &str = "
import sys
from secantus import auth, cli
for mechanism in auth._MECH_PARAMS.values():
    mechanism['default_iterations'] = 5000
sys.exit(cli.main())";
/// Serves without authentication until the first line arrives, then with it until the end of input.
///
/// The data is not needed afterwards, so that the last stop is a kill.
const SUPERVISOR: &str = r#"
dir=$1; shift
"$@" & server=$!
if read -r line; then
    kill -s TERM $server; wait $server
    set -- "$@" --auth
    [ ! -e "$dir/cert.pem" ] || set -- "$@" --tls-cert-file "$dir/cert.pem" --tls-key-file "$dir/key.pem"
    "$@" & server=$!
    cat >/dev/null
fi
kill -s KILL $server; wait $server
rm -rf -- "$dir""#;

/// A running server; dropping it stops it and removes its folder.
pub struct MongoServer {
    supervisor: Child,
    dir: PathBuf,
    port: u16,
    superuser: Credentials,
}

impl MongoServer {
    /// Blocks until the server accepts connections. `tls`: certificate chain and key as PEM.
    pub fn start(tls: Option<&(String, String)>) -> Self {
        Self::start_on(tls, free_port)
    }

    /// Starts on the first free port of a few candidates.
    pub fn start_on(tls: Option<&(String, String)>, mut port: impl FnMut() -> u16) -> Self {
        for _ in 1..MAX_ATTEMPTS {
            if let Ok(server) = Self::start_at(tls, port()) {
                return server;
            }
        }
        Self::start_at(tls, port()).unwrap_or_else(|log| panic!("every port is in use:\n{log}"))
    }

    /// The error is the log of a server whose port is in use.
    fn start_at(tls: Option<&(String, String)>, port: u16) -> Result<Self, String> {
        let python = cache().join("venv-mongo/bin/python3");
        assert!(
            python.exists(),
            "SecantusDB is not installed: run scripts/setup, which creates .cache/venv-mongo"
        );
        let dir = tempfile::Builder::new()
            .prefix("twinkey-mongo-")
            .tempdir()
            .unwrap()
            .keep();
        fs::write(dir.join("secantusd.toml"), "").unwrap();
        if let Some((certificate, key)) = tls {
            fs::write(dir.join("cert.pem"), certificate).unwrap();
            fs::write(dir.join("key.pem"), key).unwrap();
        }
        let log = fs::File::create(dir.join("log")).unwrap();
        let supervisor = Command::new("sh")
            .args(["-c", SUPERVISOR, "supervisor"])
            .arg(&dir)
            .arg(python)
            .args(["-c", SERVER])
            .args(["--host", "127.0.0.1", "--port", &port.to_string()])
            .arg("--storage-path")
            .arg(dir.join("data"))
            .arg("--config")
            .arg(dir.join("secantusd.toml"))
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("LC_ALL", "C.UTF-8")
            .current_dir(&dir)
            // Ctrl-C in a terminal reaches only the test process, whose end closes the pipe.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut server = Self {
            supervisor,
            dir,
            port,
            superuser: Credentials {
                username: SUPERUSER.into(),
                password: PasswordPolicy::default().generate().unwrap(),
            },
        };
        server.wait_for_start(1)?;
        server.create_superuser();
        let pipe = server.supervisor.stdin.as_mut().unwrap();
        pipe.write_all(b"\n").unwrap();
        server.wait_for_start(2)?;
        Ok(server)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn superuser(&self) -> &Credentials {
        &self.superuser
    }

    pub fn folder(&self) -> &Path {
        &self.dir
    }

    /// Waits until the server listens for the `nth` time.
    #[expect(
        clippy::disallowed_methods,
        reason = "starting a server blocks; callers hand it to a thread for that"
    )]
    fn wait_for_start(&self, nth: usize) -> Result<(), String> {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            let log = fs::read_to_string(self.dir.join("log")).unwrap();
            if log.matches("secantus listening on ").count() == nth {
                return Ok(());
            }
            if log.contains("Address already in use") {
                return Err(log);
            }
            // The last line of a Python traceback is the error.
            let last = log.lines().last().unwrap_or_default();
            let has_failed = log.ends_with('\n') && last.contains("Error: ");
            let is_over = has_failed || Instant::now() > deadline;
            assert!(!is_over, "the server did not start:\n{log}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn create_superuser(&self) {
        let command = doc! {
            "createUser": SUPERUSER,
            "pwd": self.superuser.password.expose_secret(),
            "roles": ["root"],
            "mechanisms": ["SCRAM-SHA-1", "SCRAM-SHA-256"],
            "$db": "admin",
        };
        let response = run_unauthenticated(self.port, &command);
        assert_eq!(response.get_f64("ok").ok(), Some(1.0), "{response}");
    }
}

impl Drop for MongoServer {
    fn drop(&mut self) {
        drop(self.supervisor.stdin.take());
        // A failed wait cannot be handled here.
        let _ = self.supervisor.wait();
    }
}

/// A port that is free now.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// Runs one command without a sign-in.
pub fn run_unauthenticated(port: u16, command: &Document) -> Document {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
    socket
        .write_all(Message::new(command, 1, 0).bytes())
        .unwrap();
    let mut bytes = vec![0; 4];
    socket.read_exact(&mut bytes).unwrap();
    let length = u32::from_le_bytes(bytes[..].try_into().unwrap());
    bytes.resize(length as usize, 0);
    socket.read_exact(&mut bytes[4..]).unwrap();
    Message::from_bytes(bytes).document().unwrap()
}
