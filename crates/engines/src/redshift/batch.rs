//! What is submitted together, and under which token: pure.
//!
//! What can go wrong, and what prevents it:
//! - a batch is refused for its size: at most 40 statements and 100 KB (quotas of the Data API);
//! - an answer is lost, and the batch is submitted a second time and carried out twice: the token is
//!   made of what is submitted and by which connection of which run, as its how-manieth call, so the
//!   API answers a repetition with the statement that it has already;
//! - a later try is answered with the failure of an earlier one: it is another call, with another token.

use uuid::Uuid;

use twinkey_core::secret::{ExposeSecret, Sensitive};

pub(super) const MOST_STATEMENTS: usize = 40;
/// Of all statements of a batch together.
pub(super) const MOST_BYTES: usize = 100_000;

/// One statement, as it is shown and as it is sent.
#[derive(Debug, Clone)]
pub(super) struct Line {
    /// With `***` for a password's digest.
    pub shown: String,
    pub sent: Sensitive,
    /// The digest in it, where there is one.
    pub digest: Option<Sensitive>,
}

impl Line {
    /// A statement without a digest.
    pub(super) fn plain(text: impl Into<String>) -> Self {
        let shown: String = text.into();
        Self {
            sent: shown.clone().into(),
            shown,
            digest: None,
        }
    }

    fn len(&self) -> usize {
        self.sent.expose_secret().len()
    }
}

/// The lines in order, cut where a batch is full; in each, room is left for what goes before them.
pub(super) fn cut<'a>(lines: &'a [Line], before: &[Line]) -> Vec<&'a [Line]> {
    let room = MOST_BYTES.saturating_sub(before.iter().map(Line::len).sum());
    let places = MOST_STATEMENTS.saturating_sub(before.len()).max(1);
    let mut batches = Vec::new();
    let (mut from, mut bytes) = (0, 0);
    for (at, line) in lines.iter().enumerate() {
        let full = at - from == places || bytes + line.len() > room;
        if full && at > from {
            batches.push(&lines[from..at]);
            (from, bytes) = (at, 0);
        }
        bytes += line.len();
    }
    if from < lines.len() {
        batches.push(&lines[from..]);
    }
    batches
}

/// The token of the `number`th call of `run`.
pub(super) fn token(run: Uuid, number: u64, database: &str, lines: &[Line]) -> String {
    let mut name = Vec::new();
    for part in std::iter::once(database).chain(lines.iter().map(|l| l.sent.expose_secret())) {
        name.extend_from_slice(&(part.len() as u64).to_be_bytes());
        name.extend_from_slice(part.as_bytes());
    }
    name.extend_from_slice(&number.to_be_bytes());
    Uuid::new_v5(&run, &name).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(lengths: &[usize]) -> Vec<Line> {
        lengths
            .iter()
            .map(|n| Line::plain("x".repeat(*n)))
            .collect()
    }

    fn sizes(lengths: &[usize], before: &[usize]) -> Vec<usize> {
        let (all, before) = (lines(lengths), lines(before));
        cut(&all, &before).iter().map(|batch| batch.len()).collect()
    }

    #[test]
    fn a_batch_has_at_most_40_statements_and_100_kilobytes() {
        assert_eq!(sizes(&[1; 81], &[]), [40, 40, 1]);
        assert_eq!(sizes(&[1; 76], &[1, 1]), [38, 38]);
        assert_eq!(sizes(&[60_000, 50_000, 50_000, 1], &[]), [1, 2, 1]);
        assert_eq!(sizes(&[60_000, 40_000], &[1]), [1, 1]);
        assert_eq!(sizes(&[], &[1]), [0; 0]);
        assert_eq!(sizes(&[200_000, 1], &[]), [1, 1], "the API says no to it");
    }

    #[test]
    fn a_token_is_made_of_what_is_submitted_and_by_whom() {
        let (run, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let two = lines(&[1, 2]);
        let it = token(run, 0, "dev", &two);
        assert_eq!(it, token(run, 0, "dev", &two));
        assert!(it.len() <= 64);
        for another in [
            token(other, 0, "dev", &two),
            token(run, 1, "dev", &two),
            token(run, 0, "prod", &two),
            token(run, 0, "dev", &lines(&[2, 1])),
            token(run, 0, "dev", &lines(&[3])),
        ] {
            assert_ne!(it, another);
        }
    }
}
