//! `redshift = { … }`, and what is valid in it.
//!
//! What can go wrong: two keys that exclude each other meet because one of them stands in
//! `[defaults]`. A rotation that names a cluster or a workgroup of its own has no use for the default
//! of either.

use super::raw::Table;
use twinkey_engines::{RedshiftOptions, RedshiftProbe, RedshiftTarget};

/// What stands in one table.
#[derive(Debug, Clone, Default)]
pub(super) struct RawRedshift {
    target: Option<RedshiftTarget>,
    db_user: Option<String>,
    probe: Option<RedshiftProbe>,
}

impl RawRedshift {
    /// Reads the key `redshift` of a rotation or of `[defaults]`.
    pub(super) fn read(rotation: &Table<'_>) -> Self {
        let Some(table) = rotation.table("redshift", "rotation.redshift") else {
            return Self::default();
        };
        if table.has("cluster") && table.has("workgroup") {
            table.error("workgroup", "stands beside cluster: keep one of them");
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

    /// With `defaults` filled in. What is wrong is reported.
    pub(super) fn validate(self, defaults: &Self, rotation: &Table<'_>) -> RedshiftOptions {
        let target = self.target.or_else(|| defaults.target.clone());
        let db_user = self.db_user.or_else(|| defaults.db_user.clone());
        if db_user.is_some() && matches!(target, Some(RedshiftTarget::Workgroup(_))) {
            rotation.error(
                "redshift.db_user",
                "is for provisioned clusters: a workgroup signs the worker in by its IAM identity, or by a master secret",
            );
        }
        RedshiftOptions {
            target,
            db_user,
            probe: self.probe.or(defaults.probe).unwrap_or_default(),
        }
    }
}
