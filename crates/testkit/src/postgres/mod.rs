//! A PostgreSQL server in a temporary folder. Its failure modes are those of [`super::server`].

mod find;

use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use secrecy::ExposeSecret;

pub use super::server::LaunchError;
use super::server::{Account, Recipe, SUPERUSER, Server, StartState, io_error, succeeded};
use twinkey_core::secret::Credentials;

/// The variable with the preferred folder of `initdb` and `postgres`.
pub const BIN_ENV: &str = "TWINKEY_POSTGRES_BIN";

/// The options of a server.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder with `initdb` and `postgres`: see [`LocalPostgres::find`].
    pub bin: PathBuf,
    /// `name=value`, as for `postgres -c`.
    pub settings: Vec<String>,
    /// Lines of `pg_hba.conf` before the line that allows passwords on 127.0.0.1.
    pub hba: Vec<String>,
    /// Certificate chain and private key as PEM; `None`: a server without TLS.
    pub tls: Option<(String, String)>,
    /// The server is a replica without a primary: it is in recovery and accepts no writes.
    pub is_replica: bool,
    /// The server is a streaming replica of this one, with its data and settings.
    pub primary: Option<Primary>,
}

/// The port and the superuser of a replica's primary.
#[derive(Debug, Clone)]
pub struct Primary {
    pub port: u16,
    pub superuser: Credentials,
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
            is_replica: false,
            primary: None,
        }
    }
}

/// A running server. Dropping it stops it and removes its folder.
#[derive(Debug)]
pub struct LocalPostgres(Server);

impl LocalPostgres {
    /// Creates a cluster and starts it. Blocks until it accepts connections, about two seconds.
    ///
    /// # Errors
    /// [`LaunchError`]
    pub fn start(options: &Options) -> Result<Self, LaunchError> {
        Server::start(options).map(Self)
    }

    /// Starts a streaming replica with these settings. Blocks until it accepts connections.
    ///
    /// # Errors
    /// [`LaunchError`]
    pub fn start_replica(&self, bin: PathBuf, settings: &[&str]) -> Result<Self, LaunchError> {
        let mut options = Options::new(bin);
        options.settings = settings.iter().map(|&setting| setting.into()).collect();
        options.primary = Some(Primary {
            port: self.port(),
            superuser: self.superuser().clone(),
        });
        let mut replica = Self::start(&options)?;
        replica.0.superuser = self.superuser().clone();
        Ok(replica)
    }

    /// Restarts the server, which ends its sessions. It accepts connections a while later.
    ///
    /// # Errors
    /// [`LaunchError`]
    pub fn restart(&mut self) -> Result<(), LaunchError> {
        self.0.restart("INT")
    }

    /// The host of the server.
    #[must_use]
    pub const fn host(&self) -> &'static str {
        "127.0.0.1"
    }

    #[must_use]
    pub const fn port(&self) -> u16 {
        self.0.port
    }

    /// The superuser of the cluster, which RDS does not provide.
    #[must_use]
    pub const fn superuser(&self) -> &Credentials {
        &self.0.superuser
    }

    /// The server's log.
    #[must_use]
    pub fn log_path(&self) -> PathBuf {
        self.0.dir.join("log")
    }
}

impl Recipe for Options {
    const FOLDER: &'static str = "twinkey-pg";
    const USERS: &'static [&'static str] = &["postgres", "nobody"];
    /// An immediate shutdown, including child processes.
    const STOP: &'static str = "QUIT";

    fn prepare(
        &self,
        account: &Account,
        dir: &Path,
        superuser: &Credentials,
    ) -> Result<Vec<OsString>, LaunchError> {
        let bin = fs::canonicalize(&self.bin)
            .map_err(io_error("the server's binaries cannot be read"))?;
        let name = bin.file_name().unwrap_or_default();
        let installation = bin.parent().unwrap_or(&bin);
        let installation = account.reachable(installation, dir, |installation| {
            let mut command = Command::new(installation.join(name).join("postgres"));
            command.arg("--version");
            command
        })?;
        let bin = installation.join(name);
        if let Some(primary) = &self.primary {
            base_backup(&bin, account, dir, primary)?;
            append_settings(self, &dir.join("data"))?;
        } else {
            initdb(&bin, account, dir, superuser.password.expose_secret())?;
            configure(self, account, &dir.join("data"))?;
        }
        Ok(vec![
            bin.join("postgres").into(),
            "-D".into(),
            dir.join("data").into(),
        ])
    }

    fn state(&self, dir: &Path, log: &str, port: u16) -> StartState {
        // The eighth line of postmaster.pid is the postmaster's state (src/include/utils/pidfile.h).
        let pid = fs::read_to_string(dir.join("data/postmaster.pid")).unwrap_or_default();
        let mut lines = pid.lines();
        let same_port = lines.nth(3) == Some(port.to_string().as_str());
        if same_port && lines.nth(3).is_some_and(|state| state.trim() == "ready") {
            return StartState::Ready;
        }
        match log {
            // Logged before the FATAL message.
            log if log.contains("Address already in use") => StartState::PortTaken,
            log if log.contains("FATAL:") => StartState::Failed,
            _ => StartState::Starting,
        }
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

/// Copies the primary's data and the settings that follow it.
fn base_backup(
    bin: &Path,
    account: &Account,
    dir: &Path,
    primary: &Primary,
) -> Result<(), LaunchError> {
    let output = account
        .command(bin.join("pg_basebackup"))
        .env("PGPASSWORD", primary.superuser.password.expose_secret())
        .arg("-D")
        .arg(dir.join("data"))
        .args(["-h", "127.0.0.1", "-p", &primary.port.to_string()])
        .args(["-U", &primary.superuser.username])
        .args(["--write-recovery-conf", "--wal-method=stream"])
        .args(["--checkpoint=fast", "--no-sync"])
        .output();
    succeeded("pg_basebackup", output)
}

/// Appends to the settings that were copied. The file stays the server's.
fn append_settings(options: &Options, data: &Path) -> Result<(), LaunchError> {
    let settings: String = options.settings.iter().map(|s| setting(s) + "\n").collect();
    let write = || {
        let mut file = fs::OpenOptions::new()
            .append(true)
            .open(data.join("postgresql.auto.conf"))?;
        file.write_all(settings.as_bytes())
    };
    write().map_err(io_error("the replica's settings cannot be written"))
}

/// A line of `postgresql.conf` for `name=value`.
fn setting(setting: &str) -> String {
    let (name, value) = setting.split_once('=').unwrap_or((setting, ""));
    format!("{name} = '{}'", value.replace('\'', "''"))
}

fn configure(options: &Options, account: &Account, data: &Path) -> Result<(), LaunchError> {
    let hba = format!(
        "{}\nlocal all all scram-sha-256\nhost all all 127.0.0.1/32 scram-sha-256\nhost replication all 127.0.0.1/32 scram-sha-256\n",
        options.hba.join("\n")
    );
    account.write(&data.join("pg_hba.conf"), &hba)?;
    if options.is_replica {
        account.write(&data.join("standby.signal"), "")?;
    }
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
        settings.push(self::setting(setting));
    }
    account.write(
        &data.join("postgresql.auto.conf"),
        &(settings.join("\n") + "\n"),
    )
}

#[cfg(test)]
mod tests {
    use super::super::server::tests::{moves_to_another_port, releases_everything};
    use super::*;

    #[test]
    fn every_installed_server_starts_and_its_files_are_removed() {
        for (version, bin) in LocalPostgres::installed() {
            eprintln!("PostgreSQL {version}");
            releases_everything(LocalPostgres::start(&Options::new(bin)).unwrap().0);
        }
    }

    #[test]
    fn the_server_starts_on_another_port_if_its_port_is_taken() {
        moves_to_another_port(&Options::new(LocalPostgres::find(None).unwrap()));
    }

    #[test]
    fn a_folder_without_a_server_is_an_error() {
        let error = LocalPostgres::start(&Options::new("/nonexistent".into())).unwrap_err();
        assert!(matches!(error, LaunchError::Io { .. }), "{error}");
    }
}
