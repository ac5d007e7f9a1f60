//! The one user of `strategy = "single"`: its facts in one query, and the change of its password.
//!
//! # Failure modes
//! - A role has one password, so the change has a gap. It is one statement in one transaction.
//! - A locked role signs in again: the statement names the password only, and not LOGIN.
//! - The user rotates itself, and may not alter itself: a role may set its own password, except where
//!   `rds.restrict_password_commands` is on, and before 16 with REPLICATION.

use serde::Deserialize;
use sqlx::Row;
use sqlx::postgres::PgConnection;

use super::connect::Connector;
use super::quote::ident;
use super::{inspect, remedies};
use crate::{
    Change, ChangeKind, EngineError, Finding, OtherForm, PasswordChange, PasswordForm, Severity,
    Statement, StoredForm, UserInspection, timeouts,
};

/// The facts about a user ($1) and this session, as one JSON document. The fields are those of
/// [`Facts`].
const FACTS: &str = include_str!("one_user.sql");

#[derive(Debug, Deserialize)]
struct Facts {
    version: u32,
    version_text: String,
    in_recovery: bool,
    password_encryption: String,
    /// `rds.restrict_password_commands` is on, and this session is not a member of `rds_password`.
    password_commands_denied: bool,
    authid_readable: bool,
    /// The user of this session.
    master: String,
    superuser: bool,
    createrole: bool,
    user: Option<UserFacts>,
}

#[derive(Debug, Deserialize)]
struct UserFacts {
    superuser: bool,
    replication: bool,
    is_master: bool,
    /// This session has ADMIN OPTION on it.
    admin: bool,
}

/// Reads the user, and plans the change of its password.
pub(super) async fn inspect(
    connection: &mut PgConnection,
    connector: &Connector,
    user: &str,
) -> Result<UserInspection, EngineError> {
    let query = sqlx::query(FACTS).bind(user).fetch_one(&mut *connection);
    let text = timeouts::statement(query)
        .await
        .and_then(|row| row.try_get::<String, _>(0))
        .map_err(|error| connector.explain("reading the user's role", false, error))?;
    let facts: Facts = inspect::read(&text)?;
    let is_md5 = if facts.authid_readable {
        inspect::stored_as_md5(connection, connector, user).await?
    } else {
        None
    };
    Ok(plan(user, &facts, is_md5))
}

/// The changes and findings. `is_md5`: how the present password is stored, where that can be read.
fn plan(user: &str, facts: &Facts, is_md5: Option<bool>) -> UserInspection {
    let is_default = facts.password_encryption == "md5";
    let assumed = is_md5.unwrap_or(is_default);
    let mut findings = Vec::new();
    if facts.in_recovery {
        findings.push(Finding::new(
            Severity::Error,
            "the server is in recovery, so no user can be changed".into(),
            Some("use the writer's endpoint: this host is a reader".into()),
        ));
    }
    if facts.user.is_none() {
        findings.push(Finding::new(
            Severity::Error,
            format!("the user {user:?} does not exist"),
            Some("make the secret's user name that of a user of this server".into()),
        ));
    }
    findings.extend(of_form(assumed));
    let other_form = is_md5.is_none().then(|| OtherForm {
        form: if assumed {
            StoredForm::ScramSha256
        } else {
            StoredForm::Md5
        },
        set_password: vec![set_password(user, !assumed)],
        finding: of_form(!assumed),
        replaces: of_form(assumed),
    });
    UserInspection {
        server: format!("PostgreSQL {}", facts.version_text),
        change: PasswordChange::Replaces,
        set_password: vec![set_password(user, assumed)],
        other_form,
        restore_current: Vec::new(),
        discard: Vec::new(),
        // A role has one password, which the sign-in tests.
        holds_password: None,
        findings,
        missing: missing(user, facts),
    }
}

/// The warning about md5.
fn of_form(is_md5: bool) -> Option<Finding> {
    is_md5.then(|| {
        Finding::new(
            Severity::Warning,
            "the user's password is stored as md5, and the next one will be too".into(),
            Some("when all clients support SCRAM, set password_encryption to scram-sha-256 and set the user's password again".into()),
        )
    })
}

fn set_password(user: &str, is_md5: bool) -> Change {
    let (form, why) = if is_md5 {
        let username = user.to_owned();
        (
            PasswordForm::PostgresMd5 { username },
            "the pending password, as an md5 hash like the present one: clients may not support SCRAM",
        )
    } else {
        (
            PasswordForm::ScramSha256,
            "the pending password, as a SCRAM verifier",
        )
    };
    Change {
        kind: ChangeKind::Password,
        database: None,
        statement: Statement::with_password(
            format!("ALTER ROLE {} PASSWORD '", ident(user)),
            form,
            "'",
        ),
        why: why.into(),
    }
}

/// The privileges that this session lacks for the change (AlterRole() in src/backend/commands/user.c).
fn missing(user: &str, facts: &Facts) -> Vec<Finding> {
    let mut all = Vec::new();
    let Some(of_user) = &facts.user else {
        return all;
    };
    let master = &facts.master;
    let name = ident(master);
    if facts.superuser {
        return all;
    }
    let needs_superuser = of_user.superuser || (facts.version < 160_000 && of_user.replication);
    if needs_superuser {
        all.push(Finding::lacks(
            format!("only a superuser sets the password of {user:?}, which has SUPERUSER, or REPLICATION before PostgreSQL 16"),
            format!("name the secret of a superuser as master_secret, or ALTER ROLE {} NOSUPERUSER NOREPLICATION", ident(user)),
        ));
    } else if !of_user.is_master {
        if !facts.createrole {
            all.push(Finding::lacks(
                format!("the master {master:?} may not create or alter users"),
                format!("ALTER ROLE {name} CREATEROLE"),
            ));
        }
        if facts.version >= 160_000 && !of_user.admin {
            all.push(Finding::lacks(
                format!("the master {master:?} has no ADMIN OPTION on {user:?}, without which it cannot alter it"),
                remedies::admin_option(user, master),
            ));
        }
    }
    if facts.password_commands_denied {
        all.push(Finding::lacks(
            format!("rds.restrict_password_commands is on, and {master:?} is not a member of rds_password: it may set no password"),
            format!("GRANT rds_password TO {name}"),
        ));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(version: u32, user: UserFacts) -> Facts {
        Facts {
            version,
            version_text: "16.4".into(),
            in_recovery: false,
            password_encryption: "scram-sha-256".into(),
            password_commands_denied: false,
            authid_readable: false,
            master: "master".into(),
            superuser: false,
            createrole: true,
            user: Some(user),
        }
    }

    const ORDINARY: UserFacts = UserFacts {
        superuser: false,
        replication: false,
        is_master: false,
        admin: true,
    };

    #[test]
    fn the_change_is_about_the_password_only() {
        let plan = plan("a\"b", &facts(160_000, ORDINARY), None);
        let shown: Vec<String> = (plan.set_password.iter())
            .map(|change| change.statement.to_string())
            .collect();
        assert_eq!(shown, ["ALTER ROLE \"a\"\"b\" PASSWORD '***'"]);
        assert_eq!(plan.change, PasswordChange::Replaces);
        assert_eq!((plan.findings, plan.missing), (Vec::new(), Vec::new()));
    }

    #[test]
    fn the_form_is_that_of_the_present_password() {
        let mut plan = plan("app", &facts(160_000, ORDINARY), None);
        plan.use_form_of(Some(StoredForm::Md5));
        let form = plan.set_password[0].statement.password_form();
        assert!(matches!(form, Some(PasswordForm::PostgresMd5 { .. })));
        assert_eq!(plan.findings.len(), 1, "{:?}", plan.findings);
    }

    #[test]
    fn a_user_may_set_its_own_password() {
        for (version, user, createrole, lacks) in [
            (160_000, ORDINARY, true, 0),
            (160_000, ORDINARY, false, 1),
            (
                160_000,
                UserFacts {
                    admin: false,
                    ..ORDINARY
                },
                false,
                2,
            ),
            (
                150_000,
                UserFacts {
                    admin: false,
                    ..ORDINARY
                },
                true,
                0,
            ),
            (
                160_000,
                UserFacts {
                    is_master: true,
                    admin: false,
                    ..ORDINARY
                },
                false,
                0,
            ),
            (
                150_000,
                UserFacts {
                    is_master: true,
                    replication: true,
                    ..ORDINARY
                },
                false,
                1,
            ),
            (
                160_000,
                UserFacts {
                    superuser: true,
                    ..ORDINARY
                },
                true,
                1,
            ),
        ] {
            let mut facts = facts(version, user);
            facts.createrole = createrole;
            let missing = missing("app", &facts);
            assert_eq!(missing.len(), lacks, "{facts:?} {missing:?}");
        }
    }
}
