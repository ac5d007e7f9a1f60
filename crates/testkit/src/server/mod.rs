//! A database server of our own, in a temporary folder: what is the same for every kind of it.
//!
//! What can go wrong, and what prevents it:
//! - a server outlives whoever started it (a panic, a kill, a closed terminal): the server is the
//!   child of a small shell that reads a pipe of which we hold the other end. The pipe closes when
//!   we drop it and when we die, whatever we die of; then the shell stops the server and removes
//!   the folder. There is no other way to stop it, so that this one is always the one in use;
//! - the server refuses to run as root: then it runs as an ordinary user, and binaries that this
//!   user cannot reach (a checkout below a private home) are copied into its folder;
//! - somebody takes the port between our choosing it and the server's binding it: all over again,
//!   in a new folder, once the first server is gone;
//! - it is reachable by others: it listens on 127.0.0.1 only, every sign-in needs a password, and
//!   the folder is its user's alone.

mod account;
mod error;

use std::ffi::OsString;
use std::fs;
use std::io;
use std::net::TcpListener;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};
use std::time::{Duration, Instant};

pub(crate) use self::account::Account;
pub use self::error::LaunchError;
use twinkey_core::secret::Credentials;
use twinkey_core::secret::password::PasswordPolicy;

pub(crate) const SUPERUSER: &str = "root_admin";
const START_LIMIT: Duration = Duration::from_secs(60);
const TRIES: usize = 3;
/// Stops the server as soon as standard input ends. Nobody reads the data again: the signal is the
/// one at which the server stops at once.
const KEEPER: &str = r#"dir=$1; signal=$2; shift 2; "$@" & server=$!; cat >/dev/null; kill -s "$signal" $server; wait $server; rm -rf -- "$dir""#;

/// What one kind of server does in its own way.
pub(super) trait Recipe {
    /// How its folders' names begin.
    const FOLDER: &'static str;
    /// Who runs it where we are root: the first that exists.
    const USERS: &'static [&'static str];
    /// The signal at which it stops at once.
    const STOP: &'static str;

    /// Makes the data in that folder and the superuser in it; gives the command that serves it, to
    /// which `--port=…` is added. What the command writes to standard error is the server's log.
    fn prepare(
        &self,
        account: &Account,
        dir: &Path,
        superuser: &Credentials,
    ) -> Result<Vec<OsString>, LaunchError>;

    /// How far the start has come.
    fn state(&self, dir: &Path, log: &str, port: u16) -> State;
}

/// How far a start has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Starting,
    Ready,
    /// It gave up, or is about to: somebody else listens there.
    PortTaken,
    /// It gave up, or is about to.
    Failed,
}

/// A running server; dropping it stops it and removes its folder.
#[derive(Debug)]
pub(super) struct Server {
    keeper: Child,
    pub(super) dir: PathBuf,
    pub(super) port: u16,
    pub(super) superuser: Credentials,
}

/// Why one try came to nothing.
enum Refusal {
    PortTaken(String),
    Other(LaunchError),
}

impl From<LaunchError> for Refusal {
    fn from(error: LaunchError) -> Self {
        Self::Other(error)
    }
}

impl Server {
    /// Blocks until the server takes connections.
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
            // Where a keeper was there it has done so; the first error is the one to report.
            let _ = fs::remove_dir_all(&dir);
            match refusal {
                Refusal::PortTaken(_) if tries < TRIES => {}
                Refusal::PortTaken(output) => return Err(LaunchError::start(output)),
                Refusal::Other(error) => return Err(error),
            }
        }
    }

    fn try_in<R: Recipe>(
        recipe: &R,
        account: &Account,
        dir: &Path,
        port: &mut impl FnMut() -> Result<u16, LaunchError>,
    ) -> Result<Self, Refusal> {
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
        // As late as can be, so that it is most likely still free.
        let port = port()?;
        let mut keeper = account
            .command("sh")
            .args(["-c", KEEPER, "keeper"])
            .arg(dir)
            .arg(R::STOP)
            .args(command)
            .arg(format!("--port={port}"))
            // Out of the terminal's reach: its Ctrl-C is for us, who then close the pipe.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(io_error("the server cannot be started"))?;
        let (state, log) = wait(recipe, dir, port);
        if state == State::Ready {
            return Ok(Self {
                keeper,
                dir: dir.to_owned(),
                port,
                superuser,
            });
        }
        drop(keeper.stdin.take());
        let _ = keeper.wait();
        Err(match state {
            State::PortTaken => Refusal::PortTaken(log),
            _ => LaunchError::start(log).into(),
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        // Nothing is left to do about a shell that cannot be waited for.
        let _ = self.keeper.wait();
    }
}

/// Waits until the start has come to an end, one way or the other; gives the log besides.
#[expect(
    clippy::disallowed_methods,
    reason = "starting a server blocks; callers hand it to a thread for that"
)]
fn wait<R: Recipe>(recipe: &R, dir: &Path, port: u16) -> (State, String) {
    let deadline = Instant::now() + START_LIMIT;
    loop {
        let log = fs::read(dir.join("log")).unwrap_or_default();
        let log = String::from_utf8_lossy(&log).into_owned();
        let state = recipe.state(dir, &log, port);
        if state != State::Starting {
            return (state, log);
        }
        // The shell's own words: there is no such program, or it cannot be run.
        if log.contains("keeper: ") || Instant::now() > deadline {
            return (State::Failed, log);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn free_port() -> Result<u16, LaunchError> {
    TcpListener::bind(("127.0.0.1", 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(io_error("no port is free on 127.0.0.1"))
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
    use super::*;

    /// Starts a server whose first port is taken, and finds it on another.
    pub fn moves_to_another_port<R: Recipe>(recipe: &R) {
        let somebody = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let taken = somebody.local_addr().unwrap().port();
        let mut first = Some(taken);
        let server = Server::start_on(recipe, || first.take().map_or_else(free_port, Ok)).unwrap();
        assert_eq!(first, None, "the taken port was not tried");
        assert_ne!(server.port, taken);
        std::net::TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    }

    /// Stops a server and looks for what it leaves behind.
    pub fn leaves_nothing_behind(server: Server) {
        let (dir, port) = (server.dir.clone(), server.port);
        std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        drop(server);
        assert!(!dir.exists(), "{dir:?} was left behind");
        std::net::TcpStream::connect(("127.0.0.1", port)).unwrap_err();
    }
}
