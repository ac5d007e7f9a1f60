//! The statements, from the config.

use std::collections::BTreeSet;

use serde_json::json;

use super::facts::{Known, Rotated, keeps_secrets, rotated};
use super::{Place, Policy, Statement, redshift};
use crate::config::settings::{Destination, HookActionSettings, Settings};
use twinkey_core::aws::arn;

/// What `store::aws` asks of a secret that is rotated.
const ROTATED: [&str; 4] = [
    "secretsmanager:DescribeSecret",
    "secretsmanager:GetSecretValue",
    "secretsmanager:PutSecretValue",
    "secretsmanager:UpdateSecretVersionStage",
];
const MASTER: [&str; 1] = ["secretsmanager:GetSecretValue"];
/// The characters of a managed policy, white space not counted ("IAM and AWS STS quotas").
const MANAGED_LIMIT: usize = 6144;

/// The least policy that this config needs.
#[must_use]
pub fn policy(settings: &Settings, place: &Place, known: &Known) -> Policy {
    let rotations = rotated(settings, known);
    let mut all = Policy {
        version: "2012-10-17",
        statements: Vec::new(),
        notes: notes(settings, known, &rotations),
    };
    if keeps_secrets(settings) {
        secrets(&rotations, place, known, &mut all);
    }
    redshift::statements(&rotations, place, known, &mut all);
    receivers(settings, place, &mut all);
    all.statements.retain(|one| !one.resources.is_empty());
    let size = serde_json::to_string(&all).map_or(0, |text| text.len());
    if size > MANAGED_LIMIT {
        all.notes.push(format!(
            "the policy has {size} characters, and a managed policy takes {MANAGED_LIMIT}: make one of each statement, or let one pattern stand for many secrets (secret:prod/*)"
        ));
    }
    all
}

fn secrets(rotations: &[Rotated<'_>], place: &Place, known: &Known, all: &mut Policy) {
    let arn = |name: &str| {
        let facts = known.secrets.get(name);
        let whole = facts.and_then(|facts| facts.arn.clone());
        whole.unwrap_or_else(|| place.secret(name))
    };
    let names = || rotations.iter().map(|one| one.rotation.secret.as_str());
    let masters = || rotations.iter().filter_map(Rotated::master_secret);
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
    // ListSecrets knows no resources ("Actions, resources, and condition keys for AWS Secrets Manager").
    all.statements.push(Statement::allow(
        "Readiness",
        &["secretsmanager:ListSecrets"],
        ["*".to_owned()],
    ));
    let of_secret = |name: &str| known.secrets.get(name)?.kms_key.clone();
    let mut keys = |keys: Vec<String>| -> BTreeSet<String> {
        let keys = keys.into_iter();
        keys.filter_map(|key| kms_key(place, key, &mut all.notes))
            .collect()
    };
    let of_rotated = names().filter_map(of_secret).chain(known.kms_keys.clone());
    let rotated_keys = keys(of_rotated.collect());
    let mut master_keys = keys(masters().filter_map(of_secret).collect());
    master_keys.retain(|key| !rotated_keys.contains(key));
    // A key is used through Secrets Manager only ("Secret encryption and decryption in AWS Secrets Manager").
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
        all.statements.push(keys.when(through(&place.region)));
    }
}

/// The ARN of a key that is named by its ARN or its id. A policy does not take an alias for the key behind it
/// ("Using aliases to control access to KMS keys").
fn kms_key(place: &Place, key: String, notes: &mut Vec<String>) -> Option<String> {
    if key.contains("alias/") {
        notes.push(format!(
            "the KMS key {key} is named by an alias, which a policy does not take: give the key's ARN with --kms-key"
        ));
        return None;
    }
    if arn::region(&key).is_some() {
        return Some(key);
    }
    Some(place.arn("kms", &format!("key/{key}")))
}

/// Who is told, and what is redeployed.
fn receivers(settings: &Settings, place: &Place, all: &mut Policy) {
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
                    whole.unwrap_or_else(|| place.arn("events", &format!("event-bus/{bus}")));
                buses.insert(whole);
            }
        }
    }
    if !topics.is_empty() {
        all.notes.push("where a topic is encrypted by a KMS key of your own, the role needs kms:Decrypt and kms:GenerateDataKey* on that key too".into());
    }
    let services = settings.hooks.iter().flat_map(|hook| match &hook.action {
        HookActionSettings::EcsRedeploy { cluster, services } => services
            .iter()
            .map(|service| ecs_service(place, cluster, service))
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

/// `service/CLUSTER/SERVICE`, wherever the cluster is.
fn ecs_service(place: &Place, cluster: &str, service: &str) -> String {
    if arn::region(service).is_some() {
        return service.to_owned();
    }
    let name = cluster.rsplit_once(":cluster/");
    match name {
        Some((where_it_is, name)) => format!("{where_it_is}:service/{name}/{service}"),
        None => place.arn("ecs", &format!("service/{cluster}/{service}")),
    }
}

fn notes(settings: &Settings, known: &Known, rotations: &[Rotated<'_>]) -> Vec<String> {
    let mut all = Vec::new();
    if known.asked || !keeps_secrets(settings) {
        return all;
    }
    let of = |lacks: &dyn Fn(&Rotated<'_>) -> bool| -> Vec<String> {
        let lacking = rotations.iter().filter(|one| lacks(one));
        lacking.map(|one| one.rotation.name.clone()).collect()
    };
    let no_engine = of(&|one| one.engine.is_none());
    if !no_engine.is_empty() {
        all.push(format!(
            "the config does not tell the engine of {}: what Redshift needs is left out for them; give --ask, or engine in the config",
            no_engine.join(", ")
        ));
    }
    let no_master = of(&|one| one.master.is_none() && !one.is_redshift());
    if !no_master.is_empty() {
        all.push(format!(
            "the config does not tell the master secret of {}, which is in the secret (masterarn): it is left out; give --ask, or master_secret in the config",
            no_master.join(", ")
        ));
    }
    if known.kms_keys.is_empty() {
        all.push("no KMS key is named: right where all secrets are under aws/secretsmanager; else give --ask, or --kms-key".into());
    }
    all
}
