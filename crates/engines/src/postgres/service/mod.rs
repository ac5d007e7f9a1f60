//! Facts of RDS and Aurora about the pair and the master, and their findings.
//!
//! # Failure modes
//! - A user cannot sign in with any password, because it is a member of `rds_iam` or `rds_ad`. The
//!   service counts nested memberships too ("Database authentication" in the Amazon RDS user guide).
//! - A grant of `rds_iam` to a user of the pair locks the master out: from PostgreSQL 16 on, who
//!   creates a role is a member of it.
//! - An administrator is rotated as an application's user. RDS has no superusers; its administrators
//!   are members of `rds_superuser`.
//! - A master of RDS is refused although it may change a role: members of `rds_superuser` need no
//!   ADMIN OPTION there.
//! - A run during a blue/green deployment changes a password that the green environment does not
//!   receive: logical replication copies no roles.

use serde::Deserialize;
use sqlx::Row;
use sqlx::postgres::PgConnection;

use super::connect::Connector;
use super::inspect::Facts;
use super::quote::ident;
use crate::{EngineError, Finding, Severity, timeouts};
use twinkey_core::secret::pair::Pair;

const SERVICE: &str = include_str!("service.sql");

/// Roles whose members sign in without a password.
const TOKEN_ROLES: [&str; 2] = ["rds_iam", "rds_ad"];
/// Roles of administrators and of replication, which are superusers and REPLICATION elsewhere.
const REFUSED_ROLES: [&str; 2] = ["rds_superuser", "rds_replication"];

/// The facts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Service {
    master: String,
    /// The server has `rds_iam` or `rds_ad`.
    token_roles: bool,
    /// Memberships of the pair and of the master in roles of the service, nested ones too.
    memberships: Vec<ServiceMembership>,
    /// Users of the pair that the master is a member of.
    of_master: Vec<String>,
    /// Logical replication slots of a blue/green deployment.
    blue_green_slots: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct ServiceMembership {
    role: String,
    member: String,
    /// The direct member of the role: the member itself, or a role that it is in.
    through: String,
}

/// Reads the facts.
pub(super) async fn read(
    connection: &mut PgConnection,
    connector: &Connector,
    pair: &Pair,
) -> Result<Service, EngineError> {
    let what = "reading the roles of the service";
    let query = sqlx::query(SERVICE)
        .bind(&pair.base)
        .bind(&pair.clone)
        .fetch_one(connection);
    let text: String = timeouts::statement(query)
        .await
        .and_then(|row| row.try_get(0))
        .map_err(|error| connector.explain(what, false, error))?;
    serde_json::from_str(&text).map_err(|error| EngineError::Refused {
        what: what.into(),
        reason: format!("the server's answer cannot be parsed: {error}"),
        hint: "check the server's version: it may be a fork of PostgreSQL, or not supported".into(),
    })
}

impl Service {
    /// Gives a master of RDS the rights that the catalogue does not show.
    pub(super) fn complete(&self, facts: &mut Facts) {
        let is_rds = |m: &&ServiceMembership| m.role == "rds_superuser" && m.member == self.master;
        if facts.version >= 160_000 && self.memberships.iter().any(|m| is_rds(&m)) {
            for rights in [&mut facts.over_base, &mut facts.over_clone] {
                (rights.admin, rights.grants) = (true, true);
            }
        }
    }

    /// Reasons to refuse a run, and warnings.
    pub(super) fn findings(&self, pair: &Pair) -> Vec<Finding> {
        let mut all = Vec::new();
        for member in self.of_pair(pair, &REFUSED_ROLES) {
            all.push(Finding::new(
                Severity::Error,
                format!(
                    "{:?} is a member of {}{}, and is not rotated as an application's user",
                    member.member,
                    member.role,
                    member.path()
                ),
                Some(format!(
                    "create an ordinary user for the application, or REVOKE {} FROM {}",
                    member.role,
                    ident(&member.through)
                )),
            ));
        }
        for member in self.of_pair(pair, &TOKEN_ROLES) {
            all.push(member.no_password(Severity::Error));
        }
        all.extend(self.master(pair));
        if let Some(slot) = self.blue_green_slots.first() {
            all.push(Finding::new(
                Severity::Error,
                format!(
                    "a blue/green deployment is under way (replication slot {slot:?}): the green environment does not receive a new password"
                ),
                Some("wait until after the switchover, or delete the deployment".into()),
            ));
        }
        all
    }

    /// Causes of a refused sign-in of the active user.
    pub(super) fn causes(&self, pair: &Pair) -> Vec<Finding> {
        let members = self.of_pair(pair, &TOKEN_ROLES).into_iter();
        members
            .filter(|m| m.member == pair.active_user() && m.through != m.member)
            .map(|m| m.no_password(Severity::Note))
            .collect()
    }

    /// Memberships of the pair in these roles, the most powerful for each user. Those that the clone has
    /// through the base user are the base user's.
    fn of_pair(&self, pair: &Pair, roles: &[&str]) -> Vec<&ServiceMembership> {
        let mut found: Vec<&ServiceMembership> = Vec::new();
        for name in [&pair.base, &pair.clone] {
            let first = roles.iter().find_map(|role| {
                let mut all = self.memberships.iter();
                all.find(|m| m.role == *role && m.member == *name && *name != self.master)
            });
            let is_known = |m: &ServiceMembership| {
                found
                    .iter()
                    .any(|other| other.role == m.role && other.through == m.through)
            };
            if let Some(member) = first.filter(|m| !is_known(m)) {
                found.push(member);
            }
        }
        found
    }

    /// What a token role does, or would do, to the master.
    fn master(&self, pair: &Pair) -> Option<Finding> {
        let is_masters = |m: &&ServiceMembership| {
            m.member == self.master && TOKEN_ROLES.contains(&m.role.as_str())
        };
        if let Some(member) = self.memberships.iter().find(is_masters) {
            return Some(Finding::new(
                Severity::Warning,
                format!(
                    "the master {:?} is a member of {}{}: RDS refuses its next sign-in with a password",
                    self.master,
                    member.role,
                    member.path()
                ),
                Some(format!(
                    "REVOKE {} FROM {}",
                    member.role,
                    ident(&member.through)
                )),
            ));
        }
        let user = [pair.active_user(), pair.standby_user()]
            .into_iter()
            .find(|name| self.of_master.iter().any(|one| one == name))?;
        self.token_roles.then(|| {
            Finding::new(
                Severity::Note,
                format!(
                    "the master {:?} is a member of {user:?}: a grant of rds_iam to that user would end the master's own sign-in with a password",
                    self.master
                ),
                None,
            )
        })
    }
}

impl ServiceMembership {
    fn path(&self) -> String {
        if self.through == self.member {
            String::new()
        } else {
            format!(", through {:?}", self.through)
        }
    }

    fn no_password(&self, severity: Severity) -> Finding {
        Finding::new(
            severity,
            format!(
                "{:?} is a member of {}{}, whose members sign in without a password: no password would work",
                self.member,
                self.role,
                self.path()
            ),
            Some(format!(
                "REVOKE {} FROM {}",
                self.role,
                ident(&self.through)
            )),
        )
    }
}

#[cfg(test)]
mod tests;
