//! Secrets that a `[[discover]]` concerns, and the filters of its listing.
//!
//! # Failure modes
//! - AWS's filters find more than the table means: they compare prefixes, and a key of one tag with the value
//!   of another. They only shorten the list; [`matches()`] decides.
//! - A value begins with `!`, which negates a filter, or has characters that no filter may have. It has no
//!   filter.

use wildmatch::WildMatch;

use crate::config::settings::Discover;
use twinkey_stores::{ListFilter, ListKey, ListedSecret};

/// AWS's limits of filters and of values in a filter (ListSecrets, "Filters").
const MAX: usize = 10;

/// Whether a table concerns a secret.
#[must_use]
pub fn matches(discover: &Discover, secret: &ListedSecret) -> bool {
    let is_named = |patterns: &[String]| {
        patterns
            .iter()
            .any(|pattern| WildMatch::new(pattern).matches(&secret.name))
    };
    let mut tags = discover.tags.iter();
    tags.all(|(key, value)| secret.tags.get(key) == Some(value))
        && (discover.names.is_empty() || is_named(&discover.names))
        && !is_named(&discover.exclude)
}

/// The filters of the listing of a table.
#[must_use]
pub fn filters(discover: &Discover) -> Vec<ListFilter> {
    let mut filters = Vec::new();
    let prefixes: Vec<String> = discover.names.iter().map(|name| prefix(name)).collect();
    if (1..=MAX).contains(&prefixes.len()) && prefixes.iter().all(|one| may_filter(one)) {
        filters.push(ListFilter {
            key: ListKey::Name,
            values: prefixes,
        });
    }
    let tags = discover.tags.iter();
    let tags = tags.flat_map(|(key, value)| [(ListKey::TagKey, key), (ListKey::TagValue, value)]);
    filters.extend(
        tags.filter(|(_, text)| may_filter(text))
            .map(|(key, text)| ListFilter {
                key,
                values: vec![text.clone()],
            }),
    );
    filters.truncate(MAX);
    filters
}

/// The identity of a listing: tables with the same store and filters share it.
#[must_use]
pub fn query(store: &str, filters: &[ListFilter]) -> String {
    let mut text = store.to_owned();
    for filter in filters {
        text += &format!(" {:?}{:?}", filter.key, filter.values);
    }
    text
}

/// The part of a pattern before its first wildcard.
fn prefix(pattern: &str) -> String {
    pattern.split(['*', '?']).next().unwrap_or_default().into()
}

/// Whether AWS allows the text as a value of a filter (`Filter`, "Values"), and takes it literally.
fn may_filter(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || " :_@/+=.-!".contains(c);
    (1..=512).contains(&text.len()) && !text.starts_with('!') && text.chars().all(allowed)
}
