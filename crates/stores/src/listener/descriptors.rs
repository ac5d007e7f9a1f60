//! File descriptors of the process: their limit, and the share of the listeners.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Limit of the open connections of one listener.
const MAX_CONNECTIONS: u64 = 2048;
/// One listener takes this fraction of the descriptors. There are two, so runs keep half of them.
const SHARE: u64 = 4;

/// Raises the soft limit of file descriptors to the hard one, and returns it. `None`: no limit.
///
/// # Errors
/// [`io::Error`] if the system refuses it; the soft limit is then unchanged.
pub fn raise() -> io::Result<Option<u64>> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        };
        setrlimit(Resource::Nofile, raised)?;
    }
    Ok(limit.maximum)
}

/// Limit of the open connections of one listener under the present limit of file descriptors.
#[must_use]
pub fn max_connections() -> usize {
    share_of(getrlimit(Resource::Nofile).current)
}

fn share_of(descriptors: Option<u64>) -> usize {
    let share = descriptors.map_or(MAX_CONNECTIONS, |limit| limit / SHARE);
    usize::try_from(share.clamp(1, MAX_CONNECTIONS)).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_listeners_leave_half_of_the_descriptors() {
        for (descriptors, connections) in [
            (Some(1024), 256),
            (Some(20_000), 2048),
            (None, 2048),
            (Some(2), 1),
        ] {
            assert_eq!(share_of(descriptors), connections, "{descriptors:?}");
        }
    }
}
