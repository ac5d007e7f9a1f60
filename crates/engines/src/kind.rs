//! Names and options of the engines, as the config has them, whether or not a build has the engine.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

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
    /// Every engine.
    pub const ALL: [Self; 5] = [
        Self::Postgres,
        Self::Mysql,
        Self::Mariadb,
        Self::Documentdb,
        Self::Redshift,
    ];

    /// The port of a secret without `port`.
    #[must_use]
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Postgres => 5432,
            Self::Mysql | Self::Mariadb => 3306,
            Self::Documentdb => 27017,
            Self::Redshift => 5439,
        }
    }

    /// The name in the config and the metrics.
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

    /// The Cargo feature that adds the engine to a build.
    #[must_use]
    pub const fn feature(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Mysql | Self::Mariadb => "mysql",
            Self::Documentdb => "documentdb",
            Self::Redshift => "redshift",
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

    /// Reads the config's names and those that AWS writes into secrets (`aurora-postgresql`,
    /// `mongo`, …).
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

/// The options of each engine in a rotation's config.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct EngineOptions {
    pub postgres: PostgresOptions,
    pub mysql: MysqlOptions,
    pub redshift: RedshiftOptions,
}

/// `postgres = { … }`
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PostgresOptions {
    /// Sessions of the clone become the base user (`ALTER ROLE clone SET role = base`).
    pub set_role: bool,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self { set_role: true }
    }
}

/// The keys of MySQL and MariaDB.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct MysqlOptions {
    /// `accounts`: the hosts of the accounts that belong to the pair; `None`: all accounts.
    pub accounts: Option<Vec<String>>,
}

/// `redshift = { … }`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct RedshiftOptions {
    /// `cluster` or `workgroup`; `None`: the secret's.
    pub target: Option<RedshiftTarget>,
    /// Database user for the Data API's temporary credentials; provisioned clusters only.
    pub db_user: Option<String>,
    pub probe: RedshiftProbe,
}

/// Where the Data API executes statements.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RedshiftTarget {
    /// A provisioned cluster's identifier.
    Cluster(String),
    /// The name of a workgroup of Redshift Serverless.
    Workgroup(String),
}

/// How a password is tested.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RedshiftProbe {
    /// With a short-lived secret, with which the Data API signs in.
    #[default]
    Secret,
    /// With a connection to the secret's host and port.
    Wire,
}
