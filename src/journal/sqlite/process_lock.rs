//! Locks that show whether a process that claimed runs still exists.
//!
//! # Failure modes
//! - A process is killed in a run, and the next one waits for the end of its lease. Each process
//!   that claims runs locks a file of its own, which the kernel unlocks with the process.
//! - A process id is used again, or is one of another container. The lock is asked, not the id.
//! - A process that is alive is taken for one that exited. Without its file, nothing is known of it,
//!   and its lease holds.
//! - Files of killed processes stay. The process that finds one unlocked removes it.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

/// The locks of this process, by worker.
#[derive(Debug, Clone, Default)]
pub(super) struct ProcessLocks(Arc<Mutex<BTreeMap<String, ProcessLock>>>);

/// The lock of a worker of this process. Dropping it removes the file.
#[derive(Debug)]
struct ProcessLock {
    path: PathBuf,
    _file: File,
}

impl ProcessLocks {
    /// Locks the file of `worker`, until the last clone is dropped. A second call does nothing.
    ///
    /// # Errors
    /// The file cannot be created.
    pub(super) fn hold(&self, journal: &Path, worker: &str) -> std::io::Result<()> {
        let mut held = self.0.lock();
        let Some(path) = lock_file(journal, worker).filter(|_| !held.contains_key(worker)) else {
            return Ok(());
        };
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)?;
        // Another journal of this process may hold it. A process that looks whether an earlier worker of
        // this name exists holds it for a moment, and removes the file: then only the lease holds.
        if file.try_lock().is_ok() {
            held.insert(worker.to_owned(), ProcessLock { path, _file: file });
        }
        Ok(())
    }
}

impl Drop for ProcessLock {
    fn drop(&mut self) {
        // The file is no longer needed; a file that stays is removed by the next look at it.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Whether the process of `worker` exited without the end of its runs.
pub(super) fn has_exited(journal: &Path, worker: &str) -> bool {
    let Some(path) = lock_file(journal, worker) else {
        return false;
    };
    let Ok(file) = OpenOptions::new().write(true).open(&path) else {
        return false;
    };
    let has_exited = file.try_lock().is_ok();
    if has_exited {
        let _ = std::fs::remove_file(&path);
    }
    has_exited
}

/// The file of a worker; `None` if its name cannot be a part of a file's name.
fn lock_file(journal: &Path, worker: &str) -> Option<PathBuf> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    worker.chars().all(is_plain).then(|| {
        let mut name = journal.as_os_str().to_owned();
        name.push("-runs-");
        name.push(worker);
        name.into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_has_exited_if_its_lock_is_free() {
        let folder = tempfile::tempdir().unwrap();
        let journal = folder.path().join("journal.db");
        let files = || std::fs::read_dir(folder.path()).unwrap().count();
        assert!(!has_exited(&journal, "host-1"), "nothing is known of it");
        let locks = ProcessLocks::default();
        locks.hold(&journal, "host-1").unwrap();
        locks.hold(&journal, "host-1").unwrap();
        assert!(!has_exited(&journal, "host-1"), "it holds its lock");
        drop(locks);
        assert_eq!(files(), 0);
        // The file that a killed process leaves.
        File::create(lock_file(&journal, "host-1").unwrap()).unwrap();
        assert!(has_exited(&journal, "host-1"));
        assert_eq!(files(), 0);
        assert_eq!(lock_file(&journal, "../host-1"), None);
    }
}
