//! Back-off between the attempts in a window: it doubles up to a cap, with jitter.
//!
//! The jitter keeps rotations that failed together from retrying together.

use std::time::Duration;

/// A validated back-off. Attempts count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    most: Duration,
}

impl Backoff {
    /// The back-off of runs: 1 s, 2 s, 4 s … 60 s, each reduced by up to a half.
    pub const RUNS: Self = Self {
        first: Duration::from_secs(1),
        most: Duration::from_secs(60),
    };

    /// The wait after the `attempt`-th failure; `jitter` is a random number from 0 to 1.
    #[must_use]
    pub fn wait(&self, attempt: u32, jitter: f64) -> Duration {
        let doublings = attempt.saturating_sub(1).min(16);
        let full = self.first.saturating_mul(1 << doublings).min(self.most);
        full.mul_f64(1.0 - jitter.clamp(0.0, 1.0) / 2.0)
    }

    /// [`Backoff::wait`] with jitter from the operating system's generator.
    #[must_use]
    pub fn jittered(&self, attempt: u32) -> Duration {
        let mut byte = [0_u8; 1];
        // Without random bytes the waits are equal, which is harmless.
        let _ = aws_lc_rs::rand::fill(&mut byte);
        self.wait(attempt, f64::from(byte[0]) / 255.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_cap_and_jitter_is_at_most_a_half() {
        let waits: Vec<u64> = (1..=9)
            .map(|n| Backoff::RUNS.wait(n, 0.0).as_secs())
            .collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(Backoff::RUNS.wait(u32::MAX, 1.0), Duration::from_secs(30));
        for attempt in 1..100 {
            let wait = Backoff::RUNS.jittered(attempt);
            assert!(wait <= Backoff::RUNS.wait(attempt, 0.0));
            assert!(wait >= Backoff::RUNS.wait(attempt, 1.0));
        }
    }
}
