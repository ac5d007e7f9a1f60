//! What becomes of each secret: pure.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Serialize;

use super::Found;
use super::windows::{Windows, windows};
use twinkey_engines::EngineKind;

/// A secret, and what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Carried {
    pub secret: String,
    /// Unique among all of them.
    pub name: String,
    /// As AWS has it, for a person.
    pub aws: String,
    pub outcome: Outcome,
}

/// Whether it is carried over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Rotation(Rotation),
    Left(Left),
}

/// A `[[rotation]]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rotation {
    pub schedule: String,
    #[serde(serialize_with = "seconds")]
    pub window: Duration,
    pub master_secret: String,
    pub engine: EngineKind,
    /// The secret says `ssl: false`.
    pub plain_text: bool,
    /// AWS opens at midnight, twinkey when the last success is so long ago.
    pub drifts: bool,
}

/// Why it is not carried over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Left {
    pub why: String,
    pub to_do: String,
}

fn seconds<S: serde::Serializer>(length: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_u64(length.as_secs())
}

/// Decides for each secret. `region`: where they were found.
#[must_use]
pub fn carry(found: &[Found], region: &str) -> Vec<Carried> {
    let mut names = BTreeSet::new();
    let one = |one: &Found| Carried {
        secret: one.name.clone(),
        name: unique(&one.name, &mut names),
        aws: as_aws_has_it(one),
        outcome: match rotation(one, region) {
            Ok(rotation) => Outcome::Rotation(rotation),
            Err(left) => Outcome::Left(left),
        },
    };
    found.iter().map(one).collect()
}

/// A rotation's name, made of the secret's.
fn unique(secret: &str, taken: &mut BTreeSet<String>) -> String {
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

fn as_aws_has_it(found: &Found) -> String {
    let rules = &found.rules;
    let mut parts = Vec::new();
    match (&rules.expression, rules.days) {
        (Some(expression), _) => parts.push(expression.clone()),
        (None, Some(days)) => parts.push(format!("AutomaticallyAfterDays {days}")),
        (None, None) => parts.push("no schedule".into()),
    }
    let duration = rules.duration.as_ref();
    parts.push(duration.map_or("no Duration".into(), |text| format!("Duration {text}")));
    if let Some(next) = found.next {
        parts.push(format!("next by {}", next.format("%Y-%m-%d %H:%MZ")));
    }
    parts.extend(
        found
            .function
            .iter()
            .map(|function| format!("function {function}")),
    );
    parts.extend(
        found
            .owner
            .iter()
            .map(|owner| format!("managed by {owner}")),
    );
    parts.join(", ")
}

fn left(why: impl Into<String>, to_do: impl Into<String>) -> Left {
    Left {
        why: why.into(),
        to_do: to_do.into(),
    }
}

fn rotation(found: &Found, region: &str) -> Result<Rotation, Left> {
    if let Some(owner) = &found.owner {
        return Err(left(
            format!("{owner} manages this secret and rotates it itself"),
            "leave it to AWS; as another rotation's master secret it is read afresh in every run",
        ));
    }
    if let Some(primary) = (found.primary_region.as_deref()).filter(|primary| *primary != region) {
        return Err(left(
            format!("this is a replica; the secret itself is in {primary}"),
            format!("rotate it there: twinkey import --from-aws --region {primary}"),
        ));
    }
    if found.function.is_none() {
        return Err(left(
            "no function rotates it: it is a managed rotation of AWS or of one of its partners",
            "leave it to AWS",
        ));
    }
    let fields = found.fields.as_ref().map_err(|why| {
        left(
            format!("its value could not be read: {why}"),
            "see that secretsmanager:GetSecretValue is allowed on it, and that it is a database's, and import again",
        )
    })?;
    let engine = fields.engine.as_deref().ok_or_else(|| {
        left(
            "it names no engine: it is no secret of a database, or an incomplete one",
            "if it is one, add engine, host and masterarn to it and import again",
        )
    })?;
    let engine: EngineKind = engine.parse().map_err(|()| {
        left(
            format!("twinkey does not rotate the engine {engine:?}"),
            "leave it to AWS's function",
        )
    })?;
    if fields.host.is_none() {
        return Err(left("it names no host", "add host to it and import again"));
    }
    let master_secret = fields.master_arn.clone().ok_or_else(|| {
        left(
            "it is rotated for a single user: it names no masterarn, and twinkey alternates between two users, the second of which a master makes",
            "give it a masterarn (`twinkey grants-for-master` says what such a master needs) and import again",
        )
    })?;
    if master_secret == found.arn || master_secret == found.name {
        return Err(left(
            "it is its own master",
            "leave a master to a managed rotation, or give it another master",
        ));
    }
    let Windows { plan, drifts } = windows(&found.rules)
        .map_err(|why| left(why, "give it a schedule that `twinkey schedule` takes"))?;
    Ok(Rotation {
        schedule: plan.schedule.to_string(),
        window: plan.length,
        master_secret,
        engine,
        plain_text: fields.ssl == Some(false),
        drifts,
    })
}
