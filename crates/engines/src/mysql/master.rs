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
    let end = if engine.name_limit == Mysql::of_mariadb().name_limit {
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
            format!("GRANT ALL PRIVILEGES ON {schema}.* TO {master} WITH GRANT OPTION"),
            "it grants one user the privileges of the other, and can grant only its own: add those that the application has on other schemas",
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
