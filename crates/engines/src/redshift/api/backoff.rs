//! Retry delays that double up to a limit, with random jitter.
//!
//! # Failure modes
//! - Workers that were throttled together retry together; the jitter spreads their retries.

use std::time::Duration;

use aws_lc_rs::rand;

/// The next delay and the longest delay.
#[derive(Debug, Clone)]
pub(in crate::redshift) struct Backoff {
    next: Duration,
    longest: Duration,
}

impl Backoff {
    /// Delays before a throttled or unanswered call is retried.
    pub(in crate::redshift) const fn between_calls() -> Self {
        Self {
            next: Duration::from_millis(200),
            longest: Duration::from_secs(5),
        }
    }

    /// Delays between two polls of a statement; the API also waits inside each poll.
    pub(in crate::redshift) const fn between_polls() -> Self {
        Self {
            next: Duration::from_millis(50),
            longest: Duration::from_secs(2),
        }
    }

    /// Delays until a new secret becomes visible.
    pub(in crate::redshift) const fn until_visible() -> Self {
        Self {
            next: Duration::from_millis(100),
            longest: Duration::from_secs(2),
        }
    }

    /// The next delay, with a jitter of at most a quarter up or down.
    pub(in crate::redshift) fn next(&mut self) -> Duration {
        let mut byte = [0_u8];
        // If no random bytes are available, the delay is the shortest.
        let _ = rand::fill(&mut byte);
        let delay = self.next * 3 / 4 + self.next * u32::from(byte[0]) / 510;
        self.next = (self.next * 2).min(self.longest);
        delay
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_limit() {
        let mut backoff = Backoff::between_calls();
        let mut expected = 200;
        for _ in 0..12 {
            let delay = u32::try_from(backoff.next().as_millis()).unwrap();
            assert!(
                (expected * 3 / 4..=expected * 5 / 4).contains(&delay),
                "{delay}"
            );
            expected = (expected * 2).min(5000);
        }
    }
}
