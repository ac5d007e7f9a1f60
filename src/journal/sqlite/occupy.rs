//! One worker a file.
//!
//! What can go wrong, and what prevents it:
//! - a worker that died keeps the next one out: the lock is the kernel's, which frees it with the process;
//! - closing a file of the database would free SQLite's own locks on it: the lock is on a file beside it,
//!   whose text says who holds it and means nothing by itself.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::journal::JournalError;
use crate::journal::fault::Reason;

/// Makes `worker` the one worker of a journal until the file that this gives is closed.
///
/// # Errors
/// [`JournalError::Occupied`]; or the file beside the journal cannot be made.
pub(super) fn occupy(journal: &Path, worker: &str) -> Result<File, JournalError> {
    let failed =
        |error: std::io::Error| Reason::from(error).of(beside(journal).display().to_string());
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(beside(journal))
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

/// The file that the lock is on.
fn beside(journal: &Path) -> PathBuf {
    let mut name = journal.as_os_str().to_owned();
    name.push("-worker");
    name.into()
}
