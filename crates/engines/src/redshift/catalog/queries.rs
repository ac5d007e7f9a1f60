//! Queries of an inspection, one SELECT each. Pure.
//!
//! # Failure modes
//! - A user name contains SQL. Names appear only as literals of `quote.rs`.
//! - A privilege from a group, a role or PUBLIC is copied as a direct grant. The queries select
//!   only rows of the user itself.
//! - A result contains a password digest, which the API keeps for a day. Queries read only its
//!   first characters.

use crate::redshift::api::BatchStatement;
use crate::redshift::quote::literal;
use twinkey_core::secret::pair::Pair;

/// A filter of Redshift's own schemas. It uses no LIKE, because escapes differ between servers.
const NO_SYSTEM_SCHEMAS: &str =
    "substring(n.nspname, 1, 3) <> 'pg_' AND n.nspname <> 'information_schema'";

/// The separator of a user's settings; no setting contains it.
pub(in crate::redshift) const SEPARATOR: char = '\u{1f}';

/// The admin's user, its access to system tables, and its roles.
pub(in crate::redshift) fn admin_queries() -> [BatchStatement; 3] {
    [
        "SELECT usename, usesuper, version() FROM pg_user WHERE usename = current_user",
        "SELECT syslog_access FROM svv_user_info WHERE user_name = current_user",
        "SELECT role_name FROM svv_user_grants WHERE user_name = current_user",
    ]
    .map(BatchStatement::plain)
}

fn user_names(pair: &Pair) -> String {
    format!("({}, {})", literal(&pair.base), literal(&pair.clone))
}

/// Queries of what all databases share; the last three need a superuser.
pub(in crate::redshift) fn cluster_queries(pair: &Pair, superuser: bool) -> Vec<BatchStatement> {
    let both = user_names(pair);
    let mut all = vec![
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
        "SELECT database_name FROM svv_redshift_databases WHERE database_type = 'local' \
         ORDER BY database_name"
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
    if superuser {
        let of_user = format!("identity_type = 'user' AND identity_name IN {both}");
        all.extend([
            format!(
                "SELECT usename, substring(passwd, 1, 6) FROM pg_shadow WHERE usename IN {both}"
            ),
            format!(
                "SELECT identity_name, 'ASSUMEROLE on ' || iam_arn || ' for ' || command_type \
                 FROM svv_iam_privileges WHERE {of_user}"
            ),
            format!(
                "SELECT identity_name, privilege_type || ' on datashare ' || datashare_name \
                 FROM svv_datashare_privileges WHERE {of_user}"
            ),
        ]);
    }
    all.into_iter().map(BatchStatement::plain).collect()
}

/// The number of [`cluster_queries`] without those for superusers.
pub(in crate::redshift) const CLUSTER_QUERIES: usize = 7;

/// Queries of one database; the last two need a superuser.
pub(in crate::redshift) fn database_queries(pair: &Pair, superuser: bool) -> Vec<BatchStatement> {
    let both = user_names(pair);
    let of_user = format!("identity_type = 'user' AND identity_name IN {both}");
    let mut all = vec![
        format!(
            "SELECT identity_name, namespace_name, privilege_type, admin_option, privilege_scope \
             FROM svv_schema_privileges WHERE {of_user}"
        ),
        format!(
            "SELECT identity_name, namespace_name, relation_name, privilege_type, admin_option \
             FROM svv_relation_privileges WHERE {of_user}"
        ),
        format!(
            "SELECT identity_name, namespace_name, relation_name, column_name, privilege_type \
             FROM svv_column_privileges WHERE {of_user}"
        ),
        format!(
            "SELECT identity_name, namespace_name, function_name, argument_types, privilege_type, \
             admin_option FROM svv_function_privileges WHERE {of_user}"
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
            "SELECT u.usename, n.nspname, p.proname, oidvectortypes(p.proargtypes), p.prokind \
             FROM pg_proc_info p JOIN pg_namespace n ON n.oid = p.pronamespace \
             JOIN pg_user u ON u.usesysid = p.proowner \
             WHERE (u.usename IN {both} OR p.prokind = 'p') AND {NO_SYSTEM_SCHEMAS}"
        ),
    ];
    if superuser {
        all.extend([
            format!(
                "SELECT grantee, 'the row-level security policy ' || polname || ' on ' || \
                 relschema || '.' || relname FROM svv_rls_attached_policy \
                 WHERE granteekind = 'user' AND grantee IN {both}"
            ),
            format!(
                "SELECT grantee, 'the masking policy ' || policy_name || ' on ' || \
                 schema_name || '.' || table_name FROM svv_attached_masking_policy \
                 WHERE grantee_type = 'user' AND grantee IN {both}"
            ),
        ]);
    }
    all.into_iter().map(BatchStatement::plain).collect()
}

/// The number of [`database_queries`] without those for superusers.
pub(in crate::redshift) const DATABASE_QUERIES: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redshift::api::MAX_STATEMENTS;

    #[test]
    fn the_inspection_of_the_secrets_database_fits_one_batch() {
        let pair = Pair::of("a'b", "_clone");
        let cluster = cluster_queries(&pair, true);
        let database = database_queries(&pair, true);
        assert_eq!(cluster_queries(&pair, false).len(), CLUSTER_QUERIES);
        assert_eq!(database_queries(&pair, false).len(), DATABASE_QUERIES);
        assert!(cluster.len() + database.len() <= MAX_STATEMENTS);
        for query in cluster.iter().chain(&database) {
            assert!(query.shown.starts_with("SELECT "));
            assert!(!query.shown.contains("'a'b"), "{}", query.shown);
        }
    }

    #[test]
    fn no_query_reads_a_whole_digest() {
        let all = cluster_queries(&Pair::of("app", "_clone"), true);
        let of_passwords = all.iter().filter(|query| query.shown.contains("passwd"));
        assert!(of_passwords.clone().count() == 1);
        assert!(
            of_passwords
                .clone()
                .all(|query| query.shown.contains("substring(passwd, 1, 6)"))
        );
    }
}
