//! Back-offs of the Data API.

use std::time::Duration;

use twinkey_core::backoff::Backoff;

/// Delays before a throttled or unanswered call is retried.
pub(in crate::redshift) const CALL_BACKOFF: Backoff =
    Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
/// Delays between two polls of a statement; the API also waits inside each poll.
pub(super) const POLL_BACKOFF: Backoff =
    Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
/// Delays until a new secret becomes visible.
pub(in crate::redshift) const VISIBILITY_BACKOFF: Backoff =
    Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
