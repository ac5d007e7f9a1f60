//! The operating system user of a server, and the files that it can reach.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{LaunchError, io_error, succeeded};

/// The user of the server: that of this process, or an ordinary user if this process is root.
pub(crate) struct Account(Option<(u32, u32)>);

impl Account {
    /// `users` are the candidates if this process is root; the first that exists is used.
    pub(crate) fn to_run_as(users: &'static [&'static str]) -> Result<Self, LaunchError> {
        let me = fs::metadata("/proc/self").map_err(io_error("/proc/self cannot be read"))?;
        if me.uid() != 0 {
            return Ok(Self(None));
        }
        let passwd =
            fs::read_to_string("/etc/passwd").map_err(io_error("/etc/passwd cannot be read"))?;
        users
            .iter()
            .find_map(|name| ids_of(&passwd, name))
            .map(|ids| Self(Some(ids)))
            .ok_or(LaunchError::NoUser(users))
    }

    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        // PG* and MYSQL_* variables of the caller must not affect the server. Every user can read `/`.
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

    pub(crate) fn own(&self, path: &Path) -> Result<(), LaunchError> {
        match self.0 {
            Some((uid, gid)) => chown(path, Some(uid), Some(gid))
                .map_err(io_error("the server's files cannot be handed over")),
            None => Ok(()),
        }
    }

    /// `installation`, or a copy of it in `dir` if the account cannot execute it. `version` returns
    /// the command of an installation that prints the version of the server.
    pub(crate) fn reachable(
        &self,
        installation: &Path,
        dir: &Path,
        version: impl Fn(&Path) -> Command,
    ) -> Result<PathBuf, LaunchError> {
        let installation = fs::canonicalize(installation)
            .map_err(io_error("the server's binaries cannot be read"))?;
        let probe = version(&installation);
        let reached = self
            .command(probe.get_program())
            .args(probe.get_args())
            .output()
            .is_ok_and(|output| output.status.success());
        if reached {
            return Ok(installation);
        }
        let copy = dir.join("installation");
        let output = Command::new("cp")
            .arg("-RL")
            .arg(&installation)
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
        Ok(copy)
    }

    pub(crate) fn write(&self, path: &Path, text: &str) -> Result<(), LaunchError> {
        let failed = || io_error("the server's files cannot be written");
        // The file is empty until its permissions are set, so that no other user reads a secret.
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
