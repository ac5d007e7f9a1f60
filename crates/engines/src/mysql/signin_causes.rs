//! Causes of a refused sign-in, as the master sees them: pure.
//!
//! The server answers most refused sign-ins with "Access denied". The accounts say why.
//!
//! # Failure modes
//! - The cause of another account is reported: the server selects one account for the worker's
//!   address, and only that one counts.

use super::accounts::{self, Passwords};
use super::grants::Account;
use super::inspect::account::Expiry;
use super::inspect::facts::{Facts, User};
use crate::{Finding, Severity, TlsMode};
use twinkey_core::code::Code;
use twinkey_core::secret::pair::Pair;

/// The causes for the active user, each with its remedy. They matter only if the sign-in was refused.
pub(super) fn of_active(
    facts: &Facts,
    pair: &Pair,
    passwords: Passwords<'_>,
    tls: TlsMode,
) -> Vec<Finding> {
    if facts.readable && facts.active_hosts.is_empty() {
        return vec![cause(
            format!(
                "the user {:?} does not exist on this server",
                pair.active_user()
            ),
            "make the secret's user name that of a user of this server".to_owned(),
        )];
    }
    let user = match selected(
        facts,
        pair.active_user(),
        &facts.active_hosts,
        &facts.active,
    ) {
        Ok(user) => user,
        Err(cause) => return cause.into_iter().collect(),
    };
    let mut causes = of_account(facts, user, tls, "");
    if accounts::holds(facts, user, passwords.current) == Some(false) {
        causes.push(cause(
            format!("{} does not hold the password in AWSCURRENT", user.account),
            "store its current password in the secret, and find out what changed one of them"
                .to_owned(),
        ));
    }
    causes
}

/// The same for the standby, whatever its password.
pub(super) fn of_standby(facts: &Facts, pair: &Pair, tls: TlsMode) -> Vec<Finding> {
    match selected(
        facts,
        pair.standby_user(),
        &facts.standby_hosts,
        &facts.standby,
    ) {
        Ok(user) => {
            let or = format!(", or ALTER USER {} REQUIRE NONE", user.account);
            of_account(facts, user, tls, &or)
        }
        Err(cause) => cause.into_iter().collect(),
    }
}

/// The account that the server selects for the worker; otherwise why there is none.
fn selected<'a>(
    facts: &Facts,
    name: &str,
    hosts: &[String],
    users: &'a [User],
) -> Result<&'a User, Option<Finding>> {
    if hosts.is_empty() {
        return Err(None);
    }
    let worker = &facts.master.client;
    let Some(host) = accounts::selected(hosts, worker) else {
        let at = hosts.join(", ");
        return Err(Some(cause(
            format!(
                "no account of {name:?} matches the worker's address, which the server shows as {worker:?}: they are at {at}"
            ),
            format!(
                "create the account {} with the grants of the others, or run the worker at one of these hosts",
                Account::new(name, worker)
            ),
        )));
    };
    let account = Account::new(name, host);
    if !accounts::is_listed(facts.listed.as_deref(), host) {
        return Err(Some(cause(
            format!(
                "the server selects {account} for the worker's address {worker:?}, and accounts leaves that one out"
            ),
            format!(
                "run the worker at a host for which the server selects a listed account, or add {host:?} to accounts"
            ),
        )));
    }
    users
        .iter()
        .find(|user| user.account == account)
        .ok_or(None)
}

/// `or`: another remedy for an account that requires TLS.
fn of_account(facts: &Facts, user: &User, tls: TlsMode, or: &str) -> Vec<Finding> {
    let (account, definition) = (&user.account, &user.definition);
    let mut all = Vec::new();
    let mut add = |applies: bool, what: String, fix: String| {
        if applies {
            all.push(cause(what, fix));
        }
    };
    add(
        definition.locked,
        format!("{account} is locked"),
        format!("find out who locked it, then ALTER USER {account} ACCOUNT UNLOCK"),
    );
    if let Some(expiry) = facts.expiry(user) {
        let again = format!(
            "set its password again: ALTER USER {account} IDENTIFIED BY '…', with the one in AWSCURRENT"
        );
        let fix = match expiry {
            Expiry::Set => again,
            Expiry::Interval(_) | Expiry::Default(_) => format!(
                "{again}, and rotate before it expires again; or ALTER USER {account} PASSWORD EXPIRE NEVER"
            ),
        };
        add(true, expiry.describe(account), fix);
    }
    add(
        facts.password_form(&definition.plugin).is_none(),
        format!(
            "{account} signs in with the plugin {:?}, whose passwords twinkey cannot rotate",
            definition.plugin
        ),
        "use caching_sha2_password (MySQL), or mysql_native_password or ed25519 (MariaDB)"
            .to_owned(),
    );
    all.extend(of_tls(user, tls, or));
    all
}

/// The cause in the account's REQUIRE.
fn of_tls(user: &User, tls: TlsMode, or: &str) -> Option<Finding> {
    let account = &user.account;
    let (what, fix) = match user.definition.settings.require() {
        "NONE" => return None,
        "SSL" if tls != TlsMode::Disable => return None,
        "SSL" => (
            format!("{account} requires TLS, and tls.mode is \"disable\""),
            format!("set tls.mode = \"verify-full\"{or}"),
        ),
        certificate => (
            format!(
                "{account} requires a client certificate ({certificate}), and twinkey has none"
            ),
            format!("ALTER USER {account} REQUIRE SSL{or}"),
        ),
    };
    Some(Finding {
        code: Some(Code::TlsFailed),
        ..cause(what, fix)
    })
}

fn cause(what: String, fix: String) -> Finding {
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
        let all = of_active(&facts, &pair, passwords, TlsMode::Disable);
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
    fn a_password_expires_by_its_own_lifetime_or_the_servers() {
        const DAY: i64 = 86_400;
        let pair = Pair::of("app", "_clone");
        let mut facts = facts();
        facts.active_hosts = vec!["%".to_owned()];
        facts.password_ages.now = 100 * DAY;
        let set_on_day_90 = |lifetime: &str| {
            let changed = 90 * DAY;
            user(
                "%",
                &format!(r#","password_last_changed":{changed}{lifetime}"#),
            )
        };
        let own = |days: u64| set_on_day_90(&format!(r#","password_lifetime":{days}"#));
        for (user, default_lifetime, part) in [
            (own(10), 0, Some("PASSWORD EXPIRE INTERVAL 10 DAY")),
            (own(11), 5, None),
            // NEVER
            (own(0), 5, None),
            (set_on_day_90(""), 10, Some("which is 10 days")),
            (set_on_day_90(""), 11, None),
            (set_on_day_90(""), 0, None),
        ] {
            facts.password_ages.default_lifetime = default_lifetime;
            facts.active = vec![user];
            let passwords = Passwords {
                current: None,
                pending: None,
            };
            let found = of_active(&facts, &pair, passwords, TlsMode::Require);
            let found: Vec<&str> = found.iter().map(|finding| finding.what.as_str()).collect();
            assert_eq!(found.len(), usize::from(part.is_some()), "{found:?}");
            assert!(part.is_none_or(|part| found[0].contains(part)), "{found:?}");
        }
    }

    #[test]
    fn a_standby_that_alone_requires_tls_is_named() {
        let pair = Pair::of("app", "_clone");
        let mut facts = facts();
        facts.standby_hosts = vec!["%".to_owned()];
        for (row, tls, fix) in [
            (
                r#","ssl_type":1"#,
                TlsMode::Disable,
                "set tls.mode = \"verify-full\", or ALTER USER `app_clone`@`%` REQUIRE NONE",
            ),
            (
                r#","ssl_type":2"#,
                TlsMode::Require,
                "ALTER USER `app_clone`@`%` REQUIRE SSL, or ALTER USER `app_clone`@`%` REQUIRE NONE",
            ),
        ] {
            let mut clone = user("%", row);
            clone.account.user = "app_clone".to_owned();
            facts.standby = vec![clone];
            let found = of_standby(&facts, &pair, tls);
            assert_eq!(found[0].fix.as_deref(), Some(fix));
            assert_eq!(found[0].code, Some(Code::TlsFailed));
        }
        facts.standby = vec![user("%", "")];
        facts.standby[0].account.user = "app_clone".to_owned();
        assert_eq!(of_standby(&facts, &pair, TlsMode::Disable), []);
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
        let missing = causes(vec![], None, "right");
        assert_eq!(missing, ["the user \"app\" does not exist on this server"]);
    }
}
