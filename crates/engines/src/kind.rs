//! Which engines there are, and what a rotation's config says to its engine.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use super::{Engine, Surroundings, documentdb, mysql, postgres, redshift};

/// The engines that twinkey rotates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EngineKind {
    Postgres,
    Mysql,
    Mariadb,
    Documentdb,
    Redshift,
}

impl EngineKind {
    /// As the config and the metrics write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Mysql => "mysql",
            Self::Mariadb => "mariadb",
            Self::Documentdb => "documentdb",
            Self::Redshift => "redshift",
        }
    }

    /// The engine itself.
    #[must_use]
    pub fn engine(self, options: &EngineOptions, surroundings: &Surroundings) -> Box<dyn Engine> {
        match self {
            Self::Postgres => Box::new(postgres::Postgres::new(options.postgres.clone())),
            Self::Mysql => Box::new(mysql::Mysql::of_mysql()),
            Self::Mariadb => Box::new(mysql::Mysql::of_mariadb()),
            Self::Documentdb => Box::new(documentdb::Documentdb::new(options.documentdb.clone())),
            Self::Redshift => Box::new(redshift::Redshift::new(
                options.redshift.clone(),
                surroundings,
            )),
        }
    }
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for EngineKind {
    type Err = ();

    /// Reads the config's names and those that AWS writes into secrets (`aurora-postgresql`, `mongo`, …).
    fn from_str(s: &str) -> Result<Self, ()> {
        match s {
            "postgres" | "postgresql" | "aurora-postgresql" => Ok(Self::Postgres),
            "mysql" | "aurora-mysql" => Ok(Self::Mysql),
            "mariadb" => Ok(Self::Mariadb),
            "documentdb" | "docdb" | "mongo" | "mongodb" => Ok(Self::Documentdb),
            "redshift" => Ok(Self::Redshift),
            _ => Err(()),
        }
    }
}

/// What a rotation's config says to its engine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct EngineOptions {
    pub postgres: PostgresOptions,
    pub documentdb: DocumentdbOptions,
    pub redshift: RedshiftOptions,
}

/// `postgres = { … }`
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PostgresOptions {
    /// Every session of the clone becomes the base user (`ALTER ROLE clone SET role = base`).
    pub set_role: bool,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self { set_role: true }
    }
}

/// `documentdb = { … }`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct DocumentdbOptions {
    /// A reader endpoint at which every sign-in is proved too: `host:port`, or a host with the secret's port.
    pub reader: Option<String>,
}

/// `redshift = { … }`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct RedshiftOptions {
    /// `cluster` or `workgroup`; `None`: what the secret says.
    pub target: Option<RedshiftTarget>,
    /// The database user as whom the Data API is asked for temporary credentials; provisioned only.
    pub db_user: Option<String>,
    pub probe: RedshiftProbe,
}

/// Where the Data API carries statements out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RedshiftTarget {
    /// A provisioned cluster's identifier.
    Cluster(String),
    /// The name of a workgroup of Redshift Serverless.
    Workgroup(String),
}

/// How a password is proved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RedshiftProbe {
    /// By a short-lived secret that the Data API signs in with.
    #[default]
    Secret,
    /// By a connection to the secret's host and port.
    Wire,
}
