//! Pauses that double up to a limit, each a little shorter or longer by chance, so that workers that
//! were turned away together do not come back together.

use std::time::Duration;

use aws_lc_rs::rand;

/// The next pause, and how long they may become.
#[derive(Debug, Clone)]
pub(super) struct Backoff {
    next: Duration,
    longest: Duration,
}

impl Backoff {
    /// Before a call that was turned away, or got no answer, is made again.
    pub(super) const fn between_calls() -> Self {
        Self {
            next: Duration::from_millis(200),
            longest: Duration::from_secs(5),
        }
    }

    /// Between two looks at a statement; the API itself waits in each, where it can.
    pub(super) const fn between_looks() -> Self {
        Self {
            next: Duration::from_millis(50),
            longest: Duration::from_secs(2),
        }
    }

    /// For what becomes visible a little later.
    pub(super) const fn until_visible() -> Self {
        Self {
            next: Duration::from_millis(100),
            longest: Duration::from_secs(2),
        }
    }

    /// The next pause: three to five quarters of what it would be without chance.
    pub(super) fn next(&mut self) -> Duration {
        let mut byte = [0_u8];
        // Without randomness it is the shortest.
        let _ = rand::fill(&mut byte);
        let pause = self.next * 3 / 4 + self.next * u32::from(byte[0]) / 510;
        self.next = (self.next * 2).min(self.longest);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let mut backoff = Backoff::between_calls();
        let mut wanted = 200;
        for _ in 0..12 {
            let pause = u32::try_from(backoff.next().as_millis()).unwrap();
            assert!(
                (wanted * 3 / 4..=wanted * 5 / 4).contains(&pause),
                "{pause}"
            );
            wanted = (wanted * 2).min(5000);
        }
    }
}
