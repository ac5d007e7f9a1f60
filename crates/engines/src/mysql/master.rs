//! What a master is to be given: pure. `preflight.rs` says what one lacks; a test has one made with exactly this.

use super::Mysql;
use super::quote::ident;
use crate::master::{Grant, MasterGrants, MasterRequest};
use crate::{Engine, EngineError};

/// The statements, for a superuser or RDS's own master. A session that carries them out must not have `ANSI_QUOTES`.
///
/// # Errors
/// A name that no user can have here.
pub(crate) fn grants(request: &MasterRequest, engine: Mysql) -> Result<MasterGrants, EngineError> {
    engine.check_user_name(&request.master)?;
    let master = format!("{}@`%`", ident(&request.master));
    // In a grant on a schema, `_` and `%` stand for anything.
    let schema = request.database.replace('\\', "\\\\");
    let schema = ident(&schema.replace('_', "\\_").replace('%', "\\%"));
    let grants = vec![
        Grant::needed(
            format!("CREATE USER {master} ACCOUNT LOCK"),
            "nobody signs in as it yet",
        ),
        Grant::needed(
            format!("GRANT CREATE USER ON *.* TO {master}"),
            "it makes and alters users",
        ),
        Grant::needed(
            format!("GRANT SELECT ON `mysql`.* TO {master}"),
            "it compares what the two users have",
        ),
        Grant::needed(
            format!("GRANT ALL PRIVILEGES ON {schema}.* TO {master} WITH GRANT OPTION"),
            "it gives the one what the other has: one only gives what one has, so name here what the application has, elsewhere too",
        ),
        Grant::optional(
            format!("GRANT PROCESS ON *.* TO {master}"),
            "it sees who is signed in as the standby",
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
    fn a_schema_is_named_whole_and_no_pattern_and_names_are_only_names() {
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
