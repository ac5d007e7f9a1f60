//! Constraints of the API reference on members of a request: lengths, ranges, value sets and
//! patterns. AWS checks them before it reads the secret, and each violation is a
//! ValidationException with the same sentence.
//!
//! # Failure modes
//! - A refusal quotes a secret value. Only numbers and names of a value set are quoted, and no
//!   member with such a constraint holds a value.

use std::ops::RangeInclusive;

use super::refusal::{Refusal, RefusalKind};

/// Refuses a text whose length is out of bounds.
pub(super) fn within(
    member: &str,
    text: Option<&str>,
    lengths: RangeInclusive<usize>,
) -> Result<(), Refusal> {
    text.map_or(Ok(()), |text| {
        within_length(member, text.chars().count(), lengths)
    })
}

/// Refuses a list or text whose length is out of bounds.
pub(super) fn within_length(
    member: &str,
    length: usize,
    lengths: RangeInclusive<usize>,
) -> Result<(), Refusal> {
    let bound = if length < *lengths.start() {
        format!("greater than or equal to {}", lengths.start())
    } else if length > *lengths.end() {
        format!("less than or equal to {}", lengths.end())
    } else {
        return Ok(());
    };
    Err(violation("", member, &format!("have length {bound}")))
}

/// Refuses a number out of range.
pub(super) fn in_range(
    member: &str,
    number: i64,
    range: RangeInclusive<i64>,
) -> Result<(), Refusal> {
    let bound = if number < *range.start() {
        format!("greater than or equal to {}", range.start())
    } else if number > *range.end() {
        format!("less than or equal to {}", range.end())
    } else {
        return Ok(());
    };
    let quoted = format!(" '{number}'");
    Err(violation(&quoted, member, &format!("have value {bound}")))
}

/// Refuses a text with a character that the reference's pattern does not allow.
pub(super) fn only(
    member: &str,
    text: &str,
    pattern: &str,
    allowed: impl Fn(char) -> bool,
) -> Result<(), Refusal> {
    if text.chars().all(allowed) {
        return Ok(());
    }
    let constraint = format!("satisfy regular expression pattern: {pattern}");
    Err(violation("", member, &constraint))
}

/// The refusal of a name that is not in a value set.
pub(super) fn not_one_of(member: &str, name: &str, set: &[&str]) -> Refusal {
    let constraint = format!("satisfy enum value set: [{}]", set.join(", "));
    violation(&format!(" '{name}'"), member, &constraint)
}

fn violation(quoted: &str, member: &str, constraint: &str) -> Refusal {
    Refusal::new(
        RefusalKind::Validation,
        format!(
            "1 validation error detected: Value{quoted} at '{member}' failed to satisfy constraint: \
             Member must {constraint}"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(result: Result<(), Refusal>) -> String {
        let refusal = result.unwrap_err();
        assert_eq!(refusal.kind, RefusalKind::Validation);
        let start = "1 validation error detected: Value";
        let rest = refusal.message.strip_prefix(start).unwrap();
        rest.to_owned()
    }

    #[test]
    fn each_violation_has_the_sentence_of_aws() {
        assert_eq!(
            message(within("name", Some(""), 1..=512)),
            " at 'name' failed to satisfy constraint: Member must have length greater than or equal \
             to 1"
        );
        assert_eq!(
            message(within_length("filters", 11, 0..=10)),
            " at 'filters' failed to satisfy constraint: Member must have length less than or equal \
             to 10"
        );
        assert_eq!(
            message(in_range("maxResults", -1, 1..=100)),
            " '-1' at 'maxResults' failed to satisfy constraint: Member must have value greater than \
             or equal to 1"
        );
        assert_eq!(
            message(Err(not_one_of("sortOrder", "up", &["asc", "desc"]))),
            " 'up' at 'sortOrder' failed to satisfy constraint: Member must satisfy enum value set: \
             [asc, desc]"
        );
        assert_eq!(
            message(only("x", "é", "[a-z]*", |c| c.is_ascii_lowercase())),
            " at 'x' failed to satisfy constraint: Member must satisfy regular expression pattern: \
             [a-z]*"
        );
    }

    #[test]
    fn bounds_belong_to_the_range() {
        for length in [1, 512] {
            assert!(within("name", Some(&"x".repeat(length)), 1..=512).is_ok());
        }
        for number in [1, 100] {
            assert!(in_range("maxResults", number, 1..=100).is_ok());
        }
        assert!(within("name", None, 1..=512).is_ok());
        // Characters count, not bytes.
        assert!(within("name", Some(&"ü".repeat(512)), 1..=512).is_ok());
    }
}
