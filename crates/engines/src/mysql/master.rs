//! Statements that give a master its privileges: pure. A test creates a master with them alone.

use super::Mysql;
use super::quote::ident;
use crate::master::{Grant, MasterGrants, MasterRequest};
use crate::{Engine, EngineError};

/// The statements, to be executed by a superuser or RDS's own master without `ANSI_QUOTES`.
///
/// # Errors
/// [`EngineError::UserName`]
pub(crate) fn grants(request: &MasterRequest, engine: Mysql) -> Result<MasterGrants, EngineError> {
    engine.check_user_name(&request.master)?;
    let master = format!("{}@`%`", ident(&request.master));
    // In a grant on a schema, `_` and `%` are wildcards.
    let schema = request.database.replace('\\', "\\\\");
    let schema = ident(&schema.replace('_', "\\_").replace('%', "\\%"));
    let is_mariadb = engine.name_limit == Mysql::of_mariadb().name_limit;
    let end = if is_mariadb {
        "CONNECTION ADMIN"
    } else {
        "CONNECTION_ADMIN"
    };
    let grants = vec![
        Grant::needed(
            format!("CREATE USER {master} ACCOUNT LOCK"),
            "it is locked until it has a password",
        ),
        Grant::needed(
            format!("GRANT CREATE USER ON *.* TO {master}"),
            "it creates and alters users",
        ),
        Grant::needed(
            format!("GRANT SELECT ON `mysql`.* TO {master}"),
            "it compares the privileges of the two users",
        ),
        Grant::needed(
            format!(
                "GRANT {} ON {schema}.* TO {master} WITH GRANT OPTION",
                of_schema(is_mariadb)
            ),
            "it grants one user the privileges of the other, and can grant only its own: add those that the application has on other schemas, and ALL PRIVILEGES if the application has them",
        ),
        Grant::optional(
            format!("GRANT PROCESS ON *.* TO {master}"),
            "it sees the sessions of the standby",
        ),
        Grant::optional(
            format!("GRANT {end} ON *.* TO {master}"),
            "it may end the standby's sessions (`twinkey rotate --end-sessions`)",
        ),
    ];
    Ok(MasterGrants {
        comment: "--",
        grants,
        set_password: Some(format!(
            "ALTER USER {master} IDENTIFIED BY '…' ACCOUNT UNLOCK"
        )),
    })
}

/// What ALL PRIVILEGES stands for on a schema, as far as RDS's own master has it ("Master user account
/// privileges" in the Amazon RDS user guide): on MariaDB it lacks DELETE HISTORY, so that it cannot
/// grant ALL PRIVILEGES.
const fn of_schema(is_mariadb: bool) -> &'static str {
    if is_mariadb {
        "SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, REFERENCES, INDEX, ALTER, CREATE TEMPORARY TABLES, LOCK TABLES, EXECUTE, CREATE VIEW, SHOW VIEW, CREATE ROUTINE, ALTER ROUTINE, EVENT, TRIGGER"
    } else {
        "ALL PRIVILEGES"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_name_is_no_pattern() {
        let request = MasterRequest {
            master: "ma`ster".into(),
            user: "app".into(),
            clone: None,
            database: "my_shop%".into(),
        };
        let all = grants(&request, Mysql::of_mariadb()).unwrap();
        let statements: Vec<&str> = all
            .grants
            .iter()
            .map(|one| one.statement.as_str())
            .collect();
        assert_eq!(statements[0], "CREATE USER `ma``ster`@`%` ACCOUNT LOCK");
        assert!(
            statements[3].contains(" ON `my\\_shop\\%`.* TO "),
            "{statements:?}"
        );
        let long = MasterRequest {
            master: "x".repeat(33),
            ..request
        };
        grants(&long, Mysql::of_mysql()).unwrap_err();
    }
}
