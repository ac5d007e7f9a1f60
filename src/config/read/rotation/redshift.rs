//! Reader of `redshift = { … }`.
//!
//! # Failure modes
//! - A rotation's `workgroup` conflicts with a `cluster` of `[defaults]`, or the reverse: a target of its own
//!   replaces the default target.

use crate::config::table::Table;
use twinkey_engines::{RedshiftOptions, RedshiftProbe, RedshiftTarget};

pub(in crate::config::read) const KEYS: &[&str] = &["cluster", "workgroup", "db_user", "probe"];

/// The keys of one table.
#[derive(Debug, Clone, Default)]
pub(super) struct RawRedshift {
    target: Option<RedshiftTarget>,
    db_user: Option<String>,
    probe: Option<RedshiftProbe>,
}

impl RawRedshift {
    /// Reads the key `redshift` of a rotation or of `[defaults]`.
    pub(super) fn read(rotation: &Table<'_>) -> Self {
        let Some(table) = rotation.table("redshift", KEYS) else {
            return Self::default();
        };
        if table.has("cluster") && table.has("workgroup") {
            table.error("workgroup", "conflicts with cluster: keep one of them");
        }
        let cluster = table.text("cluster").map(str::to_owned);
        let workgroup = table.text("workgroup").map(str::to_owned);
        let choices = [
            ("secret", RedshiftProbe::Secret),
            ("wire", RedshiftProbe::Wire),
        ];
        Self {
            target: cluster
                .map(RedshiftTarget::Cluster)
                .or(workgroup.map(RedshiftTarget::Workgroup)),
            db_user: table.text("db_user").map(str::to_owned),
            probe: table.choice("probe", &choices),
        }
    }

    /// The options with `defaults` applied; reports what is not valid.
    pub(super) fn validate(self, defaults: &Self, rotation: &Table<'_>) -> RedshiftOptions {
        let target = self.target.or_else(|| defaults.target.clone());
        let db_user = self.db_user.or_else(|| defaults.db_user.clone());
        if db_user.is_some() && matches!(target, Some(RedshiftTarget::Workgroup(_))) {
            rotation.error(
                "redshift.db_user",
                "is for provisioned clusters only: in a workgroup the worker signs in with its IAM identity or a master secret",
            );
        }
        RedshiftOptions {
            target,
            db_user,
            probe: self.probe.or(defaults.probe).unwrap_or_default(),
        }
    }
}
