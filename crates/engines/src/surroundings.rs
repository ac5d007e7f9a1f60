//! What an engine may know of the rotation that it is made for, besides its options: plain data, and
//! the handle to AWS. Most engines need none of it.

use twinkey_core::aws::Aws;

/// Where a rotation's secrets are, and what its secret says of the server besides host and port.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// The rotated secret's ARN, or its name.
    pub secret: String,
    /// The master secret's name or ARN, where there is one and AWS can read it.
    pub master_secret: Option<String>,
    /// `dbClusterIdentifier` of the secret.
    pub cluster: Option<String>,
    /// `workgroupName` of the secret.
    pub workgroup: Option<String>,
    pub aws: Aws,
}

/// Who an engine's admin is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MasterNeeds {
    /// The user of the master secret.
    Secret,
    /// Somebody who needs no password. The name is for messages.
    NoSecret { name: String },
}
