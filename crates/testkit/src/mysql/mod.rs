//! A MariaDB or MySQL server in a temporary folder.
//!
//! `skip_name_resolve` is off, the default of both servers: a client on 127.0.0.1 is `localhost`
//! without DNS. The accounts `'x'@'%'`, `'x'@'localhost'` and `'x'@'127.0.0.1'` all match it. With
//! `skip_name_resolve=ON`, `'x'@'localhost'` does not match.
//!
//! # Failure modes
//! Those of [`super::server`], and:
//! - The superuser's password appears in process arguments, the environment or a log: the
//!   statements that create the superuser are in a file. The server reads it while it creates its
//!   data, when it neither listens nor logs statements. Then the file is removed.
//! - A sign-in needs no password: the accounts of a default installation are removed before the
//!   server listens, and there is no Unix socket.
//! - The configuration of a system server interferes: the server gets `--no-defaults`, and all its
//!   paths are in the folder.
//! - Two servers share a `tmpdir`, and one removes the temporary tables of the other: the folder is
//!   the `tmpdir`.

mod find;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use secrecy::ExposeSecret;

use self::find::Installation;
pub use self::find::{MARIADB_BIN_ENV, MYSQL_ROOT_ENV, Program, find_for_test};
pub use super::server::LaunchError;
use super::server::{Account, Recipe, Server, StartState, io_error, succeeded};
use twinkey_core::secret::Credentials;

/// The product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavor {
    Mariadb,
    Mysql,
}

/// The data is small, and is not read after the server stops.
const SMALL_AND_FAST: [&str; 4] = [
    "--innodb-buffer-pool-size=32M",
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-flush-method=nosync",
    "--innodb-doublewrite=OFF",
];

/// The options of a server.
#[derive(Debug, Clone)]
pub struct Options {
    /// See [`LocalMysql::find`].
    pub program: Program,
    /// `name=value`, as on the command line without dashes. They apply to the running server and
    /// not to the creation of its data.
    pub settings: Vec<String>,
    /// Certificate chain and private key as PEM. `None`: MariaDB without TLS; MySQL with a
    /// certificate that it creates, because its passwords need TLS.
    pub tls: Option<(String, String)>,
}

impl Options {
    /// A plain server.
    #[must_use]
    pub const fn new(program: Program) -> Self {
        Self {
            program,
            settings: Vec::new(),
            tls: None,
        }
    }
}

/// A running server. Dropping it stops it and removes its folder.
#[derive(Debug)]
pub struct LocalMysql {
    server: Server,
    program: Program,
}

impl LocalMysql {
    /// Creates the data and starts the server. Blocks until it accepts connections: one second for
    /// MariaDB, four for MySQL.
    ///
    /// # Errors
    /// [`LaunchError`]
    pub fn start(options: &Options) -> Result<Self, LaunchError> {
        Ok(Self {
            server: Server::start(options)?,
            program: options.program.clone(),
        })
    }

    /// The host of the server.
    #[must_use]
    pub const fn host(&self) -> &'static str {
        "127.0.0.1"
    }

    /// Restarts the server, which ends its sessions. It accepts connections a while later.
    ///
    /// # Errors
    /// [`LaunchError`]
    pub fn restart(&mut self) -> Result<(), LaunchError> {
        self.server.restart("TERM")
    }

    #[must_use]
    pub const fn port(&self) -> u16 {
        self.server.port
    }

    /// `root_admin`@`%` with all privileges, which RDS does not provide.
    #[must_use]
    pub const fn superuser(&self) -> &Credentials {
        &self.server.superuser
    }

    #[must_use]
    pub const fn flavor(&self) -> Flavor {
        self.program.flavor()
    }

    /// For example `10.11.19`.
    #[must_use]
    pub fn version(&self) -> &str {
        self.program.version()
    }

    /// The general log. It exists with `general_log=ON` in the settings.
    #[must_use]
    pub fn log_path(&self) -> PathBuf {
        self.server.dir.join("general.log")
    }

    /// The root of the certificate that MySQL creates for itself.
    #[must_use]
    pub fn own_root(&self) -> PathBuf {
        self.server.dir.join("data/ca.pem")
    }

    /// The server's error log.
    #[must_use]
    pub fn error_log_path(&self) -> PathBuf {
        self.server.dir.join("log")
    }
}

impl Recipe for Options {
    const FOLDER: &'static str = "twinkey-my";
    const USERS: &'static [&'static str] = &["mysql", "nobody"];
    /// An orderly shutdown would write the data first.
    const STOP: &'static str = "KILL";

    fn prepare(
        &self,
        account: &Account,
        dir: &Path,
        superuser: &Credentials,
    ) -> Result<Vec<OsString>, LaunchError> {
        let installation = self.program.installation().reachable(account, dir)?;
        let first = dir.join("first.sql");
        account.write(&first, &first_statements(self.program.flavor(), superuser))?;
        make_data(&installation, account, dir, &first)?;
        fs::remove_file(&first).map_err(io_error("the first password's file cannot be removed"))?;

        let mut command = installation.server();
        command.extend(common_options(dir));
        command.push(path_option("--pid-file", &dir.join("pid")));
        command.push(path_option("--general-log-file", &dir.join("general.log")));
        command.extend(
            ["--bind-address=127.0.0.1", "--socket=", "--skip-log-bin"].map(OsString::from),
        );
        match self.program.flavor() {
            // If the library is missing, the server logs it and starts.
            Flavor::Mariadb => command.push("--plugin-load-add=auth_ed25519".into()),
            Flavor::Mysql => command.push("--mysqlx=OFF".into()),
        }
        if let Some((certificate, key)) = &self.tls {
            let (certificate_file, key_file) = (dir.join("server.crt"), dir.join("server.key"));
            account.write(&certificate_file, certificate)?;
            account.write(&key_file, key)?;
            command.push(path_option("--ssl-cert", &certificate_file));
            command.push(path_option("--ssl-key", &key_file));
        } else if self.program.flavor() == Flavor::Mariadb {
            command.push("--skip-ssl".into());
        }
        command.extend(self.settings.iter().map(|s| format!("--{s}").into()));
        Ok(command)
    }

    fn state(&self, _dir: &Path, log: &str, port: u16) -> StartState {
        // One line in MySQL, two in MariaDB.
        let listens = log
            .split_once("ready for connections.")
            .is_some_and(|(_, rest)| rest.contains(&format!("port: {port}")));
        let ended = log.contains("Aborting");
        match log {
            _ if listens => StartState::Ready,
            log if log.contains("Bind on TCP/IP port") && ended => StartState::PortTaken,
            _ if ended => StartState::Failed,
            _ => StartState::Starting,
        }
    }
}

/// Statements that create the superuser and remove the default accounts that can sign in.
fn first_statements(flavor: Flavor, superuser: &Credentials) -> String {
    let name = &superuser.username;
    let password = text_literal(superuser.password.expose_secret());
    let remove_default_accounts = match flavor {
        // root has no password on any host name of this machine. mariadb.sys owns views.
        Flavor::Mariadb => {
            "DELETE FROM mysql.global_priv WHERE User <> 'mariadb.sys';\nFLUSH PRIVILEGES;"
        }
        Flavor::Mysql => "DROP USER root@localhost;",
    };
    format!(
        "{remove_default_accounts}\n\
         CREATE USER {name}@'%' IDENTIFIED BY {password};\n\
         GRANT ALL PRIVILEGES ON *.* TO {name}@'%' WITH GRANT OPTION;\n"
    )
}

/// A text literal of SQL under the default `sql_mode`.
pub fn text_literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

fn make_data(
    installation: &Installation,
    account: &Account,
    dir: &Path,
    first: &Path,
) -> Result<(), LaunchError> {
    let (mut arguments, what) = match installation {
        Installation::Mariadb { install_db, .. } => (
            vec![
                install_db.into(),
                "--no-defaults".into(),
                // The default method creates accounts that sign in over a Unix socket.
                "--auth-root-authentication-method=normal".into(),
                "--skip-test-db".into(),
                path_option("--extra-file", first),
            ],
            "mariadb-install-db",
        ),
        Installation::Root(_) | Installation::Mysqld(_) => {
            let mut command = installation.server();
            // "Insecure" means a root without a password. The file drops that user.
            command.push("--initialize-insecure".into());
            command.push(path_option("--init-file", first));
            (command, "mysqld --initialize-insecure")
        }
    };
    arguments.extend(common_options(dir));
    let mut arguments = arguments.into_iter();
    let program = arguments.next().unwrap_or_default();
    succeeded(what, account.command(program).args(arguments).output())
}

/// Options for the creation of the data and for the server.
fn common_options(dir: &Path) -> Vec<OsString> {
    let mut options = vec![
        path_option("--datadir", &dir.join("data")),
        path_option("--tmpdir", dir),
    ];
    options.extend(SMALL_AND_FAST.map(OsString::from));
    options
}

fn path_option(name: &str, path: &Path) -> OsString {
    let mut option = OsString::from(name);
    option.push("=");
    option.push(path);
    option
}

#[cfg(test)]
mod tests;
