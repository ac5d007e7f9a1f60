//! The PostgreSQL servers of this machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::locations::cache;

use super::{BIN_ENV, LaunchError, LocalPostgres};

impl LocalPostgres {
    /// The servers of this machine as (major version, folder of binaries), lowest version first.
    /// Searches `$TWINKEY_POSTGRES_BIN`, `.cache/node/node_modules/pg*`, `/usr/lib/postgresql` and
    /// `$PATH`. The first server of a version is used.
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

    /// The newest version that can copy a server for a replica.
    ///
    /// # Errors
    /// [`LaunchError::NotInstalled`]
    pub fn find_for_replicas() -> Result<(u32, PathBuf), LaunchError> {
        let mut installed = Self::installed().into_iter().rev();
        installed
            .find(|(_, bin)| bin.join("pg_basebackup").exists())
            .ok_or_else(|| LaunchError::NotInstalled {
                server: "pg_basebackup",
                hint:
                    "install the client programs of PostgreSQL (Debian: apt-get install postgresql)"
                        .into(),
            })
    }

    /// The folder of binaries of a major version. `None`: `$TWINKEY_POSTGRES_BIN`, else the newest
    /// version.
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
            .ok_or_else(|| LaunchError::NotInstalled {
                server: "PostgreSQL",
                hint: format!(
                    "install PostgreSQL 15 or later (Debian: apt-get install postgresql), or name the folder of its `postgres` binary in {BIN_ENV}"
                ),
            })
    }
}

fn candidates() -> Vec<PathBuf> {
    let below = |folder: &Path, rest: &str| -> Vec<PathBuf> {
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
    all.extend(below(&cache().join("node/node_modules"), "native/bin"));
    all.extend(below(Path::new("/usr/lib/postgresql"), "bin"));
    if let Some(path) = std::env::var_os("PATH") {
        all.extend(std::env::split_paths(&path));
    }
    all.retain(|bin| bin.join("initdb").exists() && bin.join("postgres").exists());
    all.iter()
        .filter_map(|bin| fs::canonicalize(bin).ok())
        .collect()
}

/// `15` from `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
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
