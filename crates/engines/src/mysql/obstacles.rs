//! Causes of a refused sign-in of the active user, as the master sees them: pure.
//!
//! The server answers most refused sign-ins with "Access denied". The accounts say why.
//!
//! # Failure modes
//! - The cause of another account is reported: the server selects one account for the worker's
//!   address, and only that one counts.

use super::accounts::{self, Passwords};
use super::grants::Account;
use super::inspect::facts::{Facts, User};
use crate::{Finding, Severity, TlsMode};
use twinkey_core::secret::pair::Pair;

/// The causes, each with its remedy. They matter only if the sign-in was refused.
pub(super) fn obstacles(
    facts: &Facts,
    pair: &Pair,
    passwords: Passwords<'_>,
    tls: TlsMode,
) -> Vec<Finding> {
    let name = pair.active_user();
    if facts.active_hosts.is_empty() {
        return Vec::new();
    }
    let worker = &facts.master.client;
    let Some(host) = accounts::selected(&facts.active_hosts, worker) else {
        let at = facts.active_hosts.join(", ");
        return vec![obstacle(
            format!(
                "no account of {name:?} matches the worker's address, which the server shows as {worker:?}: they are at {at}"
            ),
            format!(
                "create the account {} with the grants of the others, or run the worker at one of these hosts",
                Account::new(name, worker)
            ),
        )];
    };
    let account = Account::new(name, host);
    if !accounts::is_listed(facts.listed.as_deref(), host) {
        return vec![obstacle(
            format!(
                "the server selects {account} for the worker's address {worker:?}, and accounts leaves that one out"
            ),
            format!(
                "run the worker at a host for which the server selects a listed account, or add {host:?} to accounts"
            ),
        )];
    }
    let selected = facts.active.iter().find(|user| user.account == account);
    selected.map_or_else(Vec::new, |user| of_account(facts, user, passwords, tls))
}

fn of_account(facts: &Facts, user: &User, passwords: Passwords<'_>, tls: TlsMode) -> Vec<Finding> {
    let (account, definition) = (&user.account, &user.definition);
    let mut all = Vec::new();
    let mut add = |applies: bool, what: String, fix: String| {
        if applies {
            all.push(obstacle(what, fix));
        }
    };
    add(
        definition.locked,
        format!("{account} is locked"),
        format!("find out who locked it, then ALTER USER {account} ACCOUNT UNLOCK"),
    );
    add(
        definition.expired,
        format!("an administrator expired the password of {account}"),
        format!(
            "set its password again: ALTER USER {account} IDENTIFIED BY '…', with the one in AWSCURRENT"
        ),
    );
    let require = definition.settings.require();
    add(
        require == "SSL" && tls == TlsMode::Disable,
        format!("{account} requires TLS, and tls.mode is \"disable\""),
        "set tls.mode = \"verify-full\"".to_owned(),
    );
    add(
        !matches!(require, "NONE" | "SSL"),
        format!("{account} requires a client certificate ({require}), and twinkey has none"),
        format!("ALTER USER {account} REQUIRE SSL"),
    );
    add(
        facts.password_form(&definition.plugin).is_none(),
        format!(
            "{account} signs in with the plugin {:?}, whose passwords twinkey cannot rotate",
            definition.plugin
        ),
        "use caching_sha2_password (MySQL), or mysql_native_password or ed25519 (MariaDB)"
            .to_owned(),
    );
    add(
        accounts::holds(facts, user, passwords.current) == Some(false),
        format!("{account} does not hold the password in AWSCURRENT"),
        "store its current password in the secret, and find out what changed one of them"
            .to_owned(),
    );
    all
}

fn obstacle(what: String, fix: String) -> Finding {
    Finding::new(Severity::Note, what, Some(fix))
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;

    use super::super::inspect::account::MariadbRow;
    use super::super::inspect::facts::fixture::facts;
    use super::*;
    use crate::mysql::grants::Grants;

    /// Of "right", from `SELECT PASSWORD('right')`.
    const RIGHT: &str = "*920018161824B14A1067A69626595E68CB8284CB";

    fn user(host: &str, more: &str) -> User {
        let row = format!(
            r#"{{"plugin":"mysql_native_password","authentication_string":"{RIGHT}"{more}}}"#
        );
        let row: MariadbRow = serde_json::from_str(&row).unwrap();
        User {
            account: Account::new("app", host),
            definition: row.definition(),
            grants: Grants::default(),
            default_roles: [].into(),
        }
    }

    /// What the master at 10.0.0.7 reports about these accounts.
    fn causes(active: Vec<User>, listed: Option<&[&str]>, password: &str) -> Vec<String> {
        let hosts = active.iter().filter_map(|user| user.account.host.clone());
        let mut facts = facts();
        facts.active_hosts = hosts.collect();
        facts.listed = listed.map(|all| all.iter().map(|&host| host.to_owned()).collect());
        facts.active = active;
        let password = SecretString::from(password.to_owned());
        let passwords = Passwords {
            current: Some(&password),
            pending: None,
        };
        let pair = Pair::of("app", "_clone");
        let all = obstacles(&facts, &pair, passwords, TlsMode::Disable);
        all.into_iter().map(|finding| finding.what).collect()
    }

    #[test]
    fn each_cause_has_its_sentence() {
        for (row, password, cause) in [
            (r#","account_locked":true"#, "right", "`app`@`%` is locked"),
            (
                r#","password_last_changed":0"#,
                "right",
                "an administrator expired the password of `app`@`%`",
            ),
            (
                r#","ssl_type":1"#,
                "right",
                "`app`@`%` requires TLS, and tls.mode is \"disable\"",
            ),
            (
                r#","ssl_type":2"#,
                "right",
                "`app`@`%` requires a client certificate (X509), and twinkey has none",
            ),
            (
                "",
                "wrong",
                "`app`@`%` does not hold the password in AWSCURRENT",
            ),
        ] {
            assert_eq!(causes(vec![user("%", row)], None, password), [cause]);
        }
        assert_eq!(causes(vec![user("%", "")], None, "right"), [""; 0]);
    }

    #[test]
    fn only_the_account_that_the_server_selects_counts() {
        let locked = r#","account_locked":true"#;
        let all = || vec![user("%", locked), user("10.%", "")];
        assert_eq!(causes(all(), None, "right"), [""; 0]);
        let left_out = causes(all(), Some(&["%"]), "right");
        assert!(left_out[0].contains("selects `app`@`10.%`"), "{left_out:?}");
        let elsewhere = causes(vec![user("192.168.%", "")], None, "right");
        assert!(
            elsewhere[0].contains("they are at 192.168.%"),
            "{elsewhere:?}"
        );
        assert_eq!(causes(vec![], None, "right"), [""; 0]);
    }
}
