//! A MariaDB or MySQL server of our own, in a temporary folder.
//!
//! What can go wrong with any server: [`super::server`]. With these besides:
//! - the superuser's password shows in a process's arguments, in its environment or in a log: the
//!   statements that make the superuser are in a file of the folder, which the server reads while it
//!   makes its data, when it neither listens nor logs statements; then the file is removed;
//! - somebody signs in without a password: the accounts that an installation makes by itself are
//!   gone before the server listens, and there is no Unix socket;
//! - a server of the system, or its configuration, is in the way: `--no-defaults`, and every path is
//!   in the folder;
//! - two servers share a `tmpdir`: each removes what it takes for an older server's temporary tables
//!   when it starts, under the other's feet. Theirs is the folder too.
//!
//! `skip_name_resolve` is off, as both servers come: a client on 127.0.0.1 is `localhost` to the
//! server without any DNS, and the accounts `'x'@'%'`, `'x'@'localhost'` and `'x'@'127.0.0.1'` all
//! match it. With `skip_name_resolve=ON` in the settings, `'x'@'localhost'` does not.

mod find;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use secrecy::ExposeSecret;

use self::find::Place;
pub use self::find::{MARIADB_BIN_ENV, MYSQL_ROOT_ENV, Program};
pub use super::server::LaunchError;
use super::server::{Account, Recipe, Server, State, io_error, succeeded};
use twinkey_core::secret::Credentials;

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavor {
    Mariadb,
    Mysql,
}

/// Data is small, and nobody reads it again after the server has stopped.
const SMALL_AND_FAST: [&str; 4] = [
    "--innodb-buffer-pool-size=32M",
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-flush-method=nosync",
    "--innodb-doublewrite=OFF",
];

/// What a server is started with.
#[derive(Debug, Clone)]
pub struct Options {
    /// See [`LocalMysql::find`].
    pub program: Program,
    /// `name=value`, as on the command line without its dashes. For the running server only: what
    /// has to be known when the data is made cannot be set.
    pub settings: Vec<String>,
    /// Certificate chain and private key as PEM. `None`: MariaDB without TLS; MySQL with a
    /// certificate of its own making, since its passwords need TLS.
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

/// A running server; dropping it stops it and removes its folder.
#[derive(Debug)]
pub struct LocalMysql {
    server: Server,
    program: Program,
}

impl LocalMysql {
    /// Makes the data and starts it; returns when it takes connections. Blocks for a second
    /// (MariaDB) or four (MySQL).
    ///
    /// # Errors
    /// [`LaunchError`]
    pub fn start(options: &Options) -> Result<Self, LaunchError> {
        Ok(Self {
            server: Server::start(options)?,
            program: options.program.clone(),
        })
    }

    /// Where it listens, with [`Self::port`].
    #[must_use]
    pub const fn host(&self) -> &'static str {
        "127.0.0.1"
    }

    #[must_use]
    pub const fn port(&self) -> u16 {
        self.server.port
    }

    /// `root_admin`@`%` with all privileges, who on RDS would be out of reach.
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

    /// The general log, which is there with `general_log=ON` in the settings.
    #[must_use]
    pub fn log_path(&self) -> PathBuf {
        self.server.dir.join("general.log")
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
    /// An orderly shutdown would write the data out first.
    const STOP: &'static str = "KILL";

    fn prepare(
        &self,
        account: &Account,
        dir: &Path,
        superuser: &Credentials,
    ) -> Result<Vec<OsString>, LaunchError> {
        let place = self.program.place().reachable(account, dir)?;
        let first = dir.join("first.sql");
        account.write(&first, &first_statements(self.program.flavor(), superuser))?;
        make_data(&place, account, dir, &first)?;
        fs::remove_file(&first).map_err(io_error("the first password's file cannot be removed"))?;

        let mut command = place.server();
        command.extend(common_options(dir));
        command.push(path_option("--pid-file", &dir.join("pid")));
        command.push(path_option("--general-log-file", &dir.join("general.log")));
        command.extend(
            ["--bind-address=127.0.0.1", "--socket=", "--skip-log-bin"].map(OsString::from),
        );
        match self.program.flavor() {
            // Where the library is missing, the server says so in its log and starts.
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

    fn state(&self, _dir: &Path, log: &str, port: u16) -> State {
        // One line in MySQL, two in MariaDB. No other server writes into this log.
        let listens = log
            .split_once("ready for connections.")
            .is_some_and(|(_, rest)| rest.contains(&format!("port: {port}")));
        let ended = log.contains("Aborting");
        match log {
            _ if listens => State::Ready,
            log if log.contains("Bind on TCP/IP port") && ended => State::PortTaken,
            _ if ended => State::Failed,
            _ => State::Starting,
        }
    }
}

/// The superuser, and nobody else but the server's own locked accounts.
fn first_statements(flavor: Flavor, superuser: &Credentials) -> String {
    let name = &superuser.username;
    let password = text_literal(superuser.password.expose_secret());
    let nobody_else = match flavor {
        // root is made without a password, on each of this machine's names; mariadb.sys owns views.
        Flavor::Mariadb => {
            "DELETE FROM mysql.global_priv WHERE User <> 'mariadb.sys';\nFLUSH PRIVILEGES;"
        }
        Flavor::Mysql => "DROP USER root@localhost;",
    };
    format!(
        "{nobody_else}\n\
         CREATE USER {name}@'%' IDENTIFIED BY {password};\n\
         GRANT ALL PRIVILEGES ON *.* TO {name}@'%' WITH GRANT OPTION;\n"
    )
}

/// A text as SQL writes it under the servers' usual `sql_mode`.
pub fn text_literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

fn make_data(
    place: &Place,
    account: &Account,
    dir: &Path,
    first: &Path,
) -> Result<(), LaunchError> {
    let (mut arguments, what) = match place {
        Place::Mariadb { install_db, .. } => (
            vec![
                install_db.into(),
                "--no-defaults".into(),
                // Else it makes accounts that sign in over a Unix socket.
                "--auth-root-authentication-method=normal".into(),
                "--skip-test-db".into(),
                path_option("--extra-file", first),
            ],
            "mariadb-install-db",
        ),
        Place::Root(_) | Place::Mysqld(_) => {
            let mut command = place.server();
            // "Insecure" is a root without a password; the file drops it.
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

/// For making the data, and for serving it.
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
