//! Context of a rotation that an engine may use besides its options. Most engines use none of it.

use twinkey_core::aws::Aws;

/// Secrets and AWS identifiers of a rotation.
#[derive(Debug, Clone, Default)]
pub struct EngineContext {
    /// The rotated secret's ARN or name.
    pub secret: String,
    /// The master secret's name or ARN, where there is one and AWS can read it.
    pub master_secret: Option<String>,
    /// `dbClusterIdentifier` of the secret.
    pub cluster: Option<String>,
    /// `workgroupName` of the secret.
    pub workgroup: Option<String>,
    /// `dbClusterIdentifier` of the master secret, once it was read.
    pub master_cluster: Option<String>,
    /// `workgroupName` of the master secret, once it was read.
    pub master_workgroup: Option<String>,
    pub aws: Aws,
}

/// Credentials that an engine's admin connection needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MasterRequirement {
    /// The user of the master secret.
    Secret,
    /// No password. The name is for messages.
    NoSecret { name: String },
}
