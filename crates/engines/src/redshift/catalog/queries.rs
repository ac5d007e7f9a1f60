//! Queries of an inspection, one SELECT each. Pure.
//!
//! # Failure modes
//! - A user name contains SQL. Names appear only as literals of `quote.rs`.
//! - A privilege from a group, a role or PUBLIC is copied as a direct grant. The queries select
//!   only rows of the user itself.
//! - A result contains a password digest, which the API keeps for a day. Queries read only its
//!   first characters.
//! - The server refuses one query, and the batch fails. Queries that the manual does not promise to
//!   every superuser are [`OptionalQuery`], which then run one by one.
//! - The schema of temporary tables of another session does not exist for the admin
//!   ([`NO_TEMPORARY_SCHEMA`]).

use std::collections::BTreeSet;

use crate::redshift::api::BatchStatement;
use crate::redshift::quote::{ident, literal};
use twinkey_core::secret::pair::Pair;

/// A filter of Redshift's own schemas. It uses no LIKE, because escapes differ between servers.
const NO_SYSTEM_SCHEMAS: &str =
    "substring(n.nspname, 1, 3) <> 'pg_' AND n.nspname <> 'information_schema'";

/// A filter of the schemas of temporary tables; grants on system tables of `pg_catalog` remain.
const NO_TEMPORARY_SCHEMA: &str = "substring(namespace_name, 1, 8) <> 'pg_temp_'";

/// The separator of a user's settings; no setting contains it.
pub(in crate::redshift) const SEPARATOR: char = '\u{1f}';

/// The admin's user, its access to system tables, its roles, and the server's time.
pub(in crate::redshift) fn admin_queries() -> [BatchStatement; 4] {
    [
        "SELECT usename, usesuper, version() FROM pg_user WHERE usename = current_user",
        "SELECT syslog_access FROM svv_user_info WHERE user_name = current_user",
        "SELECT role_name, admin_option FROM svv_user_grants WHERE user_name = current_user",
        "SELECT getdate()",
    ]
    .map(BatchStatement::plain)
}

/// Roles of roles, the system privileges of roles, and the admin's rights on the table of locks: for an
/// admin that is no superuser.
pub(in crate::redshift) fn role_queries() -> [BatchStatement; 3] {
    [
        "SELECT role_name, granted_role_name FROM svv_role_grants",
        "SELECT identity_name, system_privilege FROM svv_system_privileges WHERE identity_type = 'role'",
        // A table is not found without USAGE on its schema.
        "SELECT has_database_privilege(d.datname, 'CREATE'), n.nspname IS NOT NULL, \
         coalesce(has_schema_privilege(n.nspname, 'USAGE'), false), \
         coalesce(has_schema_privilege(n.nspname, 'CREATE'), false), c.relname IS NOT NULL, \
         CASE WHEN has_schema_privilege(n.nspname, 'USAGE') AND c.relname IS NOT NULL THEN \
             has_table_privilege(n.nspname || '.' || c.relname, 'SELECT') \
             AND has_table_privilege(n.nspname || '.' || c.relname, 'INSERT') \
             AND has_table_privilege(n.nspname || '.' || c.relname, 'UPDATE') \
             AND has_table_privilege(n.nspname || '.' || c.relname, 'DELETE') \
         ELSE false END \
         FROM pg_database d LEFT JOIN pg_namespace n ON n.nspname = 'twinkey' \
         LEFT JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = 'locks' \
         WHERE d.datname = current_database()",
    ]
    .map(BatchStatement::plain)
}

/// What an [`OptionalQuery`] returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::redshift) enum Optional {
    /// The first characters of the stored passwords.
    PasswordForms,
    /// Grants in the cluster that twinkey cannot copy, as text.
    UncopiedInCluster,
    /// The same in a database.
    Uncopied,
    /// Models with their owners.
    Models,
}

/// A query that the server may refuse.
#[derive(Debug, Clone)]
pub(in crate::redshift) struct OptionalQuery {
    pub answers: Optional,
    /// What is unknown without it.
    pub what: &'static str,
    pub statement: BatchStatement,
}

impl OptionalQuery {
    fn new(answers: Optional, what: &'static str, statement: String) -> Self {
        Self {
            answers,
            what,
            statement: BatchStatement::plain(statement),
        }
    }
}

fn user_names(pair: &Pair) -> String {
    format!("({}, {})", literal(&pair.base), literal(&pair.clone))
}

/// Queries of what all databases share.
pub(in crate::redshift) fn cluster_queries(pair: &Pair) -> Vec<BatchStatement> {
    let both = user_names(pair);
    let all = vec![
        format!(
            "SELECT usename, usesysid, usecreatedb, usesuper, valuntil, \
             array_to_string(useconfig, chr(31)) FROM pg_user WHERE usename IN {both}"
        ),
        format!(
            "SELECT user_name, connection_limit, syslog_access, session_timeout \
             FROM svv_user_info WHERE user_name IN {both}"
        ),
        format!(
            "SELECT u.usename, g.groname FROM pg_group g JOIN pg_user u \
             ON u.usesysid = ANY (g.grolist) WHERE u.usename IN {both}"
        ),
        format!(
            "SELECT user_name, role_name, admin_option FROM svv_user_grants WHERE user_name IN {both}"
        ),
        "SELECT database_name, database_type FROM svv_redshift_databases \
         WHERE database_type IN ('local', 'shared') ORDER BY database_name"
            .to_owned(),
        format!(
            "SELECT identity_name, database_name, privilege_type, admin_option, privilege_scope \
             FROM svv_database_privileges WHERE identity_type = 'user' AND identity_name IN {both}"
        ),
        format!(
            "SELECT u.usename, d.datname FROM pg_database d JOIN pg_user u \
             ON u.usesysid = d.datdba WHERE u.usename IN {both}"
        ),
    ];
    all.into_iter().map(BatchStatement::plain).collect()
}

/// Optional queries of what all databases share.
pub(in crate::redshift) fn optional_cluster_queries(pair: &Pair) -> Vec<OptionalQuery> {
    let both = user_names(pair);
    let of_user = format!("identity_type = 'user' AND identity_name IN {both}");
    vec![
        // The guide does not describe pg_shadow.
        OptionalQuery::new(
            Optional::PasswordForms,
            "the form of the stored passwords",
            format!(
                "SELECT usename, substring(passwd, 1, 6) FROM pg_shadow WHERE usename IN {both}"
            ),
        ),
        OptionalQuery::new(
            Optional::UncopiedInCluster,
            "ASSUMEROLE privileges",
            format!(
                "SELECT identity_name, 'ASSUMEROLE on ' || iam_arn || ' for ' || command_type \
                 FROM svv_iam_privileges WHERE {of_user}"
            ),
        ),
        OptionalQuery::new(
            Optional::UncopiedInCluster,
            "privileges on datashares",
            format!(
                "SELECT identity_name, privilege_type || ' on datashare ' || datashare_name \
                 FROM svv_datashare_privileges WHERE {of_user}"
            ),
        ),
    ]
}

/// Queries of one database.
pub(in crate::redshift) fn database_queries(pair: &Pair) -> Vec<BatchStatement> {
    let both = user_names(pair);
    let of_user = format!("identity_type = 'user' AND identity_name IN {both}");
    let of_permanent = format!("{of_user} AND {NO_TEMPORARY_SCHEMA}");
    let all = vec![
        format!(
            "SELECT identity_name, namespace_name, privilege_type, admin_option, privilege_scope \
             FROM svv_schema_privileges WHERE {of_permanent}"
        ),
        format!(
            "SELECT identity_name, namespace_name, relation_name, privilege_type, admin_option \
             FROM svv_relation_privileges WHERE {of_permanent}"
        ),
        format!(
            "SELECT identity_name, namespace_name, relation_name, column_name, privilege_type \
             FROM svv_column_privileges WHERE {of_permanent}"
        ),
        format!(
            "SELECT identity_name, namespace_name, function_name, argument_types, privilege_type, \
             admin_option FROM svv_function_privileges WHERE {of_permanent}"
        ),
        format!(
            "SELECT identity_name, language_name, privilege_type, admin_option \
             FROM svv_language_privileges WHERE {of_user}"
        ),
        format!(
            "SELECT identity_name, namespace_name, model_name, privilege_type, admin_option \
             FROM svv_ml_model_privileges WHERE {of_user}"
        ),
        format!(
            "SELECT owner_name, schema_name, object_type, privilege_type, grantee_name, \
             grantee_type, admin_option FROM svv_default_privileges \
             WHERE owner_name IN {both} OR grantee_type = 'user' AND grantee_name IN {both}"
        ),
        format!(
            "SELECT u.usename, n.nspname, c.relname, c.relkind FROM pg_class c \
             JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_user u ON u.usesysid = c.relowner \
             WHERE u.usename IN {both} AND c.relkind IN ('r', 'v', 'm') AND {NO_SYSTEM_SCHEMAS} \
             AND substring(c.relname, 1, 8) <> 'mv_tbl__'"
        ),
        format!(
            "SELECT u.usename, n.nspname FROM pg_namespace n JOIN pg_user u \
             ON u.usesysid = n.nspowner WHERE u.usename IN {both} AND {NO_SYSTEM_SCHEMAS}"
        ),
        format!(
            "SELECT u.usename, n.nspname, p.proname, oidvectortypes(p.proargtypes), p.prokind, \
             l.lanname FROM pg_proc_info p JOIN pg_namespace n ON n.oid = p.pronamespace \
             JOIN pg_language l ON l.oid = p.prolang JOIN pg_user u ON u.usesysid = p.proowner \
             WHERE (u.usename IN {both} OR p.prokind = 'p' OR l.lanname = '{MODEL_LANGUAGE}') \
             AND {NO_SYSTEM_SCHEMAS}"
        ),
        format!(
            "SELECT n.nspname, c.relname FROM pg_class c \
             JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.relkind IN ('v', 'm') AND {NO_SYSTEM_SCHEMAS}{}",
            with_grants(pair)
        ),
    ];
    all.into_iter().map(BatchStatement::plain).collect()
}

/// A condition of relations with a grant to the pair; empty where an ACL would quote the names.
fn with_grants(pair: &Pair) -> String {
    let names = [&pair.base, &pair.clone];
    let is_plain = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !names.iter().all(|name| is_plain(name)) {
        return String::new();
    }
    let [base, clone] = names.map(|name| {
        let name = literal(name);
        format!("position({name} in array_to_string(c.relacl, ',')) > 0")
    });
    format!(" AND ({base} OR {clone})")
}

/// The language of a model's functions, which are granted by way of the model.
pub(in crate::redshift) const MODEL_LANGUAGE: &str = "mlfunc";

/// Optional queries of one database.
pub(in crate::redshift) fn optional_database_queries(
    pair: &Pair,
    database: &str,
) -> Vec<OptionalQuery> {
    let both = user_names(pair);
    vec![
        // Both views are documented for holders of sys:secadmin.
        OptionalQuery::new(
            Optional::Uncopied,
            "row-level security policies",
            format!(
                "SELECT grantee, 'the row-level security policy ' || polname || ' on ' || \
                 relschema || '.' || relname FROM svv_rls_attached_policy \
                 WHERE granteekind = 'user' AND grantee IN {both}"
            ),
        ),
        OptionalQuery::new(
            Optional::Uncopied,
            "masking policies",
            format!(
                "SELECT grantee, 'the masking policy ' || policy_name || ' on ' || \
                 schema_name || '.' || table_name FROM svv_attached_masking_policy \
                 WHERE grantee_type = 'user' AND grantee IN {both}"
            ),
        ),
        OptionalQuery::new(
            Optional::Models,
            "models of the two users",
            format!(
                "SELECT user_name, schema_name, model_name FROM svv_ml_model_info \
                 WHERE database_name = {} AND user_name IN {both}",
                literal(database)
            ),
        ),
    ]
}

/// Which of these users are superusers, and their relations and schemas.
pub(in crate::redshift) fn rights_of_grantors(names: &BTreeSet<&str>) -> [BatchStatement; 3] {
    let names: Vec<String> = names.iter().map(|name| literal(name)).collect();
    let names = names.join(", ");
    [
        format!("SELECT usename FROM pg_user WHERE usesuper AND usename IN ({names})"),
        format!(
            "SELECT u.usename, n.nspname, c.relname FROM pg_class c \
             JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_user u ON u.usesysid = c.relowner \
             WHERE u.usename IN ({names})"
        ),
        format!(
            "SELECT u.usename, n.nspname FROM pg_namespace n JOIN pg_user u \
             ON u.usesysid = n.nspowner WHERE u.usename IN ({names})"
        ),
    ]
    .map(BatchStatement::plain)
}

/// All grants to one user, in this database or in a shared one.
pub(in crate::redshift) fn show_grants(user: &str, database: Option<&str>) -> BatchStatement {
    let from = database.map(|name| format!(" FROM DATABASE {}", ident(name)));
    BatchStatement::plain(format!(
        "SHOW GRANTS FOR {}{}",
        ident(user),
        from.unwrap_or_default()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redshift::api::MAX_STATEMENTS;

    #[test]
    fn the_inspection_of_the_secrets_database_fits_one_batch() {
        let pair = Pair::of("a'b", "_clone");
        let cluster = cluster_queries(&pair);
        let database = database_queries(&pair);
        let optional = [
            optional_cluster_queries(&pair),
            optional_database_queries(&pair, "dev"),
        ]
        .concat();
        // Those of a database are also read of an admin that is no superuser.
        let all = cluster.len() + 2 * database.len() + optional.len();
        assert!(all <= MAX_STATEMENTS, "{all}");
        let optional = optional.iter().map(|query| &query.statement);
        for query in cluster.iter().chain(&database).chain(optional) {
            assert!(query.shown.starts_with("SELECT "));
            assert!(!query.shown.contains("'a'b"), "{}", query.shown);
        }
    }

    #[test]
    fn no_query_reads_a_whole_digest() {
        let pair = Pair::of("app", "_clone");
        let optional = optional_cluster_queries(&pair).into_iter();
        let all: Vec<BatchStatement> = optional
            .map(|query| query.statement)
            .chain(cluster_queries(&pair))
            .collect();
        let of_passwords = all.iter().filter(|query| query.shown.contains("passwd"));
        assert!(of_passwords.clone().count() == 1);
        assert!(
            of_passwords
                .clone()
                .all(|query| query.shown.contains("substring(passwd, 1, 6)"))
        );
    }
}
