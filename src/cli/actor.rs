//! Actor of a command in the records: the user of the operating system, and the host.

use std::os::unix::fs::MetadataExt;

use crate::journal::{Actor, ActorKind, Cause};

/// The cause of what this command does.
pub(super) fn cause(reason: Option<String>) -> Cause {
    Cause {
        actor: Actor {
            kind: ActorKind::User,
            name: user(),
            address: Some(hostname()),
        },
        reason,
    }
}

/// The name of the user of this process. Its number if passwd(5) has no name for it, as in a
/// container or with a directory service.
fn user() -> String {
    // The files of a process belong to its user (proc(5)).
    let Ok(process) = std::fs::metadata("/proc/self") else {
        return "unknown".into();
    };
    let number = process.uid().to_string();
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == number).then(|| name.to_owned())
    });
    name.unwrap_or(number)
}

/// The name of this machine.
pub(super) fn hostname() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map(|name| name.trim().to_owned())
        .ok()
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "worker".into())
}
