//! What is known of secrets besides their names: plain data, from options or from Secrets Manager.

use std::collections::BTreeMap;

use crate::config::settings::{Rotation, SecretsBackend, Settings};
use twinkey_engines::{EngineKind, RedshiftTarget};

/// What is known of one secret.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// Whole, with AWS's six characters.
    pub arn: Option<String>,
    /// The ARN of its KMS key; `None`: AWS's own, which takes no permission of ours.
    pub kms_key: Option<String>,
    pub engine: Option<EngineKind>,
    /// `masterarn`
    pub master: Option<String>,
    pub cluster: Option<String>,
    pub workgroup: Option<String>,
    pub host: Option<String>,
    pub port: Option<u16>,
}

/// What is known besides the config.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// By the name or ARN that the config uses.
    pub secrets: BTreeMap<String, Facts>,
    /// Whether Secrets Manager was asked: what is then not in `secrets` is not there.
    pub asked: bool,
    /// KMS keys of the secrets, by option.
    pub kms_keys: Vec<String>,
    /// The ids of workgroups, by their names.
    pub workgroup_ids: BTreeMap<String, String>,
}

/// A rotation with what is known of its secret.
pub(super) struct Rotated<'a> {
    pub rotation: &'a Rotation,
    pub facts: Facts,
    /// The config's, else the secret's.
    pub engine: Option<EngineKind>,
    pub master: Option<String>,
    /// Of a Redshift rotation, where it is known.
    pub target: Option<RedshiftTarget>,
}

impl Rotated<'_> {
    /// Whether its engine goes through the Data API. An engine that is not known is one that does not.
    pub(super) fn is_redshift(&self) -> bool {
        self.engine == Some(EngineKind::Redshift)
    }

    /// The secret whose password its master signs in with.
    pub(super) fn master_secret(&self) -> Option<&str> {
        let by_user = self.is_redshift() && self.rotation.options.redshift.db_user.is_some();
        self.master.as_deref().filter(|_| !by_user)
    }
}

/// The rotations of a config with what is known of their secrets.
pub(super) fn rotated<'a>(settings: &'a Settings, known: &Known) -> Vec<Rotated<'a>> {
    // Redshift signs in with a master secret only where AWS can read it.
    let aws = keeps_secrets(settings);
    let of_rotation = |rotation: &'a Rotation| {
        let facts = known.secrets.get(&rotation.secret).cloned();
        let facts = facts.unwrap_or_default();
        let redshift = &rotation.options.redshift;
        let named = redshift.target.is_some() || redshift.db_user.is_some();
        let guess = named.then_some(EngineKind::Redshift);
        let engine = rotation.engine.or(facts.engine).or(guess);
        let of_secret = || {
            let cluster = facts.cluster.clone().map(RedshiftTarget::Cluster);
            cluster.or_else(|| facts.workgroup.clone().map(RedshiftTarget::Workgroup))
        };
        let master = rotation.master_secret.clone().or(facts.master.clone());
        Rotated {
            rotation,
            engine,
            master: master.filter(|_| aws),
            target: redshift.target.clone().or_else(of_secret),
            facts,
        }
    };
    settings.rotations.iter().map(of_rotation).collect()
}

/// Whether the secrets are in AWS.
pub(super) const fn keeps_secrets(settings: &Settings) -> bool {
    matches!(settings.secrets, SecretsBackend::Aws { .. })
}
