//! Policies of a config with several accounts: that of the worker's own role, and that of each role that it
//! assumes.
//!
//! # Failure modes
//! - A role gets permissions of another account, which its account cannot use. The policy of a role is derived
//!   from the config of its stores alone.
//! - Two regions of one account have a role in common, and the second policy replaces the first. The policies
//!   of all stores with the role are merged.
//! - Any account assumes the role. The trust policy names the worker's role and the external id.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::{Policy, Statement};
use crate::config::settings::{
    AssumeRole, Destination, HookActionSettings, Rotation, SecretsBackend, Settings, StoreSettings,
    store_of_arn,
};
use twinkey_core::aws::arn;

type Store<'a> = Option<&'a Arc<StoreSettings>>;

/// The config of one store alone, with the notifications and hooks that call its account; `None` for
/// `[secrets]`.
#[must_use]
pub fn settings_of(settings: &Settings, store: Store<'_>) -> Settings {
    let is_own = |rotation: &Rotation| rotation.store.as_ref() == store;
    let discovers = settings
        .discover
        .iter()
        .any(|table| table.store.as_ref() == store);
    // A name is one in the account of each rotation; `names` are those that a hook concerns.
    let calls = |resource: &str, names: Option<&Vec<String>>| match arn::region(resource) {
        Some(_) => store_of_arn(&settings.stores, resource) == store,
        None if settings.stores.is_empty() => true,
        None => {
            let concerns = |name: &String| names.is_none_or(|names| names.contains(name));
            let is_known = |name: &String| settings.rotations.iter().any(|one| one.name == *name);
            let may_be_discovered = names.is_none_or(|names| !names.iter().all(is_known));
            let mut own = settings.rotations.iter().filter(|one| is_own(one));
            own.any(|rotation| concerns(&rotation.name)) || (discovers && may_be_discovered)
        }
    };
    let mut own = settings.clone();
    own.stores.clear();
    own.rotations.retain(is_own);
    own.discover.retain(|table| table.store.as_ref() == store);
    own.notify.retain(|notify| match &notify.to {
        Destination::Webhook { .. } => store.is_none(),
        Destination::Sns { topic_arn } => calls(topic_arn, None),
        Destination::EventBridge { bus } => calls(bus, None),
    });
    own.hooks.retain(|hook| match &hook.action {
        HookActionSettings::Exec { .. } => store.is_none(),
        HookActionSettings::EcsRedeploy { cluster, .. } => calls(cluster, hook.rotations.as_ref()),
    });
    if let Some(store) = store {
        own.secrets = SecretsBackend::Aws {
            region: store.region.clone(),
            endpoint_url: store.endpoint_url.clone(),
        };
    }
    own
}

/// The policy of one role: the statements of its stores, and one more. Statements that differ in their
/// actions or their condition stay apart.
#[must_use]
pub fn merged(policies: Vec<Policy>, more: Option<Statement>) -> Policy {
    let mut all = Policy {
        version: "2012-10-17",
        statements: Vec::new(),
        notes: Vec::new(),
    };
    // The sid of each statement before it was made unique.
    let mut sids = Vec::new();
    for policy in policies {
        for mut statement in policy.statements {
            let mut known = sids.iter().zip(&mut all.statements);
            let same = known.find(|(sid, known)| {
                **sid == statement.sid
                    && known.actions == statement.actions
                    && known.condition == statement.condition
            });
            if let Some((_, known)) = same {
                known.resources.append(&mut statement.resources);
                continue;
            }
            sids.push(statement.sid.clone());
            statement.sid = unused(&all, statement.sid);
            all.statements.push(statement);
        }
        for note in policy.notes {
            if !all.notes.contains(&note) {
                all.notes.push(note);
            }
        }
    }
    all.statements.extend(more);
    all.note_size();
    all
}

/// A sid that no statement has: a policy repeats none ("IAM JSON policy elements: Sid"). One that ends with
/// the number of a table gets the next free number.
fn unused(policy: &Policy, sid: Cow<'static, str>) -> Cow<'static, str> {
    let is_used = |sid: &str| policy.statements.iter().any(|known| known.sid == sid);
    if !is_used(&sid) {
        return sid;
    }
    let name = sid.trim_end_matches(|c: char| c.is_ascii_digit());
    let mut numbered = (2..).map(|n| format!("{name}{n}"));
    let unique = numbered.find(|unique| !is_used(unique));
    unique.map_or(sid.clone(), Cow::Owned)
}

/// What the worker's own role needs for the roles of the stores.
#[must_use]
pub fn assume_roles(settings: &Settings) -> Option<Statement> {
    let roles = roles(settings).map(|role| role.arn.clone());
    let roles: Vec<String> = roles.collect();
    (!roles.is_empty()).then(|| Statement::allow("Accounts", &["sts:AssumeRole"], roles))
}

fn roles(settings: &Settings) -> impl Iterator<Item = &AssumeRole> {
    let stores = settings.stores.iter();
    stores.filter_map(|store| store.assume_role.as_ref())
}

/// The trust policy of a role: the worker's role may assume it, with an external id that a store has for it.
#[must_use]
pub fn trust_policy(settings: &Settings, role: &str, worker_role: &str) -> Json {
    let mut statement = json!({
        "Sid": "Worker",
        "Effect": "Allow",
        "Principal": { "AWS": worker_role },
        "Action": "sts:AssumeRole",
    });
    let of_role = roles(settings).filter(|known| known.arn == role);
    let ids: Option<BTreeSet<&str>> = of_role.map(|known| known.external_id.as_deref()).collect();
    // Without a condition, any external id is accepted, and none.
    if let Some(ids) = ids {
        let ids: Vec<&str> = ids.into_iter().collect();
        let ids = match &ids[..] {
            [one] => json!(one),
            several => json!(several),
        };
        statement["Condition"] = json!({ "StringEquals": { "sts:ExternalId": ids } });
    }
    json!({ "Version": "2012-10-17", "Statement": [statement] })
}
