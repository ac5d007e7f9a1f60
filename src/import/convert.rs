//! Conversion of AWS's rotations to rotations of twinkey.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Serialize;

use super::RotatedSecret;
use super::windows::{ConvertedWindows, convert_windows};
use twinkey_engines::{EngineKind, rds_host};

/// A secret and its outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Conversion {
    pub secret: String,
    /// A unique name.
    pub name: String,
    /// A description of AWS's rotation.
    pub aws: String,
    pub outcome: Outcome,
}

/// The outcome of a conversion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Rotation(Rotation),
    #[serde(rename = "left")]
    Skipped(Skipped),
}

/// A `[[rotation]]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rotation {
    pub schedule: String,
    #[serde(serialize_with = "seconds")]
    pub window: Duration,
    pub master_secret: String,
    pub engine: EngineKind,
    /// Whether the secret has `ssl: false`.
    pub plain_text: bool,
    /// Whether the applications connect through RDS Proxy.
    pub proxied: bool,
    /// Whether the opening differs: AWS opens at midnight, twinkey an interval after the last success.
    pub drifts: bool,
}

/// The reason why a secret is not converted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Skipped {
    pub why: String,
    pub to_do: String,
}

fn seconds<S: serde::Serializer>(length: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_u64(length.as_secs())
}

/// Converts each secret. `region` is the region of the list.
#[must_use]
pub fn convert(secrets: &[RotatedSecret], region: &str) -> Vec<Conversion> {
    let mut names = BTreeSet::new();
    let convert_one = |one: &RotatedSecret| Conversion {
        secret: one.name.clone(),
        name: unique_name(&one.name, &mut names),
        aws: describe(one),
        outcome: match rotation(one, region) {
            Ok(rotation) => Outcome::Rotation(rotation),
            Err(skipped) => Outcome::Skipped(skipped),
        },
    };
    secrets.iter().map(convert_one).collect()
}

/// A unique rotation name, derived from the secret's name.
fn unique_name(secret: &str, taken: &mut BTreeSet<String>) -> String {
    let lower = secret.to_ascii_lowercase();
    let words: Vec<&str> = lower
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .collect();
    let plain = if words.is_empty() {
        "secret".into()
    } else {
        words.join("-")
    };
    let mut name = plain.clone();
    let mut n = 1;
    while !taken.insert(name.clone()) {
        n += 1;
        name = format!("{plain}-{n}");
    }
    name
}

fn describe(secret: &RotatedSecret) -> String {
    let rules = &secret.rules;
    let mut parts = Vec::new();
    match (&rules.expression, rules.days) {
        (Some(expression), _) => parts.push(expression.clone()),
        (None, Some(days)) => parts.push(format!("AutomaticallyAfterDays {days}")),
        (None, None) => parts.push("no schedule".into()),
    }
    let duration = rules.duration.as_ref();
    parts.push(duration.map_or("no Duration".into(), |text| format!("Duration {text}")));
    if let Some(next) = secret.next {
        parts.push(format!("next by {}", next.format("%Y-%m-%d %H:%MZ")));
    }
    parts.extend(
        secret
            .function
            .iter()
            .map(|function| format!("function {function}")),
    );
    parts.extend(
        secret
            .owner
            .iter()
            .map(|owner| format!("managed by {owner}")),
    );
    parts.join(", ")
}

fn skipped(why: impl Into<String>, to_do: impl Into<String>) -> Skipped {
    Skipped {
        why: why.into(),
        to_do: to_do.into(),
    }
}

fn rotation(secret: &RotatedSecret, region: &str) -> Result<Rotation, Skipped> {
    if let Some(owner) = &secret.owner {
        return Err(skipped(
            format!("{owner} manages this secret and rotates it itself"),
            "leave it to AWS; it can be the master secret of a rotation, and every run reads it again",
        ));
    }
    if let Some(primary) = (secret.primary_region.as_deref()).filter(|primary| *primary != region) {
        return Err(skipped(
            format!("this is a replica; the secret itself is in {primary}"),
            format!("rotate it there: twinkey import --from-aws --region {primary}"),
        ));
    }
    if secret.function.is_none() {
        return Err(skipped(
            "no function rotates it: it is a managed rotation of AWS or of one of its partners",
            "leave it to AWS",
        ));
    }
    let fields = secret.fields.as_ref().map_err(|why| {
        skipped(
            format!("its value could not be read: {why}"),
            "check that it belongs to a database, allow secretsmanager:GetSecretValue on it, and import again",
        )
    })?;
    let engine = fields.engine.as_deref().ok_or_else(|| {
        skipped(
            "it names no engine: it does not belong to a database, or is incomplete",
            "if it belongs to a database, add engine, host and masterarn to it and import again",
        )
    })?;
    let engine: EngineKind = engine.parse().map_err(|()| {
        skipped(
            format!("twinkey does not rotate the engine {engine:?}"),
            "leave it to AWS's function",
        )
    })?;
    let host = fields
        .host
        .as_deref()
        .ok_or_else(|| skipped("it names no host", "add host to it and import again"))?;
    let master_secret = fields.master_arn.clone().ok_or_else(|| {
        skipped(
            "it is rotated for a single user: it names no masterarn, and twinkey needs a master to create the second user of the pair",
            "add a masterarn to it (`twinkey grants-for-master` prints the privileges of such a master) and import again",
        )
    })?;
    if master_secret == secret.arn || master_secret == secret.name {
        return Err(skipped(
            "it is its own master",
            "leave it to a managed rotation, or add another master to it",
        ));
    }
    let ConvertedWindows { plan, drifts } = convert_windows(&secret.rules)
        .map_err(|why| skipped(why, "give it a schedule that `twinkey schedule` accepts"))?;
    Ok(Rotation {
        schedule: plan.schedule.to_string(),
        window: plan.length,
        master_secret,
        engine,
        plain_text: fields.ssl == Some(false),
        proxied: rds_host::is_proxy(host),
        drifts,
    })
}
