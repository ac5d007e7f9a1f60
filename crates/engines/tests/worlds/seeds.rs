//! Number and seeds of the worlds, from the environment.

use std::ops::Range;

/// The seeds to test: [`COUNT`] from 1, unless the environment says otherwise.
pub fn seeds() -> Range<u64> {
    let first = number("TWINKEY_WORLD_SEED").unwrap_or(1);
    first..first + number("TWINKEY_WORLDS").unwrap_or(COUNT)
}

/// The number of worlds in `make test`.
const COUNT: u64 = 12;

/// So many worlds contain a statement of each kind.
pub const MANY: u64 = 100;

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    let number = text.parse();
    Some(number.unwrap_or_else(|_| panic!("{variable} is no number: {text:?}")))
}
