//! What a master is to be given: plain data, made by each engine in its own folder.

use super::EngineError;
use super::kind::EngineKind;
use super::{documentdb, mysql, postgres, redshift};

/// Whose master, of which pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MasterRequest {
    /// The master's name.
    pub master: String,
    /// The first user of the pair.
    pub user: String,
    /// The second one, where it is there already and the master has not made it.
    pub clone: Option<String>,
    /// The database in which the pair works.
    pub database: String,
}

/// One statement for a DBA.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Grant {
    /// A whole statement, without a password.
    pub statement: String,
    pub why: String,
    /// A run does without it.
    pub optional: bool,
}

/// The statements that make a master, and the one that lets it sign in at last.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct MasterGrants {
    /// How a comment begins where these statements are read.
    #[serde(skip)]
    pub comment: &'static str,
    pub grants: Vec<Grant>,
    /// With `…` where the password goes; `None` where a statement asks for it.
    pub set_password: Option<String>,
}

impl Grant {
    pub(super) fn needed(statement: String, why: &str) -> Self {
        Self {
            statement,
            why: why.to_owned(),
            optional: false,
        }
    }

    pub(super) fn optional(statement: String, why: &str) -> Self {
        Self {
            optional: true,
            ..Self::needed(statement, why)
        }
    }
}

/// What an engine's master is to be given, and nothing more.
///
/// # Errors
/// [`EngineError::UserName`] for a name that the engine cannot have.
pub fn grants_for_master(
    engine: EngineKind,
    request: &MasterRequest,
) -> Result<MasterGrants, EngineError> {
    match engine {
        EngineKind::Postgres => postgres::master::grants(request),
        EngineKind::Mysql => mysql::master::grants(request, mysql::Mysql::of_mysql()),
        EngineKind::Mariadb => mysql::master::grants(request, mysql::Mysql::of_mariadb()),
        EngineKind::Documentdb => documentdb::master::grants(request),
        EngineKind::Redshift => redshift::master::grants(request),
    }
}
