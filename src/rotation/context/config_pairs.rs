//! Rotations of the config, and their pairs at the last read.
//!
//! A run compares its pair with those of the other rotations (`observe/ownership/survey.rs`). This
//! memory limits the reads of one process.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio::sync::Mutex;

use crate::journal::PairRecord;
use crate::rotation::context::rotation_set::ActiveRotations;

/// Rotations of the active config with their pairs. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct ConfigPairs {
    pub rotations: ActiveRotations,
    /// By the rotation's name. One run reads at a time, and the others use its result.
    pub(in crate::rotation) reads: Arc<Mutex<HashMap<String, PairRead>>>,
}

/// The pair of a rotation at its last read.
#[derive(Debug)]
pub(in crate::rotation) struct PairRead {
    /// The secret in the config, with its store.
    pub secret: String,
    /// `None` if the secret could not be read.
    pub record: Option<PairRecord>,
    /// When this process read the secret; `None` if the journal had the pair.
    pub at: Option<DateTime<Utc>>,
}
