//! Reader of `strategy` and `gap`, and of the keys that they exclude.
//!
//! # Failure modes
//! - A key about the second user is read and has no effect, and its reader trusts it. In the table of
//!   the rotation it is an error. In `[defaults]` it is for the other rotations.
//! - A rotation that always has a gap is refused at the first opening. Where the config names the
//!   engine, a missing `gap = "accept"` is an error of the config.

use crate::config::settings::{Pooler, Strategy, has_single_strategy};
use crate::config::table::Table;
use twinkey_engines::EngineKind;

/// The keys about the second user.
const KEYS_OF_TWO_USERS: &[&str] = &["clone_suffix", "standby", "grants", "in_use", "postgres"];

/// The keys of one table.
#[derive(Debug, Default)]
pub(super) struct RawStrategy {
    is_single: Option<bool>,
    accepts_gap: Option<bool>,
}

/// The keys of a rotation, with `[defaults]` applied, that depend on its strategy.
pub(super) struct Dependent<'a> {
    /// `None`: the secret names it.
    pub(super) engine: Option<EngineKind>,
    pub(super) poolers: &'a [Pooler],
}

impl RawStrategy {
    pub(super) fn read(table: &Table<'_>) -> Self {
        Self {
            is_single: table.choice("strategy", &[("alternating", false), ("single", true)]),
            accepts_gap: table.choice("gap", &[("refuse", false), ("accept", true)]),
        }
    }

    /// The strategy with `defaults` applied. Errors are reported in the table.
    pub(super) fn validate(
        &self,
        defaults: &Self,
        others: &Dependent<'_>,
        table: &Table<'_>,
    ) -> Strategy {
        let accepts_gap = self.accepts_gap.or(defaults.accepts_gap).unwrap_or(false);
        if !self.is_single.or(defaults.is_single).unwrap_or(false) {
            if self.accepts_gap == Some(true) {
                table.error(
                    "gap",
                    "is for strategy = \"single\": with two users, AWSCURRENT always signs in",
                );
            }
            return Strategy::Alternating;
        }
        for key in KEYS_OF_TWO_USERS.iter().filter(|key| table.has(key)) {
            table.error(
                key,
                "is about the second user, and strategy = \"single\" has none: remove it",
            );
        }
        if !others.poolers.is_empty() {
            table.error(
                "poolers",
                "is not for strategy = \"single\" in this version, which cannot prove the new password at a pooler before the flip",
            );
        }
        let engine = others.engine;
        if let Some(engine) = engine.filter(|engine| !has_single_strategy(*engine)) {
            table.error(
                "strategy",
                format!("\"single\" is not supported by this version for the engine {engine}: use \"alternating\""),
            );
        } else if let Some(engine) = engine.filter(|engine| !retains_passwords(*engine)) {
            if !accepts_gap {
                table.error(
                    "gap",
                    format!(
                        "must be \"accept\" with strategy = \"single\" on {engine}, which has one password for each user: between the change and the flip AWSCURRENT does not sign in"
                    ),
                );
            }
            if table.has("retire_after") {
                table.error(
                    "retire_after",
                    format!(
                        "is not for strategy = \"single\" on {engine}: the replaced password stops at the change"
                    ),
                );
            }
        }
        Strategy::Single { accepts_gap }
    }
}

/// Whether servers of the engine can keep the replaced password as a secondary one. Old ones cannot,
/// which a run finds.
const fn retains_passwords(engine: EngineKind) -> bool {
    matches!(engine, EngineKind::Mysql)
}
