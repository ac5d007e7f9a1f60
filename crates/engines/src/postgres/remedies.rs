//! Remedies for what a server answers to a sign-in: pure.
//!
//! The message is that of the server, in the language of its `lc_messages`. So a remedy depends on
//! the SQLSTATE, and the message at most makes it more precise.

use super::quote::ident;

/// Limits of connections (53300), of the role, of the database or of the server.
pub(super) fn connection_limit(message: &str, user: &str, database: &str) -> String {
    let (user, database) = (ident(user), ident(database));
    if message.contains("for role \"") {
        format!(
            "close idle sessions of this user, or ALTER ROLE {user} CONNECTION LIMIT with a higher number"
        )
    } else if message.contains("for database \"") {
        format!(
            "close idle sessions in this database, or ALTER DATABASE {database} CONNECTION LIMIT with a higher number"
        )
    } else {
        format!(
            "close idle sessions, or raise max_connections; if {user} or {database} has a CONNECTION LIMIT, raise that"
        )
    }
}

/// No CONNECT privilege on the database (42501 at the sign-in).
pub(super) fn no_connect(user: &str, database: &str) -> String {
    format!(
        "GRANT CONNECT ON DATABASE {} TO {}",
        ident(database),
        ident(user)
    )
}

/// ADMIN OPTION on a user. The master is then no member with the user's privileges, as the user's
/// creator is not (16 and later).
pub(super) fn admin_option(user: &str, master: &str) -> String {
    format!(
        "GRANT {} TO {} WITH ADMIN OPTION, INHERIT FALSE, SET FALSE",
        ident(user),
        ident(master)
    )
}

/// A database that accepts no connections (55000 at the sign-in).
pub(super) fn closed_database(database: &str) -> String {
    format!("ALTER DATABASE {} ALLOW_CONNECTIONS true", ident(database))
}

const LINE: &str = "add a line for this user, database and the worker's address to pg_hba.conf, above lines that reject them, and reload the server; on RDS, revoke rds_iam and rds_ad from the user and its roles";

/// A connection that `pg_hba.conf` refuses (28000), before the server looks at a password.
pub(super) fn not_in_hba(message: &str, encrypted: bool) -> String {
    if !encrypted && (message.contains("no encryption") || message.contains("SSL off")) {
        format!(
            "if the server accepts connections with TLS only (RDS: rds.force_ssl), set tls.mode = \"verify-full\"; else {LINE}"
        )
    } else {
        LINE.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_attributed_to_its_owner() {
        for (message, part) in [
            (
                "too many connections for role \"app\"",
                "ALTER ROLE \"app\"",
            ),
            (
                "too many connections for database \"shop\"",
                "ALTER DATABASE \"shop\"",
            ),
            ("sorry, too many clients already", "max_connections"),
            (
                "remaining connection slots are reserved for roles with the SUPERUSER attribute",
                "max_connections",
            ),
            ("zu viele Verbindungen", "max_connections"),
        ] {
            let remedy = connection_limit(message, "app", "shop");
            assert!(remedy.contains(part), "{remedy}");
        }
    }

    #[test]
    fn tls_is_the_remedy_only_without_tls() {
        let message = "no pg_hba.conf entry for host \"10.0.0.7\", user \"app\", database \"shop\", no encryption";
        for part in ["tls.mode", "pg_hba.conf"] {
            assert!(not_in_hba(message, false).contains(part));
        }
        assert!(not_in_hba(message, true).contains("pg_hba.conf"));
        let rejected = "pg_hba.conf rejects connection for host \"10.0.0.7\", SSL encryption";
        assert!(not_in_hba(rejected, false).contains("pg_hba.conf"));
    }
}
