//! Lock that limits a journal file to one worker.
//!
//! # Failure modes
//! - A worker that exited blocks the next one. The kernel frees the lock with the process.
//! - Closing a database file frees SQLite's own locks on it. The lock is on another file beside it,
//!   whose text names the holder and is informational.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::journal::JournalError;
use crate::journal::error::TransactionError;

/// Takes the lock for `worker`, until the returned file is closed.
///
/// # Errors
/// [`JournalError::Occupied`], or the lock file cannot be created.
pub(super) fn acquire(journal: &Path, worker: &str) -> Result<File, JournalError> {
    let failed = |error: std::io::Error| {
        TransactionError::from(error).in_journal(lock_file(journal).display().to_string())
    };
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(lock_file(journal))
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut by = String::new();
            file.read_to_string(&mut by).map_err(failed)?;
            return Err(JournalError::Occupied {
                journal: journal.display().to_string(),
                by: format!("worker {}", by.trim()),
            });
        }
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    }
    file.set_len(0).map_err(failed)?;
    file.rewind().map_err(failed)?;
    writeln!(file, "{worker}").map_err(failed)?;
    Ok(file)
}

/// The lock file of a journal.
fn lock_file(journal: &Path) -> PathBuf {
    let mut name = journal.as_os_str().to_owned();
    name.push("-worker");
    name.into()
}
