//! Exponential back-off with jitter, which keeps callers that failed together from retrying
//! together.

use std::time::Duration;

/// A back-off that doubles up to a limit. Attempts count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
}

impl Backoff {
    /// The back-off of runs: 1 s, 2 s, 4 s … 60 s.
    pub const RUNS: Self = Self::new(Duration::from_secs(1), Duration::from_secs(60));

    /// A back-off with its first and its longest delay.
    #[must_use]
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest }
    }

    /// The delay after the `attempt`-th failure, reduced by up to a half; `jitter` is from 0 to 1.
    #[must_use]
    pub fn delay(&self, attempt: u32, jitter: f64) -> Duration {
        let doublings = attempt.saturating_sub(1).min(16);
        let full = self.first.saturating_mul(1 << doublings).min(self.longest);
        full.mul_f64(1.0 - jitter.clamp(0.0, 1.0) / 2.0)
    }

    /// [`Self::delay`] with random jitter.
    #[must_use]
    pub fn jittered(&self, attempt: u32) -> Duration {
        let mut byte = [0_u8; 1];
        // Without random bytes all delays are equal, which is harmless.
        let _ = aws_lc_rs::rand::fill(&mut byte);
        self.delay(attempt, f64::from(byte[0]) / 255.0)
    }

    /// The jittered delays of consecutive attempts.
    #[must_use]
    pub const fn delays(self) -> Delays {
        Delays {
            backoff: self,
            attempt: 0,
        }
    }
}

/// Consecutive delays of a [`Backoff`].
#[derive(Debug, Clone)]
pub struct Delays {
    backoff: Backoff,
    attempt: u32,
}

impl Delays {
    /// The delay after another failure.
    pub fn next_delay(&mut self) -> Duration {
        self.attempt = self.attempt.saturating_add(1);
        self.backoff.jittered(self.attempt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_to_the_limit_and_jitter_is_at_most_a_half() {
        let delays: Vec<u64> = (1..=9)
            .map(|n| Backoff::RUNS.delay(n, 0.0).as_secs())
            .collect();
        assert_eq!(delays, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(Backoff::RUNS.delay(u32::MAX, 1.0), Duration::from_secs(30));
        let mut consecutive = Backoff::RUNS.delays();
        for attempt in 1..100 {
            for delay in [Backoff::RUNS.jittered(attempt), consecutive.next_delay()] {
                assert!(delay <= Backoff::RUNS.delay(attempt, 0.0));
                assert!(delay >= Backoff::RUNS.delay(attempt, 1.0));
            }
        }
    }
}
