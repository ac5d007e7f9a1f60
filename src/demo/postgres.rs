//! A PostgreSQL server of our own, in a temporary folder.
//!
//! What can go wrong, and what prevents it:
//! - a server outlives whoever started it (a panic, a kill, a closed terminal): the server is the
//!   child of a small shell that reads a pipe of which we hold the other end. The pipe closes when
//!   we drop it and when we die, whatever we die of; then the shell stops the server and removes
//!   the folder. There is no other way to stop it, so that this one is always the one in use;
//! - the server refuses to run as root: then it runs as an ordinary user, and binaries that this
//!   user cannot reach (a checkout below a private home) are copied into its folder;
//! - somebody takes the port between our choosing it and the server's binding it: another try;
//! - it is reachable by others: it listens on 127.0.0.1 only, every sign-in needs a password, and
//!   the folder is its user's alone.

mod account;
mod find;

use std::fs;
use std::io;
use std::net::TcpListener;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};
use std::time::{Duration, Instant};

use secrecy::ExposeSecret;

use self::account::Account;
use crate::engine::Credentials;
use crate::secret::password::PasswordPolicy;

/// Names a folder with `initdb` and `postgres`, to be preferred to what is found.
pub const BIN_ENV: &str = "TWINKEY_POSTGRES_BIN";
const SUPERUSER: &str = "root_admin";
const START_LIMIT: Duration = Duration::from_secs(60);
/// Stops the server as soon as standard input ends. An immediate stop: nobody reads the data again.
const KEEPER: &str = r#"dir=$1; shift; "$@" & server=$!; cat >/dev/null; kill -QUIT $server; wait $server; rm -rf -- "$dir""#;

/// What a server is started with.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder with `initdb` and `postgres`: see [`LocalPostgres::find`].
    pub bin: PathBuf,
    /// `name=value`, as for `postgres -c`.
    pub settings: Vec<String>,
    /// Lines of `pg_hba.conf` that come before "everybody on 127.0.0.1 with a password".
    pub hba: Vec<String>,
    /// Certificate chain and private key as PEM; `None`: a server without TLS.
    pub tls: Option<(String, String)>,
}

impl Options {
    /// A plain server.
    #[must_use]
    pub fn new(bin: PathBuf) -> Self {
        Self {
            bin,
            settings: Vec::new(),
            hba: Vec::new(),
            tls: None,
        }
    }
}

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LaunchError {
    #[error("no PostgreSQL server was found on this machine")]
    NotInstalled,
    #[error("{what}: {source}")]
    Io { what: String, source: io::Error },
    #[error("{what} failed: {output}")]
    Failed { what: String, output: String },
    #[error("there is neither a user postgres nor a user nobody to run the server as")]
    NoUser,
    #[error("no password could be drawn from the operating system's generator")]
    Random,
}

impl LaunchError {
    /// What to do now.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::NotInstalled => format!(
                "install PostgreSQL 15 or later (Debian: apt-get install postgresql), or name the folder of its `postgres` binary in {BIN_ENV}"
            ),
            Self::Io { .. } => {
                "see that the temporary folder is writable and has 100 MB left".into()
            }
            Self::Failed { .. } => {
                "the server's own words above say why; TMPDIR chooses another folder".into()
            }
            Self::NoUser => "run as an ordinary user: PostgreSQL refuses to run as root".into(),
            Self::Random => "try again".into(),
        }
    }
}

/// A running server; dropping it stops it and removes its folder.
#[derive(Debug)]
pub struct LocalPostgres {
    keeper: Child,
    dir: PathBuf,
    port: u16,
    superuser: Credentials,
}

impl LocalPostgres {
    /// Makes a cluster and starts it; returns when it takes connections. Blocks for a second or two.
    ///
    /// # Errors
    /// [`LaunchError`]
    pub fn start(options: &Options) -> Result<Self, LaunchError> {
        let account = Account::to_run_as()?;
        let dir = std::env::temp_dir().join(format!("twinkey-pg-{}", uuid::Uuid::new_v4()));
        let result = Self::start_in(options, &account, &dir);
        if result.is_err() {
            // The first error is the one to report.
            let _ = fs::remove_dir_all(&dir);
        }
        result
    }

    fn start_in(options: &Options, account: &Account, dir: &Path) -> Result<Self, LaunchError> {
        fs::DirBuilder::new()
            .mode(0o700)
            .create(dir)
            .map_err(io_error("the server's folder cannot be made"))?;
        account.own(dir)?;
        let bin = account.reachable(&options.bin, dir)?;
        let password = PasswordPolicy::default()
            .generate()
            .map_err(|_| LaunchError::Random)?;
        initdb(&bin, account, dir, password.expose_secret())?;
        configure(options, account, dir)?;
        let superuser = Credentials {
            username: SUPERUSER.into(),
            password,
        };
        let mut attempt = 0;
        loop {
            attempt += 1;
            let port = free_port()?;
            let mut keeper = account
                .command("sh")
                .arg("-c")
                .arg(KEEPER)
                .arg("keeper")
                .arg(dir)
                .arg(bin.join("postgres"))
                .arg("-D")
                .arg(dir.join("data"))
                .args(["-p", &port.to_string()])
                // Out of the terminal's reach: its Ctrl-C is for us, who then close the pipe.
                .process_group(0)
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(log_file(dir)?)
                .spawn()
                .map_err(io_error("the server cannot be started"))?;
            match wait_until_ready(dir, port) {
                Ok(()) => {
                    return Ok(Self {
                        keeper,
                        dir: dir.to_owned(),
                        port,
                        superuser,
                    });
                }
                Err(output) if attempt < 3 && output.contains("Address already in use") => {
                    // Its shell would remove the folder that the next try needs.
                    let _ = keeper.kill();
                    let _ = keeper.wait();
                }
                Err(output) => {
                    drop(keeper.stdin.take());
                    let _ = keeper.wait();
                    return Err(LaunchError::Failed {
                        what: "the start of the server".into(),
                        output,
                    });
                }
            }
        }
    }

    /// Where it listens, with [`Self::port`].
    #[must_use]
    pub const fn host(&self) -> &'static str {
        "127.0.0.1"
    }

    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The cluster's superuser, who on RDS would be out of reach.
    #[must_use]
    pub const fn superuser(&self) -> &Credentials {
        &self.superuser
    }

    /// The server's log.
    #[must_use]
    pub fn log_path(&self) -> PathBuf {
        self.dir.join("log")
    }
}

impl Drop for LocalPostgres {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        // Nothing is left to do about a shell that cannot be waited for.
        let _ = self.keeper.wait();
    }
}

fn initdb(bin: &Path, account: &Account, dir: &Path, password: &str) -> Result<(), LaunchError> {
    let file = dir.join("password");
    account.write(&file, password)?;
    let output = account
        .command(bin.join("initdb"))
        .arg("-D")
        .arg(dir.join("data"))
        .args(["-U", SUPERUSER, "--auth=scram-sha-256", "-E", "UTF8"])
        .args(["--locale=C.UTF-8", "--no-sync", "--no-instructions"])
        .arg("--pwfile")
        .arg(&file)
        .output();
    succeeded("initdb", output)?;
    fs::remove_file(&file).map_err(io_error("the first password's file cannot be removed"))
}

fn configure(options: &Options, account: &Account, dir: &Path) -> Result<(), LaunchError> {
    let data = dir.join("data");
    let hba = format!(
        "{}\nlocal all all scram-sha-256\nhost all all 127.0.0.1/32 scram-sha-256\n",
        options.hba.join("\n")
    );
    account.write(&data.join("pg_hba.conf"), &hba)?;
    let mut settings = vec![
        "listen_addresses = '127.0.0.1'".to_owned(),
        "unix_socket_directories = ''".to_owned(),
        "fsync = off".to_owned(),
        "logging_collector = off".to_owned(),
        "timezone = 'UTC'".to_owned(),
    ];
    if let Some((certificate, key)) = &options.tls {
        account.write(&data.join("server.crt"), certificate)?;
        account.write(&data.join("server.key"), key)?;
        settings.push("ssl = on".to_owned());
    }
    for setting in &options.settings {
        let (name, value) = setting.split_once('=').unwrap_or((setting, ""));
        settings.push(format!("{name} = '{}'", value.replace('\'', "''")));
    }
    account.write(
        &data.join("postgresql.auto.conf"),
        &(settings.join("\n") + "\n"),
    )?;
    account.write(&dir.join("log"), "")
}

#[expect(
    clippy::disallowed_methods,
    reason = "starting a server blocks; callers hand it to a thread for that"
)]
fn wait_until_ready(dir: &Path, port: u16) -> Result<(), String> {
    let log = || fs::read_to_string(dir.join("log")).unwrap_or_default();
    let deadline = Instant::now() + START_LIMIT;
    loop {
        // The eighth line of postmaster.pid is the postmaster's state (src/include/utils/pidfile.h).
        let pid = fs::read_to_string(dir.join("data/postmaster.pid")).unwrap_or_default();
        let mut lines = pid.lines();
        let same_port = lines.nth(3) == Some(port.to_string().as_str());
        if same_port && lines.nth(3).is_some_and(|state| state.trim() == "ready") {
            return Ok(());
        }
        let text = log();
        if text.contains("FATAL:") || text.contains("keeper: ") || Instant::now() > deadline {
            return Err(text);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn log_file(dir: &Path) -> Result<fs::File, LaunchError> {
    fs::OpenOptions::new()
        .write(true)
        .truncate(true)
        .open(dir.join("log"))
        .map_err(io_error("the server's log cannot be opened"))
}

fn free_port() -> Result<u16, LaunchError> {
    TcpListener::bind(("127.0.0.1", 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(io_error("no port is free on 127.0.0.1"))
}

fn succeeded(what: &str, output: io::Result<Output>) -> Result<(), LaunchError> {
    let output = output.map_err(io_error(what))?;
    if output.status.success() {
        return Ok(());
    }
    Err(LaunchError::Failed {
        what: what.to_owned(),
        output: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}

fn io_error(what: &str) -> impl FnOnce(io::Error) -> LaunchError {
    let what = what.to_owned();
    move |source| LaunchError::Io { what, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_installed_server_starts_and_leaves_nothing_behind() {
        for (version, bin) in LocalPostgres::installed() {
            let server = LocalPostgres::start(&Options::new(bin)).unwrap();
            let (dir, port) = (server.dir.clone(), server.port());
            std::net::TcpStream::connect((server.host(), port)).unwrap();
            drop(server);
            assert!(!dir.exists(), "PostgreSQL {version} left {dir:?} behind");
            std::net::TcpStream::connect(("127.0.0.1", port)).unwrap_err();
        }
    }

    #[test]
    fn a_folder_without_a_server_is_an_error_that_names_what_failed() {
        let error = LocalPostgres::start(&Options::new("/nonexistent".into())).unwrap_err();
        assert!(matches!(error, LaunchError::Io { .. }), "{error}");
    }
}
