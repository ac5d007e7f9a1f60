//! Which accounts of the two users belong to the pair: pure.
//!
//! One name can have accounts of several consumers, such as `'app'@'%'` of an application and
//! `'app'@'localhost'` of a batch job with another password. A run sets one password on all accounts
//! of the pair, so it must not take the other consumer's.
//!
//! # Failure modes
//! - Another consumer's account gets the pair's password, or is dropped or locked: without the
//!   config key `accounts` each account must hold the active user's password, else `account_differs`
//!   is reported and nothing changes. With it, other accounts are not even read.
//! - Salts make the stored forms of one password differ (`caching_sha2_password`): the password in
//!   AWSCURRENT is compared with each form, not one form with another.
//! - An interrupted run left accounts of the standby with different passwords: those at a host of the
//!   active user get their next password from the next run. Only one that would be dropped is
//!   compared.
//! - `accounts` leaves out the account that the server selects for the worker, so that no run can
//!   prove a new password: that is an error before any change.
//! - A session of another consumer counts as a session of the standby: a client belongs to the
//!   account that the server selects for its address, the most specific one that matches.

use std::net::{IpAddr, Ipv4Addr};

use super::grants::Account;
use super::inspect::facts::{Facts, User};
use super::privileges::like;
use crate::{Finding, Severity};
use twinkey_core::code::Code;
use twinkey_core::secret::Sensitive;
use twinkey_core::secret::pair::Pair;

/// Passwords that an account of the pair can hold.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Passwords<'a> {
    /// AWSCURRENT.
    pub current: Option<&'a Sensitive>,
    /// AWSPENDING.
    pub pending: Option<&'a Sensitive>,
}

/// Whether the config's list names this host. Host names have no case.
pub(super) fn is_listed(listed: Option<&[String]>, host: &str) -> bool {
    listed.is_none_or(|listed| listed.iter().any(|one| one.eq_ignore_ascii_case(host)))
}

/// Findings about accounts that may belong to another consumer, and about listed hosts without one.
pub(super) fn findings(facts: &Facts, pair: &Pair, passwords: Passwords<'_>) -> Vec<Finding> {
    if let Some(listed) = &facts.listed {
        let absent = listed
            .iter()
            .filter(|host| !facts.active.iter().any(|user| is_at(user, host)))
            .map(|host| without_account(pair, host, facts.active.is_empty()));
        return absent.chain(left_out(facts, pair, listed)).collect();
    }
    let differs = |user: &&User| holds(facts, user, passwords.current) == Some(false);
    let others: Vec<&User> = if facts.active.len() > 1 {
        facts.active.iter().filter(differs).collect()
    } else {
        // The sign-in with AWSCURRENT proves the only one.
        Vec::new()
    };
    let own: Vec<String> = facts
        .active
        .iter()
        .filter(|user| !differs(user))
        .filter_map(|user| user.account.host.clone())
        .collect();
    let unknown = facts
        .surplus()
        .filter(|user| !facts.active.is_empty() && !is_of_pair(facts, user, passwords));
    let of_active = others.iter().map(|user| {
        let what = format!(
            "{} does not hold the password in AWSCURRENT, so another consumer may use it",
            user.account
        );
        differing(what, &own, None)
    });
    let of_standby = unknown.map(|user| {
        let what = format!(
            "{} has no counterpart among the accounts of {:?}, and its password is not the pair's, so another consumer may use it",
            user.account,
            pair.active_user()
        );
        differing(what, &own, Some(format!("DROP USER {}", user.account)))
    });
    of_active.chain(of_standby).collect()
}

/// Errors for the users of the pair that the worker cannot sign in as after a run: the server selects
/// an account that the run leaves out.
fn left_out(facts: &Facts, pair: &Pair, listed: &[String]) -> Vec<Finding> {
    let worker = &facts.master.client;
    // A run creates the standby's listed accounts.
    let created = facts
        .active
        .iter()
        .filter_map(|user| user.account.host.clone());
    let standby_hosts = facts.standby_hosts.iter().cloned().chain(created).collect();
    [
        (pair.active_user(), facts.active_hosts.clone()),
        (pair.standby_user(), standby_hosts),
    ]
    .into_iter()
    .filter_map(|(name, hosts): (_, Vec<String>)| {
        let host = selected(&hosts, worker)?;
        let may_be_selected = |other: &&String| {
            specificity(other) >= specificity(host)
                && (matches(other, worker) || (!is_address(worker) && is_address_like(other)))
        };
        let mut in_list = hosts.iter().filter(|one| is_listed(Some(listed), one));
        if is_listed(Some(listed), host) || in_list.any(|one| may_be_selected(&one)) {
            return None;
        }
        let account = Account::new(name, host);
        let drop = if facts.active_hosts.iter().any(|at| at.eq_ignore_ascii_case(host)) {
            String::new()
        } else {
            format!(", or DROP USER {account} if nothing uses it")
        };
        Some(Finding {
            code: Some(Code::PendingSigninFailed),
            ..Finding::new(
                Severity::Error,
                format!(
                    "the server selects {account} for the worker's address {worker:?}, and accounts leaves that one out, so no run can prove a new password of {name:?}"
                ),
                Some(format!(
                    "add {host:?} to accounts if that account belongs to the pair, or run the worker at a host for which the server selects a listed account{drop}"
                )),
            )
        })
    })
    .collect()
}

fn is_at(user: &User, host: &str) -> bool {
    let at = user.account.host.as_deref();
    at.is_some_and(|at| at.eq_ignore_ascii_case(host))
}

fn without_account(pair: &Pair, host: &str, is_error: bool) -> Finding {
    let severity = if is_error {
        Severity::Error
    } else {
        Severity::Warning
    };
    Finding::new(
        severity,
        format!(
            "accounts lists the host {host:?}, at which the active user {:?} has no account",
            pair.active_user()
        ),
        Some("make accounts the hosts of the accounts that belong to the pair".into()),
    )
}

fn differing(what: String, own: &[String], or: Option<String>) -> Finding {
    let list =
        format!("set accounts = {own:?} in the rotation if only these accounts belong to the pair");
    let fix = match or {
        Some(statement) => format!("{list}; if nothing uses this one, {statement}"),
        None => format!("{list}; else give all of them the password in AWSCURRENT"),
    };
    Finding {
        code: Some(Code::AccountDiffers),
        ..Finding::new(Severity::Error, what, Some(fix))
    }
}

/// Whether the account stores this password; `None` where that is not known.
pub(super) fn holds(facts: &Facts, user: &User, password: Option<&Sensitive>) -> Option<bool> {
    let definition = &user.definition;
    let form = facts.password_form(&definition.plugin)?;
    let held = form.holds(definition.stored.bytes(), password?)?;
    // The password can be the older one of two (MySQL's RETAIN CURRENT PASSWORD).
    (held || !definition.second_password).then_some(held)
}

/// Whether an account that only the standby has is the pair's: no password signs in, or one that is
/// known to be the pair's.
pub(super) fn is_of_pair(facts: &Facts, user: &User, passwords: Passwords<'_>) -> bool {
    let stored = user.definition.stored.bytes();
    let is_stored_form = |one: &&User| {
        one.account != user.account
            && one.definition.plugin == user.definition.plugin
            && one.definition.stored.bytes() == stored
    };
    let with_counterpart = |one: &&User| {
        facts
            .active
            .iter()
            .any(|a| a.account.host == one.account.host)
    };
    stored.is_empty()
        || super::plan::is_no_password(&facts.dialect, stored)
        || [passwords.pending, passwords.current]
            .into_iter()
            .any(|password| holds(facts, user, password) == Some(true))
        || facts
            .standby
            .iter()
            .filter(with_counterpart)
            .any(|one| is_stored_form(&one))
}

/// The host among a user's accounts that the server selects for a client: the most specific one that
/// matches (MySQL manual, "Access Control, Stage 1: Connection Verification").
pub(super) fn selected<'a>(hosts: &'a [String], client: &str) -> Option<&'a str> {
    hosts
        .iter()
        .filter(|host| matches(host, client))
        .max_by_key(|host| (specificity(host), host.eq_ignore_ascii_case(client)))
        .map(String::as_str)
}

/// Whether the server shows this client by its address, and not by its name.
fn is_address(client: &str) -> bool {
    client.parse::<IpAddr>().is_ok()
}

/// Whether this host can match an address.
fn is_address_like(host: &str) -> bool {
    host.starts_with(|c: char| c.is_ascii_digit()) || host.contains([':', '/'])
}

/// Whether the server may select an account at this host for the client. A client that it shows as
/// `localhost` has the address of the loopback interface.
pub(super) fn matches(host: &str, client: &str) -> bool {
    let one_of = |names: &[&str]| names.iter().any(|name| matches_name(host, name));
    if client.eq_ignore_ascii_case("localhost") {
        one_of(&[client, "127.0.0.1", "::1"])
    } else {
        one_of(&[client])
    }
}

fn matches_name(host: &str, client: &str) -> bool {
    match host.split_once('/') {
        Some((network, mask)) => in_network(network, mask, client).unwrap_or(false),
        None => host.is_empty() || like(&host.to_lowercase(), &client.to_lowercase()),
    }
}

fn in_network(network: &str, mask: &str, client: &str) -> Option<bool> {
    let bits = |text: &str| text.parse::<Ipv4Addr>().ok().map(u32::from);
    let mask = mask_of(mask)?;
    Some(bits(client)? & mask == bits(network)? & mask)
}

/// `255.255.0.0`, or MySQL's `16`.
fn mask_of(text: &str) -> Option<u32> {
    if let Ok(mask) = text.parse::<Ipv4Addr>() {
        return Some(u32::from(mask));
    }
    let length: u32 = text.parse().ok().filter(|length| *length <= 32)?;
    Some(u32::MAX.checked_shl(32 - length).unwrap_or(0))
}

/// Literal hosts, then networks by their length, then patterns by their literal beginning.
fn specificity(host: &str) -> (u8, usize) {
    if let Some((_, mask)) = host.split_once('/') {
        let length = mask_of(mask).map_or(0, u32::count_ones);
        return (1, usize::try_from(length).unwrap_or(0));
    }
    match host.find(['%', '_']) {
        None if host.is_empty() => (0, 0),
        None => (2, 0),
        Some(at) => (0, at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(all: &[&str]) -> Vec<String> {
        all.iter().map(|&host| host.to_owned()).collect()
    }

    #[test]
    fn a_client_belongs_to_the_most_specific_account() {
        let all = hosts(&[
            "%",
            "10.%",
            "10.1.%",
            "10.1.2.3",
            "192.168.0.0/255.255.0.0",
            "db_.example.com",
        ]);
        for (client, host) in [
            ("10.1.2.3", "10.1.2.3"),
            ("10.1.2.4", "10.1.%"),
            ("10.9.9.9", "10.%"),
            ("192.168.7.1", "192.168.0.0/255.255.0.0"),
            ("DB1.example.com", "db_.example.com"),
            ("172.16.0.1", "%"),
        ] {
            assert_eq!(selected(&all, client), Some(host), "{client}");
        }
        let few = hosts(&["10.%", "172.16.0.0/12"]);
        assert_eq!(selected(&few, "172.31.0.1"), Some("172.16.0.0/12"));
        assert_eq!(selected(&few, "172.32.0.1"), None);
        assert_eq!(selected(&few, "localhost"), None);
        assert_eq!(
            selected(&hosts(&["", "localhost"]), "localhost"),
            Some("localhost")
        );
    }

    #[test]
    fn without_a_list_every_host_is_listed() {
        assert!(is_listed(None, "10.%"));
        let listed = hosts(&["LocalHost", "%"]);
        assert!(is_listed(Some(&listed), "localhost"));
        assert!(!is_listed(Some(&listed), "10.%"));
    }
}
