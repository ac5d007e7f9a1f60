//! Statements that give a master its privileges: plain data. Each engine makes its own.

/// Master and pair for which statements are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MasterRequest {
    /// The master's name.
    pub master: String,
    /// The first user of the pair.
    pub user: String,
    /// The second user, where it exists and the master did not create it.
    pub clone: Option<String>,
    /// The pair's database.
    pub database: String,
}

/// One statement for a database administrator.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Grant {
    /// A whole statement, without a password.
    pub statement: String,
    pub why: String,
    /// A run succeeds without it.
    pub optional: bool,
}

/// The statements that create a master, and the last one, which lets it sign in.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct MasterGrants {
    /// Start of a comment in the engine's shell.
    #[serde(skip)]
    pub comment: &'static str,
    pub grants: Vec<Grant>,
    /// With `…` in place of the password; `None` where one of `grants` prompts for it.
    pub set_password: Option<String>,
}

#[cfg(any(feature = "documentdb", feature = "mysql", feature = "postgres"))]
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
