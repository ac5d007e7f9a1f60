//! The server in a folder of its own.
//!
//! What can go wrong, and what prevents it:
//! - it outlives the test (a panic, a kill): it is the child of a small shell that reads a pipe of
//!   which we hold the other end. The pipe closes whatever we die of; then the shell stops the server
//!   and removes the folder;
//! - somebody takes the port between our choosing it and the server's binding it: all over again;
//! - a config of this machine's changes what it does: it gets an empty one, and an empty environment;
//! - its first user has to be made while it asks nobody who he is: that is over before anybody else
//!   hears of the port.

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
const TRIES: usize = 3;
/// Serves without sign-ins until the first line arrives, then with them until standard input ends.
/// Nobody reads the data again, so it is killed in the end; not in between.
const KEEPER: &str = r#"
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
    keeper: Child,
    dir: PathBuf,
    port: u16,
    superuser: Credentials,
}

impl MongoServer {
    /// Blocks until it takes connections. `tls`: certificate chain and key as PEM.
    pub fn start(tls: Option<&(String, String)>) -> Self {
        Self::start_on(tls, free_port)
    }

    /// On the first of the ports that nobody else has; a few are tried.
    pub fn start_on(tls: Option<&(String, String)>, mut port: impl FnMut() -> u16) -> Self {
        for _ in 1..TRIES {
            if let Ok(server) = Self::try_on(tls, port()) {
                return server;
            }
        }
        Self::try_on(tls, port()).unwrap_or_else(|log| panic!("every port is taken:\n{log}"))
    }

    /// The error is the log: somebody else listens there.
    fn try_on(tls: Option<&(String, String)>, port: u16) -> Result<Self, String> {
        let program = cache().join("venv-mongo/bin/secantusd-py");
        assert!(
            program.exists(),
            "SecantusDB is not there: run scripts/setup, which makes .cache/venv-mongo"
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
        let keeper = Command::new("sh")
            .args(["-c", KEEPER, "keeper"])
            .arg(&dir)
            .arg(program)
            .args(["--host", "127.0.0.1", "--port", &port.to_string()])
            .arg("--storage-path")
            .arg(dir.join("data"))
            .arg("--config")
            .arg(dir.join("secantusd.toml"))
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("LC_ALL", "C.UTF-8")
            .current_dir(&dir)
            // Out of the terminal's reach: its Ctrl-C is for us, who then close the pipe.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut server = Self {
            keeper,
            dir,
            port,
            superuser: Credentials {
                username: SUPERUSER.into(),
                password: PasswordPolicy::default().generate().unwrap(),
            },
        };
        server.wait_for_start(1)?;
        server.make_superuser();
        let pipe = server.keeper.stdin.as_mut().unwrap();
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

    /// Waits until it has begun to listen for the `nth` time.
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
            // Python's last line is what went wrong; above it is where.
            let last = log.lines().last().unwrap_or_default();
            let has_failed = log.ends_with('\n') && last.contains("Error: ");
            let over = has_failed || Instant::now() > deadline;
            assert!(!over, "the server does not start:\n{log}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn make_superuser(&self) {
        let command = doc! {
            "createUser": SUPERUSER,
            "pwd": self.superuser.password.expose_secret(),
            "roles": ["root"],
            "mechanisms": ["SCRAM-SHA-1", "SCRAM-SHA-256"],
            "$db": "admin",
        };
        let answer = ask(self.port, &command);
        assert_eq!(answer.get_f64("ok").ok(), Some(1.0), "{answer}");
    }
}

impl Drop for MongoServer {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        // Nothing is left to do about a shell that cannot be waited for.
        let _ = self.keeper.wait();
    }
}

pub fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// One command of somebody who has not signed in.
pub fn ask(port: u16, command: &Document) -> Document {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
    socket
        .write_all(Message::of(command, 1, 0).bytes())
        .unwrap();
    let mut bytes = vec![0; 4];
    socket.read_exact(&mut bytes).unwrap();
    let length = u32::from_le_bytes(bytes[..].try_into().unwrap());
    bytes.resize(length as usize, 0);
    socket.read_exact(&mut bytes[4..]).unwrap();
    Message::from_bytes(bytes).document().unwrap()
}
