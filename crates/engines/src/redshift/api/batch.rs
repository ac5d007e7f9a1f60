//! BatchReader of SQL statements and their idempotency tokens. Pure.
//!
//! # Failure modes
//! - The API rejects a batch that is too large. A batch has at most 40 statements and 100 KB.
//! - A lost response leads to a second submission of the same batch. The API answers it with the
//!   first statement, because the token depends on content, database, client and call number.
//! - A retry receives the failure of an earlier attempt. Each attempt has its own call number, and
//!   so its own token.

use uuid::Uuid;

use twinkey_core::secret::{ExposeSecret, Sensitive};

/// Quota of the Data API for one batch.
pub(in crate::redshift) const MAX_STATEMENTS: usize = 40;
/// Quota of the Data API for the statements of one batch together.
const MAX_BYTES: usize = 100_000;

/// One SQL statement of a batch, in a printable form and in the form that is sent.
#[derive(Debug, Clone)]
pub(in crate::redshift) struct BatchStatement {
    /// With `***` in place of a password's digest.
    pub shown: String,
    pub sent: Sensitive,
    /// The digest that the statement contains, if any.
    pub digest: Option<Sensitive>,
}

impl BatchStatement {
    /// A statement without a digest.
    pub(in crate::redshift) fn plain(text: impl Into<String>) -> Self {
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

/// Splits the statements, in order, into batches that each have room for `before`.
pub(in crate::redshift) fn split_into_batches<'a>(
    statements: &'a [BatchStatement],
    before: &[BatchStatement],
) -> Vec<&'a [BatchStatement]> {
    let room = MAX_BYTES.saturating_sub(before.iter().map(BatchStatement::len).sum());
    let slots = MAX_STATEMENTS.saturating_sub(before.len()).max(1);
    let mut batches = Vec::new();
    let (mut from, mut bytes) = (0, 0);
    for (at, statement) in statements.iter().enumerate() {
        let full = at - from == slots || bytes + statement.len() > room;
        if full && at > from {
            batches.push(&statements[from..at]);
            (from, bytes) = (at, 0);
        }
        bytes += statement.len();
    }
    if from < statements.len() {
        batches.push(&statements[from..]);
    }
    batches
}

/// The idempotency token of the `number`th call of `client`.
pub(in crate::redshift) fn client_token(
    client: Uuid,
    number: u64,
    database: &str,
    statements: &[BatchStatement],
) -> String {
    let mut name = Vec::new();
    for part in std::iter::once(database).chain(statements.iter().map(|s| s.sent.expose_secret())) {
        name.extend_from_slice(&(part.len() as u64).to_be_bytes());
        name.extend_from_slice(part.as_bytes());
    }
    name.extend_from_slice(&number.to_be_bytes());
    Uuid::new_v5(&client, &name).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statements(lengths: &[usize]) -> Vec<BatchStatement> {
        lengths
            .iter()
            .map(|n| BatchStatement::plain("x".repeat(*n)))
            .collect()
    }

    fn sizes(lengths: &[usize], before: &[usize]) -> Vec<usize> {
        let (all, before) = (statements(lengths), statements(before));
        split_into_batches(&all, &before)
            .iter()
            .map(|batch| batch.len())
            .collect()
    }

    #[test]
    fn a_batch_has_at_most_40_statements_and_100_kilobytes() {
        assert_eq!(sizes(&[1; 81], &[]), [40, 40, 1]);
        assert_eq!(sizes(&[1; 76], &[1, 1]), [38, 38]);
        assert_eq!(sizes(&[60_000, 50_000, 50_000, 1], &[]), [1, 2, 1]);
        assert_eq!(sizes(&[60_000, 40_000], &[1]), [1, 1]);
        assert_eq!(sizes(&[], &[1]), [0; 0]);
        assert_eq!(
            sizes(&[200_000, 1], &[]),
            [1, 1],
            "the API rejects the oversized statement"
        );
    }

    #[test]
    fn a_token_depends_on_content_client_and_call_number() {
        let (client, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let two = statements(&[1, 2]);
        let token = client_token(client, 0, "dev", &two);
        assert_eq!(token, client_token(client, 0, "dev", &two));
        assert!(token.len() <= 64);
        for different in [
            client_token(other, 0, "dev", &two),
            client_token(client, 1, "dev", &two),
            client_token(client, 0, "prod", &two),
            client_token(client, 0, "dev", &statements(&[2, 1])),
            client_token(client, 0, "dev", &statements(&[3])),
        ] {
            assert_ne!(token, different);
        }
    }
}
