//! The questions of a look, one SELECT each: pure.
//!
//! What can go wrong, and what prevents it:
//! - a name is more than a name: names stand in texts only as `quote.rs` writes them;
//! - a privilege that the user has by a group, a role or PUBLIC is copied as its own: only rows of the
//!   user itself are asked for;
//! - a digest comes back in a result, where it could be read for a day: of a stored password only its
//!   first characters are asked for.

use super::batch::Line;
use super::quote::literal;
use twinkey_core::secret::pair::Pair;

/// Not in schemas that are Redshift's own. No backslash and no LIKE: both are read differently.
const OWN_SCHEMAS: &str =
    "substring(n.nspname, 1, 3) <> 'pg_' AND n.nspname <> 'information_schema'";

/// Between the settings of a user, which hold anything else.
pub(super) const SEPARATOR: char = '\u{1f}';

/// Who the admin is, what it may see, and its roles.
pub(super) fn greeting() -> [Line; 3] {
    [
        "SELECT usename, usesuper, version() FROM pg_user WHERE usename = current_user",
        "SELECT syslog_access FROM svv_user_info WHERE user_name = current_user",
        "SELECT role_name FROM svv_user_grants WHERE user_name = current_user",
    ]
    .map(Line::plain)
}

fn both(pair: &Pair) -> String {
    format!("({}, {})", literal(&pair.base), literal(&pair.clone))
}

/// What all databases share; the last three are for superusers alone.
pub(super) fn of_cluster(pair: &Pair, superuser: bool) -> Vec<Line> {
    let both = both(pair);
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
    all.into_iter().map(Line::plain).collect()
}

/// How many lines [`of_cluster`] has without those for superusers.
pub(super) const OF_CLUSTER: usize = 7;

/// What one database has of its own; the last two are for superusers alone.
pub(super) fn of_place(pair: &Pair, superuser: bool) -> Vec<Line> {
    let both = both(pair);
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
             WHERE u.usename IN {both} AND c.relkind IN ('r', 'v', 'm') AND {OWN_SCHEMAS} \
             AND substring(c.relname, 1, 8) <> 'mv_tbl__'"
        ),
        format!(
            "SELECT u.usename, n.nspname FROM pg_namespace n JOIN pg_user u \
             ON u.usesysid = n.nspowner WHERE u.usename IN {both} AND {OWN_SCHEMAS}"
        ),
        format!(
            "SELECT u.usename, n.nspname, p.proname, oidvectortypes(p.proargtypes), p.prokind \
             FROM pg_proc_info p JOIN pg_namespace n ON n.oid = p.pronamespace \
             JOIN pg_user u ON u.usesysid = p.proowner \
             WHERE (u.usename IN {both} OR p.prokind = 'p') AND {OWN_SCHEMAS}"
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
    all.into_iter().map(Line::plain).collect()
}

/// How many lines [`of_place`] has without those for superusers.
pub(super) const OF_PLACE: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redshift::batch::MOST_STATEMENTS;

    #[test]
    fn a_look_into_the_secrets_database_is_one_batch() {
        let pair = Pair::of("a'b", "_clone");
        let (cluster, place) = (of_cluster(&pair, true), of_place(&pair, true));
        assert_eq!(of_cluster(&pair, false).len(), OF_CLUSTER);
        assert_eq!(of_place(&pair, false).len(), OF_PLACE);
        assert!(cluster.len() + place.len() <= MOST_STATEMENTS);
        for line in cluster.iter().chain(&place) {
            assert!(line.shown.starts_with("SELECT "));
            assert!(!line.shown.contains("'a'b"), "{}", line.shown);
        }
    }

    #[test]
    fn no_whole_digest_is_asked_for() {
        let all = of_cluster(&Pair::of("app", "_clone"), true);
        let of_passwords = all.iter().filter(|line| line.shown.contains("passwd"));
        assert!(of_passwords.clone().count() == 1);
        assert!(
            of_passwords
                .clone()
                .all(|line| line.shown.contains("substring(passwd, 1, 6)"))
        );
    }
}
