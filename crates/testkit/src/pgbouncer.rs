//! A PgBouncer in a temporary folder, in front of a PostgreSQL server. Its failure modes are those of
//! [`super::server`].

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use secrecy::ExposeSecret;

pub use super::server::LaunchError;
use super::server::{Account, Recipe, Server, StartState};
use twinkey_core::secret::Credentials;

/// Writes the port, which is the last argument, into the settings, and becomes PgBouncer.
const START: &str = r#"printf 'listen_port = %s\n' "${3#--port=}" >>"$2"; exec "$1" "$2""#;

/// The options of a PgBouncer.
#[derive(Debug, Clone)]
pub struct Options {
    /// The port of the database on 127.0.0.1.
    pub server: u16,
    /// Lines of the section `[pgbouncer]`.
    pub settings: Vec<String>,
    /// The users of `auth_file`, with their passwords.
    pub users: Vec<Credentials>,
}

/// A running PgBouncer. Dropping it stops it and removes its folder.
#[derive(Debug)]
pub struct PgBouncer(Server);

impl PgBouncer {
    /// Starts one with `auth_type = scram-sha-256`. Blocks until it accepts connections.
    ///
    /// # Errors
    /// [`LaunchError`]
    pub fn start(options: &Options) -> Result<Self, LaunchError> {
        Server::start(options).map(Self)
    }

    #[must_use]
    pub const fn port(&self) -> u16 {
        self.0.port
    }

    /// The file with the process id.
    #[must_use]
    pub fn pid_file(&self) -> PathBuf {
        self.0.dir.join("pid")
    }

    /// `auth_file`, which PgBouncer reads again at SIGHUP.
    #[must_use]
    pub fn user_list(&self) -> PathBuf {
        self.0.dir.join("users.txt")
    }
}

/// The program; Debian installs it outside of the PATH of ordinary users.
fn program() -> Result<PathBuf, LaunchError> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into()]);
    let mut programs = folders.map(|folder| folder.join("pgbouncer"));
    programs
        .find(|program| program.exists())
        .ok_or_else(|| LaunchError::NotInstalled {
            server: "pgbouncer",
            hint: "install PgBouncer (Debian: apt-get install pgbouncer)".into(),
        })
}

impl Recipe for Options {
    const FOLDER: &'static str = "twinkey-pgbouncer";
    const USERS: &'static [&'static str] = &["postgres", "nobody"];
    /// An immediate shutdown.
    const STOP: &'static str = "TERM";

    fn prepare(
        &self,
        account: &Account,
        dir: &Path,
        _superuser: &Credentials,
    ) -> Result<Vec<OsString>, LaunchError> {
        let program = program()?;
        let users: String = (self.users.iter())
            .map(|user| {
                let password = user.password.expose_secret();
                format!("\"{}\" \"{password}\"\n", user.username)
            })
            .collect();
        account.write(&dir.join("users.txt"), &users)?;
        let settings = format!(
            "[databases]\n* = host=127.0.0.1 port={}\n\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             unix_socket_dir =\nauth_type = scram-sha-256\nauth_file = {}\npidfile = {}\n{}\n",
            self.server,
            dir.join("users.txt").display(),
            dir.join("pid").display(),
            self.settings.join("\n"),
        );
        let file = dir.join("pgbouncer.ini");
        account.write(&file, &settings)?;
        let command: [OsString; 5] = [
            "sh".into(),
            "-c".into(),
            START.into(),
            "start".into(),
            program.into(),
        ];
        Ok(command.into_iter().chain([file.into()]).collect())
    }

    fn state(&self, _dir: &Path, log: &str, _port: u16) -> StartState {
        if log.contains("Address already in use") {
            StartState::PortTaken
        } else if log.contains("FATAL") {
            StartState::Failed
        } else if log.contains("process up") {
            StartState::Ready
        } else {
            StartState::Starting
        }
    }
}
