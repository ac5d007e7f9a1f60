//! Rule about who may own, write and read the files that the worker trusts.
//!
//! # Failure modes
//! - Another user of the machine changes the config, a token or a key. A file that others may write
//!   is refused, and so is one of another user who is not root.
//! - Another user reads a key. A key file that others may read is refused.
//! - A container gets its files from a mount that shows foreign owners and wide modes. A read-only
//!   mount of its own is accepted: only its operator could have written to it.
//! - `ProtectSystem=strict` of systemd makes the root file system read-only. It is not accepted as
//!   such a mount.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{StatVfsMountFlags, fstatvfs, statvfs};

const ROOT: u32 = 0;
const GROUP_WRITE: u32 = 0o020;
const OTHERS_WRITE: u32 = 0o002;
const OTHERS_READ: u32 = 0o004;
const GROUP_READ: u32 = 0o040;
const STICKY: u32 = 0o1000;

/// Purpose of a file, which decides who may read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// The config file.
    Config,
    /// A token, a password or a signature key that the config names.
    Token,
    /// The store's key, the served store's keys, or a private key of TLS.
    Key,
}

/// Owner, mode and mount of a file or folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileFacts {
    pub owner: u32,
    pub group: u32,
    pub mode: u32,
    /// Whether the file is on a read-only mount other than the root file system.
    pub read_only_mount: bool,
}

/// Reason why a file is refused, with its fix. Never quotes the content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AccessError {
    #[error("belongs to the user {0}, who is neither root nor the user of this process")]
    ForeignOwner(u32),
    #[error("is writable by others (mode {:04o})", .0 & 0o7777)]
    Writable(u32),
    #[error("is readable by others (mode {:04o})", .0 & 0o7777)]
    Readable(u32),
}

impl AccessError {
    /// The fix, as an imperative about "it".
    #[must_use]
    pub const fn fix(self) -> &'static str {
        match self {
            Self::ForeignOwner(_) => "run chown root on it, or mount it read-only",
            Self::Writable(_) => "run chmod go-w on it, and check its content",
            Self::Readable(_) => "run chmod 600 on it, and replace what was disclosed",
        }
    }
}

/// Result of the rule for an accepted file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    Private,
    /// All users of the machine may read it.
    WorldReadable,
}

impl FileFacts {
    /// The facts of an open file or folder; `None` for pipes, terminals and other devices.
    ///
    /// # Errors
    /// The error of the operating system.
    pub fn of(file: &File) -> io::Result<Option<Self>> {
        Self::from_parts(&file.metadata()?, || Ok(fstatvfs(file)?.f_flag))
    }

    /// The facts at a path; a link is followed. The file is not opened, because that can block.
    ///
    /// # Errors
    /// The error of the operating system.
    pub fn at(path: &Path) -> io::Result<Option<Self>> {
        Self::from_parts(&std::fs::metadata(path)?, || Ok(statvfs(path)?.f_flag))
    }

    fn from_parts(
        metadata: &Metadata,
        mount: impl FnOnce() -> io::Result<StatVfsMountFlags>,
    ) -> io::Result<Option<Self>> {
        if !metadata.is_file() && !metadata.is_dir() {
            return Ok(None);
        }
        let read_only = mount()?.contains(StatVfsMountFlags::RDONLY);
        let root = std::fs::metadata("/")?;
        Ok(Some(Self {
            owner: metadata.uid(),
            group: metadata.gid(),
            mode: metadata.mode(),
            read_only_mount: read_only && metadata.dev() != root.dev(),
        }))
    }
}

/// Assesses a file for a process of the user `user`.
///
/// # Errors
/// [`AccessError`] if the file must not be used.
pub const fn assess(facts: FileFacts, kind: FileKind, user: u32) -> Result<Accepted, AccessError> {
    if facts.read_only_mount {
        return Ok(Accepted::Private);
    }
    let FileFacts { owner, mode, .. } = facts;
    if matches!(kind, FileKind::Key) {
        // As PostgreSQL does for its TLS key: a group may read what belongs to root.
        let group_reads = mode & GROUP_READ != 0 && (owner == user || owner != ROOT);
        if mode & OTHERS_READ != 0 || group_reads {
            return Err(AccessError::Readable(mode));
        }
    }
    // A command of root also uses the keys that the worker's user created.
    let foreign_key_of_root = matches!(kind, FileKind::Key) && user == ROOT;
    if !is_trusted(owner, user) && !foreign_key_of_root {
        return Err(AccessError::ForeignOwner(owner));
    }
    if mode & OTHERS_WRITE != 0 || (mode & GROUP_WRITE != 0 && !has_private_group(facts, user)) {
        return Err(AccessError::Writable(mode));
    }
    if mode & OTHERS_READ != 0 {
        return Ok(Accepted::WorldReadable);
    }
    Ok(Accepted::Private)
}

/// Assesses the folder of a config, in which others could replace the file.
///
/// # Errors
/// [`AccessError`]
pub const fn assess_folder(facts: FileFacts, user: u32) -> Result<(), AccessError> {
    if facts.read_only_mount {
        return Ok(());
    }
    // The owner of a folder can replace a file in it, whatever its mode.
    if !is_trusted(facts.owner, user) {
        return Err(AccessError::ForeignOwner(facts.owner));
    }
    let by_others = facts.mode & OTHERS_WRITE != 0
        || (facts.mode & GROUP_WRITE != 0 && !has_private_group(facts, user));
    // With the sticky bit, only the owner of a file can replace it.
    if by_others && facts.mode & STICKY == 0 {
        return Err(AccessError::Writable(facts.mode));
    }
    Ok(())
}

/// Assesses a folder above the folder of a config.
///
/// # Errors
/// [`AccessError`]
pub const fn assess_ancestor(facts: FileFacts) -> Result<(), AccessError> {
    let by_all = facts.mode & OTHERS_WRITE != 0 && facts.mode & STICKY == 0;
    if by_all && !facts.read_only_mount {
        return Err(AccessError::Writable(facts.mode));
    }
    Ok(())
}

const fn is_trusted(owner: u32, user: u32) -> bool {
    owner == ROOT || owner == user
}

/// Whether the group is the private one of the process's user, which has the same number. Many
/// systems create files of such users with a mode of 0664.
const fn has_private_group(facts: FileFacts, user: u32) -> bool {
    user != ROOT && facts.owner == user && facts.group == user
}

/// Assesses an open file for this process; a pipe or a device is accepted.
///
/// # Errors
/// The error of the operating system, or an [`AccessError`] inside the inner result.
pub fn assess_open(file: &File, kind: FileKind) -> io::Result<Result<Accepted, AccessError>> {
    let facts = FileFacts::of(file)?;
    Ok(facts.map_or(Ok(Accepted::Private), |facts| assess(facts, kind, user())))
}

/// The effective user of this process.
#[must_use]
pub fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}

#[cfg(test)]
mod tests;
