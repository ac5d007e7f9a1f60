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

use std::fs;
use std::io;
use std::net::TcpListener;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use secrecy::ExposeSecret;

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
    /// The servers on this machine as (major version, folder of binaries), lowest version first.
    /// Looked for in `$TWINKEY_POSTGRES_BIN`, `.cache/node/node_modules/pg*` of the current folder,
    /// `/usr/lib/postgresql` and `$PATH`; of one version, the first.
    #[must_use]
    pub fn installed() -> Vec<(u32, PathBuf)> {
        let mut found: Vec<(u32, PathBuf)> = Vec::new();
        for bin in candidates() {
            if let Some(major) = major_version(&bin)
                && !found.iter().any(|(known, _)| *known == major)
            {
                found.push((major, bin));
            }
        }
        found.sort();
        found
    }

    /// The folder of binaries of that major version; without one, of `$TWINKEY_POSTGRES_BIN`, else
    /// of the newest.
    ///
    /// # Errors
    /// [`LaunchError::NotInstalled`]
    pub fn find(version: Option<u32>) -> Result<PathBuf, LaunchError> {
        let preferred = std::env::var_os(BIN_ENV)
            .map(PathBuf::from)
            .filter(|bin| version.is_none() && major_version(bin).is_some());
        preferred
            .or_else(|| {
                Self::installed()
                    .into_iter()
                    .rev()
                    .find(|(major, _)| version.is_none_or(|wanted| wanted == *major))
                    .map(|(_, bin)| bin)
            })
            .ok_or(LaunchError::NotInstalled)
    }

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

/// Who runs the server: ourselves, or an ordinary user where we are root.
struct Account(Option<(u32, u32)>);

impl Account {
    fn to_run_as() -> Result<Self, LaunchError> {
        let me = fs::metadata("/proc/self").map_err(io_error("/proc/self cannot be read"))?;
        if me.uid() != 0 {
            return Ok(Self(None));
        }
        let passwd =
            fs::read_to_string("/etc/passwd").map_err(io_error("/etc/passwd cannot be read"))?;
        ["postgres", "nobody"]
            .iter()
            .find_map(|name| ids_of(&passwd, name))
            .map(|ids| Self(Some(ids)))
            .ok_or(LaunchError::NoUser)
    }

    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        // A PG* variable of the caller must not reach into the server; `/` is a folder for everybody.
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("LC_ALL", "C.UTF-8")
            .current_dir("/");
        if let Some((uid, gid)) = self.0 {
            command.uid(uid).gid(gid);
        }
        command
    }

    fn own(&self, path: &Path) -> Result<(), LaunchError> {
        match self.0 {
            Some((uid, gid)) => chown(path, Some(uid), Some(gid))
                .map_err(io_error("the server's files cannot be handed over")),
            None => Ok(()),
        }
    }

    /// `bin` itself, or a copy of its installation in `dir` if the account cannot reach it.
    fn reachable(&self, bin: &Path, dir: &Path) -> Result<PathBuf, LaunchError> {
        let bin =
            fs::canonicalize(bin).map_err(io_error("the server's binaries cannot be read"))?;
        let reached = self
            .command(bin.join("postgres"))
            .arg("--version")
            .output()
            .is_ok_and(|output| output.status.success());
        if reached {
            return Ok(bin);
        }
        let installation = bin.parent().unwrap_or(&bin);
        let copy = dir.join("installation");
        let output = Command::new("cp")
            .arg("-RL")
            .arg(installation)
            .arg(&copy)
            .output();
        succeeded("copying the server's binaries", output)?;
        if let Some((uid, gid)) = self.0 {
            let output = Command::new("chown")
                .arg("-R")
                .arg(format!("{uid}:{gid}"))
                .arg(&copy)
                .output();
            succeeded("handing the server's binaries over", output)?;
        }
        Ok(copy.join(bin.file_name().unwrap_or_default()))
    }

    fn write(&self, path: &Path, text: &str) -> Result<(), LaunchError> {
        let failed = || io_error("the server's files cannot be written");
        // Empty and closed to others first, so that no secret is readable even for an instant.
        fs::write(path, "").map_err(failed())?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(failed())?;
        fs::write(path, text).map_err(failed())?;
        self.own(path)
    }
}

fn ids_of(passwd: &str, name: &str) -> Option<(u32, u32)> {
    let line = passwd
        .lines()
        .find(|line| line.split(':').next() == Some(name))?;
    let mut ids = line.split(':').skip(2);
    Some((ids.next()?.parse().ok()?, ids.next()?.parse().ok()?))
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

fn candidates() -> Vec<PathBuf> {
    let below = |folder: &str, rest: &str| -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(folder) else {
            return Vec::new();
        };
        entries
            .flatten()
            .map(|entry| entry.path().join(rest))
            .collect()
    };
    let mut all: Vec<PathBuf> = std::env::var_os(BIN_ENV)
        .map(PathBuf::from)
        .into_iter()
        .collect();
    all.extend(below(".cache/node/node_modules", "native/bin"));
    all.extend(below("/usr/lib/postgresql", "bin"));
    if let Some(path) = std::env::var_os("PATH") {
        all.extend(std::env::split_paths(&path));
    }
    all.retain(|bin| bin.join("initdb").exists() && bin.join("postgres").exists());
    all.iter()
        .filter_map(|bin| fs::canonicalize(bin).ok())
        .collect()
}

/// `15` of `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
fn major_version(bin: &Path) -> Option<u32> {
    let output = Command::new(bin.join("postgres"))
        .arg("--version")
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let version = text.split("(PostgreSQL) ").nth(1)?;
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
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
