//! Roles of users.

/// A role and the database in which it is defined.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct DatabaseRole {
    pub role: String,
    pub db: String,
}

impl DatabaseRole {
    pub(super) fn new(role: &str, db: &str) -> Self {
        Self {
            role: role.to_owned(),
            db: db.to_owned(),
        }
    }
}

impl std::fmt::Display for DatabaseRole {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} on {}", self.role, self.db)
    }
}
