//! The rows, by the part that fails.

mod database;
mod endpoints;
mod journal;
mod process;
mod store;

use super::row::Row;

/// All rows.
pub fn all() -> Vec<Row> {
    [
        store::rows(),
        database::rows(),
        endpoints::rows(),
        journal::rows(),
        process::rows(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
