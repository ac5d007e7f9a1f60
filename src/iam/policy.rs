//! Policy statements, derived from the config.

use std::collections::BTreeSet;

use serde_json::json;

use super::known::{Known, KnownRotation, known_rotations, uses_aws_store};
use super::{AccountScope, Policy, Statement, redshift};
use crate::config::settings::{Destination, HookActionSettings, Settings};
use twinkey_core::aws::arn;

/// The calls of the AWS store on a rotated secret.
const ROTATED: [&str; 5] = [
    "secretsmanager:DescribeSecret",
    "secretsmanager:GetSecretValue",
    "secretsmanager:ListSecretVersionIds",
    "secretsmanager:PutSecretValue",
    "secretsmanager:UpdateSecretVersionStage",
];
const MASTER: [&str; 1] = ["secretsmanager:GetSecretValue"];
/// The calls on the secrets that a pooler reads.
const POOLERS: [&str; 3] = [
    "secretsmanager:DescribeSecret",
    "secretsmanager:GetSecretValue",
    "secretsmanager:PutSecretValue",
];

/// The minimal policy of this config.
#[must_use]
pub fn policy(settings: &Settings, scope: &AccountScope, known: &Known) -> Policy {
    let rotations = known_rotations(settings, known);
    let mut all = Policy {
        version: "2012-10-17",
        statements: Vec::new(),
        notes: notes(settings, known, &rotations),
    };
    if uses_aws_store(settings) {
        secrets(&rotations, scope, known, &mut all);
        discovered(settings, scope, &mut all);
    }
    redshift::statements(&rotations, scope, known, uses_aws_store(settings), &mut all);
    notifications_and_hooks(settings, scope, &mut all);
    all.statements.retain(|one| !one.resources.is_empty());
    all
}

fn secrets(rotations: &[KnownRotation<'_>], scope: &AccountScope, known: &Known, all: &mut Policy) {
    let arn = |name: &str| {
        let facts = known.secrets.get(name);
        let whole = facts.and_then(|facts| facts.arn.clone());
        whole.unwrap_or_else(|| scope.secret(name))
    };
    let names = || rotations.iter().map(|one| one.rotation.secret.as_str());
    let masters = || rotations.iter().filter_map(KnownRotation::master_secret);
    all.statements.push(Statement::allow(
        "RotatedSecrets",
        &ROTATED,
        names().map(arn),
    ));
    all.statements.push(Statement::allow(
        "MasterSecrets",
        &MASTER,
        masters().map(arn),
    ));
    let of_poolers = rotations.iter().flat_map(|one| &one.rotation.poolers);
    let of_poolers: BTreeSet<&String> = of_poolers
        .flat_map(|pooler| pooler.secrets.values())
        .collect();
    all.statements.push(Statement::allow(
        "SecretsOfPoolers",
        &POOLERS,
        of_poolers.iter().map(|name| arn(name)),
    ));
    rds(rotations, scope, all);
    all.statements.push(list_secrets("Readiness"));
    // Heartbeats read many secrets in one call, which supports no resources either. It returns only
    // what GetSecretValue of the role returns.
    if rotations.iter().any(|one| one.rotation.heartbeat.is_some()) {
        all.statements.push(Statement::allow(
            "Heartbeats",
            &["secretsmanager:BatchGetSecretValue"],
            ["*".to_owned()],
        ));
    }
    let of_secret = |name: &str| known.secrets.get(name)?.kms_key.clone();
    let mut keys = |keys: Vec<String>| -> BTreeSet<String> {
        let keys = keys.into_iter();
        keys.filter_map(|key| kms_key(scope, key, &mut all.notes))
            .collect()
    };
    let of_rotated = names()
        .chain(of_poolers.into_iter().map(String::as_str))
        .filter_map(of_secret)
        .chain(known.kms_keys.clone());
    let rotated_keys = keys(of_rotated.collect());
    let mut master_keys = keys(masters().filter_map(of_secret).collect());
    master_keys.retain(|key| !rotated_keys.contains(key));
    // Keys are used through Secrets Manager only ("Secret encryption and decryption in AWS Secrets Manager").
    let through = |region: &str| {
        let service = format!("secretsmanager.{region}.{}", arn::dns_suffix(region));
        json!({ "StringEquals": { "kms:ViaService": service } })
    };
    let rotated_keys = Statement::allow(
        "KeysOfRotatedSecrets",
        &["kms:Decrypt", "kms:GenerateDataKey"],
        rotated_keys,
    );
    let master_keys = Statement::allow("KeysOfMasterSecrets", &["kms:Decrypt"], master_keys);
    for keys in [rotated_keys, master_keys] {
        all.statements.push(keys.when(through(&scope.region)));
    }
}

/// ListSecrets supports no resources ("Actions, resources, and condition keys for AWS Secrets Manager").
pub(super) fn list_secrets(sid: &'static str) -> Statement {
    Statement::allow(sid, &["secretsmanager:ListSecrets"], ["*".to_owned()])
}

/// The calls on secrets that are not in the config: by the names and tags of each `[[discover]]`.
fn discovered(settings: &Settings, scope: &AccountScope, all: &mut Policy) {
    for (n, table) in settings.discover.iter().enumerate() {
        let any = ["*".to_owned()];
        let names = if table.names.is_empty() {
            &any[..]
        } else {
            &table.names
        };
        let statement = Statement::allow(
            format!("DiscoveredSecrets{}", n + 1),
            &ROTATED,
            names.iter().map(|name| scope.secret(name)),
        );
        let tags: serde_json::Map<String, serde_json::Value> = (table.tags.iter())
            .map(|(key, value)| (format!("secretsmanager:ResourceTag/{key}"), json!(value)))
            .collect();
        all.statements.push(if tags.is_empty() {
            statement
        } else {
            statement.when(json!({ "StringEquals": tags }))
        });
        let masters = match &table.master_secret {
            Some(template) => vec![template.pattern()],
            None => table.shared.masters.clone().unwrap_or_default(),
        };
        if masters.is_empty() {
            all.notes.push(format!(
                "[[discover]] #{} names no masters: its secrets name them, and the policy has none of them; set master_secret or masters",
                n + 1
            ));
        }
        all.statements.push(Statement::allow(
            format!("MastersOfDiscoveredSecrets{}", n + 1),
            &MASTER,
            masters.iter().map(|name| scope.secret(name)),
        ));
    }
}

/// The calls that find the hosts of masters that RDS manages, and readers. A listing covers all databases ("Actions,
/// resources, and condition keys for Amazon RDS"); clusters of DocumentDB are among them.
fn rds(rotations: &[KnownRotation<'_>], scope: &AccountScope, all: &mut Policy) {
    let by_rds = |one: &KnownRotation<'_>| one.rotation.readers.by_rds;
    if !rotations.iter().any(|one| one.asks_rds() || by_rds(one)) {
        return;
    }
    all.statements.push(Statement::allow(
        "HostsOfManagedMasters",
        &["rds:DescribeDBInstances"],
        [scope.arn("rds", "db:*")],
    ));
    all.statements.push(Statement::allow(
        "HostsOfManagedClusters",
        &["rds:DescribeDBClusters"],
        [scope.arn("rds", "cluster:*")],
    ));
}

/// The ARN of a key, given by ARN or id. A policy does not resolve an alias
/// ("Using aliases to control access to KMS keys").
fn kms_key(scope: &AccountScope, key: String, notes: &mut Vec<String>) -> Option<String> {
    if key.contains("alias/") {
        notes.push(format!(
            "the KMS key {key} is an alias, which a policy does not support: give the key's ARN with --kms-key"
        ));
        return None;
    }
    if arn::region(&key).is_some() {
        return Some(key);
    }
    Some(scope.arn("kms", &format!("key/{key}")))
}

/// The statements for notifications and hooks.
fn notifications_and_hooks(settings: &Settings, scope: &AccountScope, all: &mut Policy) {
    let mut topics = BTreeSet::new();
    let mut buses = BTreeSet::new();
    for notify in &settings.notify {
        match &notify.to {
            Destination::Webhook { .. } => {}
            Destination::Sns { topic_arn } => {
                topics.insert(topic_arn.clone());
            }
            Destination::EventBridge { bus } => {
                let whole = arn::region(bus).map(|_| bus.clone());
                let whole =
                    whole.unwrap_or_else(|| scope.arn("events", &format!("event-bus/{bus}")));
                buses.insert(whole);
            }
        }
    }
    if !topics.is_empty() {
        all.notes.push("if a topic is encrypted with a customer managed KMS key, also allow kms:Decrypt and kms:GenerateDataKey* on that key".into());
    }
    let services = settings.hooks.iter().flat_map(|hook| match &hook.action {
        HookActionSettings::EcsRedeploy { cluster, services } => services
            .iter()
            .map(|service| ecs_service(scope, cluster, service))
            .collect(),
        HookActionSettings::Exec { .. } => Vec::new(),
    });
    let services: Vec<String> = services.collect();
    let more = [
        Statement::allow("Topics", &["sns:Publish"], topics),
        Statement::allow("Buses", &["events:PutEvents"], buses),
        Statement::allow("Services", &["ecs:UpdateService"], services),
    ];
    all.statements.extend(more);
}

/// The ARN of a service, in the region of its cluster.
fn ecs_service(scope: &AccountScope, cluster: &str, service: &str) -> String {
    if arn::region(service).is_some() {
        return service.to_owned();
    }
    let name = cluster.rsplit_once(":cluster/");
    match name {
        Some((prefix, name)) => format!("{prefix}:service/{name}/{service}"),
        None => scope.arn("ecs", &format!("service/{cluster}/{service}")),
    }
}

fn notes(settings: &Settings, known: &Known, rotations: &[KnownRotation<'_>]) -> Vec<String> {
    let mut all = Vec::new();
    if known.complete || !uses_aws_store(settings) {
        return all;
    }
    let of = |lacks: &dyn Fn(&KnownRotation<'_>) -> bool| -> Vec<String> {
        let lacking = rotations.iter().filter(|one| lacks(one));
        lacking.map(|one| one.rotation.name.clone()).collect()
    };
    let no_engine = of(&|one| one.engine.is_none());
    if !no_engine.is_empty() {
        all.push(format!(
            "the config does not name the engine of {}: permissions for Redshift are omitted for them; give --ask, or set engine in the config",
            no_engine.join(", ")
        ));
    }
    let no_master = of(&|one| one.master.is_none() && !one.is_redshift());
    if !no_master.is_empty() {
        all.push(format!(
            "the config does not name the master secret of {}, which is in the secret (masterarn): it is omitted; give --ask, or set master_secret in the config",
            no_master.join(", ")
        ));
    }
    if known.kms_keys.is_empty() {
        all.push("no KMS key is named, which is correct only if all secrets use aws/secretsmanager; else give --ask or --kms-key".into());
    }
    all
}
