//! The MariaDB and MySQL servers of this machine, and their command lines.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::locations::cache;

use super::super::server::Account;
use super::{Flavor, LaunchError, LocalMysql, path_option};

/// The variable with the preferred folder of `mariadbd` and `mariadb-install-db`.
pub const MARIADB_BIN_ENV: &str = "TWINKEY_MARIADB_BIN";
/// The variable with a root file system that has a MySQL server (`scripts/setup-mysql`).
pub const MYSQL_ROOT_ENV: &str = "TWINKEY_MYSQL_ROOT";

/// An installed server ([`LocalMysql::find`]).
#[derive(Debug, Clone)]
pub struct Program {
    flavor: Flavor,
    version: String,
    installation: Installation,
}

impl Program {
    #[must_use]
    pub const fn flavor(&self) -> Flavor {
        self.flavor
    }

    /// For example `10.11.19`.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    pub(super) const fn installation(&self) -> &Installation {
        &self.installation
    }
}

/// The files of an installed server.
#[derive(Debug, Clone)]
pub(super) enum Installation {
    Mariadb {
        server: PathBuf,
        install_db: PathBuf,
    },
    /// The `usr` folder of another root file system. The server uses the loader and libraries of
    /// that system and needs no chroot, so that an ordinary user can run it.
    Root(PathBuf),
    /// The MySQL of this system.
    Mysqld(PathBuf),
}

impl Installation {
    /// The command line of the server without its options.
    pub(super) fn server(&self) -> Vec<OsString> {
        let no_defaults = || OsString::from("--no-defaults");
        match self {
            Self::Mariadb { server, .. } => vec![server.into(), no_defaults()],
            Self::Mysqld(server) => vec![
                server.into(),
                no_defaults(),
                "--secure-file-priv=NULL".into(),
            ],
            Self::Root(usr) => {
                let loader = loader(usr).unwrap_or_default();
                let share = usr.join("share/mysql");
                vec![
                    loader.clone().into(),
                    "--library-path".into(),
                    loader.parent().unwrap_or(usr).into(),
                    usr.join("sbin/mysqld").into(),
                    no_defaults(),
                    path_option("--lc-messages-dir", &share),
                    path_option("--character-sets-dir", &share.join("charsets")),
                    path_option("--plugin-dir", &usr.join("lib/mysql/plugin")),
                    "--secure-file-priv=NULL".into(),
                ]
            }
        }
    }

    /// The same server in a folder that the account can read.
    pub(super) fn reachable(&self, account: &Account, dir: &Path) -> Result<Self, LaunchError> {
        match self {
            Self::Root(usr) => account
                .reachable(usr, dir, |usr| version_command(&Self::Root(usr.to_owned())))
                .map(Self::Root),
            Self::Mariadb { .. } | Self::Mysqld(_) => Ok(self.clone()),
        }
    }
}

impl LocalMysql {
    /// The server of a flavor.
    ///
    /// MariaDB: `mariadbd` and `mariadb-install-db` in `$TWINKEY_MARIADB_BIN`, else on `$PATH`, in
    /// `/usr/sbin` or `/usr/bin`. MySQL: the root file system `$TWINKEY_MYSQL_ROOT`, else
    /// `mysql` in `$TWINKEY_CACHE` or in `.cache` of the current folder, else `mysqld` on `$PATH`
    /// or in `/usr/sbin`, unless that is MariaDB's.
    ///
    /// # Errors
    /// [`LaunchError::NotInstalled`]
    pub fn find(flavor: Flavor) -> Result<Program, LaunchError> {
        let candidates = match flavor {
            Flavor::Mariadb => mariadb_installations(),
            Flavor::Mysql => mysql_installations(),
        };
        candidates
            .into_iter()
            .find_map(|installation| {
                let version = version(&installation, flavor)?;
                Some(Program {
                    flavor,
                    version,
                    installation,
                })
            })
            .ok_or_else(|| not_installed(flavor))
    }
}

/// The server of a flavor for a test; `None`, with a warning, where it is neither installed nor required by
/// the environment variable `TWINKEY_ALL_ENGINES` (MariaDB) or `TWINKEY_MYSQL`.
pub fn find_for_test(flavor: Flavor) -> Option<Program> {
    let required_by = match flavor {
        Flavor::Mariadb => "TWINKEY_ALL_ENGINES",
        Flavor::Mysql => "TWINKEY_MYSQL",
    };
    LocalMysql::find(flavor)
        .map_err(|error| {
            let is_required = std::env::var_os(required_by).is_some();
            assert!(!is_required, "{error}: {}", error.hint());
            eprintln!("{error}: nothing was tested on it");
        })
        .ok()
}

fn not_installed(flavor: Flavor) -> LaunchError {
    match flavor {
        Flavor::Mariadb => LaunchError::NotInstalled {
            server: "MariaDB",
            hint: format!(
                "install MariaDB 10.5 or later (Debian: apt-get install mariadb-server), or name the folder of its `mariadbd` and `mariadb-install-db` in {MARIADB_BIN_ENV}"
            ),
        },
        Flavor::Mysql => LaunchError::NotInstalled {
            server: "MySQL",
            hint: format!(
                "run scripts/setup-mysql, or name a root file system that has /usr/sbin/mysqld in {MYSQL_ROOT_ENV}"
            ),
        },
    }
}

fn folders_of_programs() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        // The PATH of an ordinary user does not include the folders of servers.
        .chain(["/usr/sbin".into(), "/usr/bin".into()])
        .collect()
}

fn mariadb_installations() -> Vec<Installation> {
    let in_folders = |folders: &[PathBuf]| {
        let program = |name: &str| {
            folders
                .iter()
                .map(|folder| folder.join(name))
                .find(|file| file.is_file())
        };
        Some(Installation::Mariadb {
            server: program("mariadbd")?,
            install_db: program("mariadb-install-db")?,
        })
    };
    let named = std::env::var_os(MARIADB_BIN_ENV).map(PathBuf::from);
    named
        .and_then(|folder| in_folders(&[fs::canonicalize(folder).ok()?]))
        .into_iter()
        .chain(in_folders(&folders_of_programs()))
        .collect()
}

fn mysql_installations() -> Vec<Installation> {
    let roots = std::env::var_os(MYSQL_ROOT_ENV)
        .map(PathBuf::from)
        .into_iter()
        .chain([cache().join("mysql")]);
    let roots = roots
        // The server runs in `/`, so that its path must be absolute.
        .filter_map(|root| fs::canonicalize(root.join("usr")).ok())
        .filter(|usr| loader(usr).is_some())
        .map(Installation::Root);
    let system = folders_of_programs()
        .into_iter()
        .map(|folder| folder.join("mysqld"))
        .filter(|file| file.is_file())
        .map(Installation::Mysqld);
    roots.chain(system).collect()
}

/// The dynamic loader beside the libraries: `lib/x86_64-linux-gnu/ld-linux-x86-64.so.2`.
fn loader(usr: &Path) -> Option<PathBuf> {
    let files = |folder: &Path| {
        let entries = fs::read_dir(folder).ok().into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect::<Vec<_>>()
    };
    let is_loader = |file: &PathBuf| {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("ld-linux-") && name.contains(".so.")
    };
    let mut folders = files(&usr.join("lib"));
    folders.retain(|folder| folder.to_string_lossy().ends_with("-linux-gnu"));
    folders
        .iter()
        .find_map(|folder| files(folder).into_iter().find(is_loader))
}

fn version_command(installation: &Installation) -> Command {
    let mut arguments = installation.server().into_iter();
    let mut command = Command::new(arguments.next().unwrap_or_default());
    command.args(arguments).arg("--version");
    command
}

/// `10.11.19` of `mariadbd  Ver 10.11.19-MariaDB-0+deb12u1 for debian-linux-gnu on x86_64 (Debian 12)`,
/// `9.7.4` of `mysqld  Ver 9.7.4-2 for Linux on x86_64 ((Debian))`; `None` if the flavor differs.
fn version(installation: &Installation, flavor: Flavor) -> Option<String> {
    let output = version_command(installation).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let version = text.split("Ver ").nth(1)?.split(' ').next()?;
    let is_mariadb = version.contains("MariaDB");
    (is_mariadb == (flavor == Flavor::Mariadb))
        .then(|| version.split('-').next().map(str::to_owned))
        .flatten()
}
