//! Runs and records of other actions in one order, newest first.

use std::cmp::Reverse;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{AuditRecord, Run};

/// A run, or the record of another action.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(untagged)]
pub enum HistoryEntry<'a> {
    Run(&'a Run),
    Record(&'a AuditRecord),
}

impl HistoryEntry<'_> {
    fn at(&self) -> DateTime<Utc> {
        match self {
            Self::Run(run) => run.started,
            Self::Record(record) => record.at,
        }
    }
}

/// Merges runs and records.
pub fn merged<'a>(
    runs: &'a [Run],
    records: impl Iterator<Item = &'a AuditRecord>,
) -> Vec<HistoryEntry<'a>> {
    let runs = runs.iter().map(HistoryEntry::Run);
    let mut entries: Vec<_> = records.map(HistoryEntry::Record).chain(runs).collect();
    entries.sort_by_key(|entry| Reverse(entry.at()));
    entries
}
