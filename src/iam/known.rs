//! Facts about secrets, from the command line or from Secrets Manager.

use std::collections::BTreeMap;

use crate::config::settings::{Rotation, SecretsBackend, Settings};
use twinkey_engines::{EngineKind, RedshiftTarget};

/// The facts about one secret.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SecretFacts {
    /// The full ARN, with AWS's six characters.
    pub arn: Option<String>,
    /// The ARN of its KMS key; `None` for AWS's own key, which needs no permission.
    pub kms_key: Option<String>,
    pub engine: Option<EngineKind>,
    /// The field `masterarn`.
    pub master: Option<String>,
    pub cluster: Option<String>,
    pub workgroup: Option<String>,
    pub host: Option<String>,
    pub port: Option<u16>,
}

/// The facts beyond the config.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// The facts by the name or ARN in the config.
    pub secrets: BTreeMap<String, SecretFacts>,
    /// Whether the facts were read from Secrets Manager, and so are complete.
    pub complete: bool,
    /// KMS keys of the secrets, from the command line.
    pub kms_keys: Vec<String>,
    /// The ids of workgroups by name.
    pub workgroup_ids: BTreeMap<String, String>,
}

/// A rotation with the facts about its secret.
pub(super) struct KnownRotation<'a> {
    pub rotation: &'a Rotation,
    pub facts: SecretFacts,
    /// The engine of the config, else of the secret.
    pub engine: Option<EngineKind>,
    pub master: Option<String>,
    /// The target of a Redshift rotation, if it is known.
    pub target: Option<RedshiftTarget>,
}

impl KnownRotation<'_> {
    /// Whether it uses the Data API; an unknown engine does not.
    pub(super) fn is_redshift(&self) -> bool {
        self.engine == Some(EngineKind::Redshift)
    }

    /// Whether the RDS API may have to name the master's host: RDS manages the master, or may.
    ///
    /// RDS and DocumentDB name the secrets that they manage `rds!…`.
    pub(super) fn asks_rds(&self) -> bool {
        let is_managed = |name: &String| {
            let name = name
                .split_once(":secret:")
                .map_or(&**name, |(_, name)| name);
            name.starts_with("rds!")
        };
        let masters = self.rotation.masters.iter().flatten();
        let managed = match &self.master {
            Some(master) => is_managed(master),
            None => masters.into_iter().any(is_managed),
        };
        managed && self.rotation.master_host.is_none() && !self.is_redshift()
    }

    /// The secret of the master's password.
    pub(super) fn master_secret(&self) -> Option<&str> {
        let by_user = self.is_redshift() && self.rotation.options.redshift.db_user.is_some();
        self.master.as_deref().filter(|_| !by_user)
    }
}

/// The rotations of a config with the facts about their secrets.
pub(super) fn known_rotations<'a>(settings: &'a Settings, known: &Known) -> Vec<KnownRotation<'a>> {
    // AWS can read a master secret only in its own store.
    let aws = uses_aws_store(settings);
    let known_rotation = |rotation: &'a Rotation| {
        let facts = known.secrets.get(&rotation.secret).cloned();
        let facts = facts.unwrap_or_default();
        let redshift = &rotation.options.redshift;
        let has_redshift_options = redshift.target.is_some() || redshift.db_user.is_some();
        let guess = has_redshift_options.then_some(EngineKind::Redshift);
        let engine = rotation.engine.or(facts.engine).or(guess);
        let target_of_secret = || {
            let cluster = facts.cluster.clone().map(RedshiftTarget::Cluster);
            cluster.or_else(|| facts.workgroup.clone().map(RedshiftTarget::Workgroup))
        };
        let master = rotation.master_secret.clone().or(facts.master.clone());
        KnownRotation {
            rotation,
            engine,
            master: master.filter(|_| aws),
            target: redshift.target.clone().or_else(target_of_secret),
            facts,
        }
    };
    settings.rotations.iter().map(known_rotation).collect()
}

/// Whether the secrets are in Secrets Manager.
pub(super) const fn uses_aws_store(settings: &Settings) -> bool {
    matches!(settings.secrets, SecretsBackend::Aws { .. })
}
