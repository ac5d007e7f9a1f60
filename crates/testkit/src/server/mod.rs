//! A database server in a temporary folder: the part that is the same for every engine.
//!
//! # Failure modes
//! - A server outlives the process that started it: the server is the child of a shell, the
//!   supervisor, which reads a pipe of the process. The pipe closes when the process drops it or
//!   exits. Then the shell stops the server and removes the folder. A server is stopped only so.
//! - The server refuses to run as root: it runs as an ordinary user. Binaries that this user cannot
//!   reach, such as those of a checkout in a private home, are copied into the folder.
//! - Another process binds the port first: the start is repeated with a new folder and port.
//! - Other users reach the server: it listens on 127.0.0.1 only, every sign-in needs a password,
//!   and only its user can read the folder.

mod account;
mod error;

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};
use std::time::{Duration, Instant};

use crate::ports;

pub(crate) use self::account::Account;
pub use self::error::LaunchError;
use twinkey_core::secret::Credentials;
use twinkey_core::secret::password::PasswordPolicy;

pub(crate) const SUPERUSER: &str = "root_admin";
const START_LIMIT: Duration = Duration::from_secs(60);
const TRIES: usize = 3;
/// Stops the server when standard input ends. The data is not read again, so that the signal is the
/// one that stops the server immediately. Each line is a signal with which the server is restarted.
const SUPERVISOR: &str = r#"dir=$1; signal=$2; shift 2; "$@" & server=$!; while read -r restart; do kill -s "$restart" $server; wait $server; "$@" & server=$!; done; kill -s "$signal" $server; wait $server; rm -rf -- "$dir""#;

/// The part of a start that differs between engines.
pub(super) trait Recipe {
    /// The prefix of folder names.
    const FOLDER: &'static str;
    /// The user that runs the server if the process is root: the first that exists.
    const USERS: &'static [&'static str];
    /// The signal that stops the server immediately.
    const STOP: &'static str;

    /// Creates the data and the superuser in the folder, and returns the command of the server.
    /// `--port=…` is appended to it. Its standard error is the log of the server.
    fn prepare(
        &self,
        account: &Account,
        dir: &Path,
        superuser: &Credentials,
    ) -> Result<Vec<OsString>, LaunchError>;

    /// The progress of a start.
    fn state(&self, dir: &Path, log: &str, port: u16) -> StartState;
}

/// The progress of a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StartState {
    Starting,
    Ready,
    /// The server exited or will exit, because another process listens on the port.
    PortTaken,
    /// The server exited or will exit.
    Failed,
}

/// A running server. Dropping it stops it and removes its folder.
#[derive(Debug)]
pub(super) struct Server {
    supervisor: Child,
    pub(super) dir: PathBuf,
    pub(super) port: u16,
    pub(super) superuser: Credentials,
}

/// The error of one attempt to start.
enum StartError {
    PortTaken(String),
    Other(LaunchError),
}

impl From<LaunchError> for StartError {
    fn from(error: LaunchError) -> Self {
        Self::Other(error)
    }
}

impl Server {
    /// Starts a server. Blocks until it accepts connections.
    pub(super) fn start<R: Recipe>(recipe: &R) -> Result<Self, LaunchError> {
        Self::start_on(recipe, free_port)
    }

    fn start_on<R: Recipe>(
        recipe: &R,
        mut port: impl FnMut() -> Result<u16, LaunchError>,
    ) -> Result<Self, LaunchError> {
        let account = Account::to_run_as(R::USERS)?;
        let mut tries = 0;
        loop {
            tries += 1;
            let dir = std::env::temp_dir().join(format!("{}-{}", R::FOLDER, uuid::Uuid::new_v4()));
            let refusal = match Self::try_in(recipe, &account, &dir, &mut port) {
                Ok(server) => return Ok(server),
                Err(refusal) => refusal,
            };
            // The supervisor may have removed it already. The error to report is `refusal`.
            let _ = fs::remove_dir_all(&dir);
            match refusal {
                StartError::PortTaken(_) if tries < TRIES => {}
                StartError::PortTaken(output) => return Err(LaunchError::start(output)),
                StartError::Other(error) => return Err(error),
            }
        }
    }

    fn try_in<R: Recipe>(
        recipe: &R,
        account: &Account,
        dir: &Path,
        port: &mut impl FnMut() -> Result<u16, LaunchError>,
    ) -> Result<Self, StartError> {
        fs::DirBuilder::new()
            .mode(0o700)
            .create(dir)
            .map_err(io_error("the server's folder cannot be made"))?;
        account.own(dir)?;
        let password = PasswordPolicy::default()
            .generate()
            .map_err(|_| LaunchError::Random)?;
        let superuser = Credentials {
            username: SUPERUSER.into(),
            password,
        };
        let command = recipe.prepare(account, dir, &superuser)?;
        account.write(&dir.join("log"), "")?;
        let log = fs::OpenOptions::new()
            .append(true)
            .open(dir.join("log"))
            .map_err(io_error("the server's log cannot be opened"))?;
        let port = port()?;
        let mut supervisor = account
            .command("sh")
            .args(["-c", SUPERVISOR, "supervisor"])
            .arg(dir)
            .arg(R::STOP)
            .args(command)
            .arg(format!("--port={port}"))
            // Ctrl-C in the terminal must reach this process only, which then closes the pipe.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(io_error("the server cannot be started"))?;
        let (state, log) = wait(recipe, dir, port);
        if state == StartState::Ready {
            return Ok(Self {
                supervisor,
                dir: dir.to_owned(),
                port,
                superuser,
            });
        }
        drop(supervisor.stdin.take());
        let _ = supervisor.wait();
        Err(match state {
            StartState::PortTaken => StartError::PortTaken(log),
            _ => LaunchError::start(log).into(),
        })
    }
}

impl Server {
    /// Stops the server with a signal and starts it again. It accepts connections a while later.
    pub(super) fn restart(&mut self, signal: &str) -> Result<(), LaunchError> {
        let failed = || io_error("the server cannot be restarted");
        let pipe = self.supervisor.stdin.as_mut();
        let pipe = pipe.ok_or_else(|| failed()(io::ErrorKind::BrokenPipe.into()))?;
        writeln!(pipe, "{signal}").map_err(failed())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.supervisor.stdin.take());
        // An error here has no remedy.
        let _ = self.supervisor.wait();
    }
}

/// Waits for the result of a start, and returns it with the log.
#[expect(
    clippy::disallowed_methods,
    reason = "a start blocks; callers run it on a blocking thread"
)]
fn wait<R: Recipe>(recipe: &R, dir: &Path, port: u16) -> (StartState, String) {
    let deadline = Instant::now() + START_LIMIT;
    loop {
        let log = fs::read(dir.join("log")).unwrap_or_default();
        let log = String::from_utf8_lossy(&log).into_owned();
        let state = recipe.state(dir, &log, port);
        if state != StartState::Starting {
            return (state, log);
        }
        // A message of the shell: the program is missing or cannot be executed.
        if log.contains("supervisor: ") || Instant::now() > deadline {
            return (StartState::Failed, log);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn free_port() -> Result<u16, LaunchError> {
    ports::reserve().map_err(io_error("no port is free on 127.0.0.1"))
}

pub(super) fn succeeded(what: &str, output: io::Result<Output>) -> Result<(), LaunchError> {
    let output = output.map_err(io_error(what))?;
    if output.status.success() {
        return Ok(());
    }
    Err(LaunchError::Failed {
        what: what.to_owned(),
        output: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}

pub(super) fn io_error(what: &str) -> impl FnOnce(io::Error) -> LaunchError {
    let what = what.to_owned();
    move |source| LaunchError::Io { what, source }
}

#[cfg(test)]
pub(super) mod tests {
    use std::net::TcpListener;

    use super::*;

    /// Starts a server whose first port is taken, and checks that it uses another.
    pub fn moves_to_another_port<R: Recipe>(recipe: &R) {
        let other = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let taken = other.local_addr().unwrap().port();
        let mut first = Some(taken);
        let server = Server::start_on(recipe, || first.take().map_or_else(free_port, Ok)).unwrap();
        assert_eq!(first, None, "the taken port was not tried");
        assert_ne!(server.port, taken);
        std::net::TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    }

    /// Stops a server and checks that its folder and its port are released.
    pub fn releases_everything(server: Server) {
        let (dir, port) = (server.dir.clone(), server.port);
        std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        drop(server);
        assert!(!dir.exists(), "{dir:?} still exists");
        std::net::TcpStream::connect(("127.0.0.1", port)).unwrap_err();
    }
}
