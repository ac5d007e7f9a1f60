//! Rotations of the discovered secrets, and why others have none.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};

use super::filter::matches;
use super::name::unique;
use crate::config::settings::{Discover, Discovered, Rotation};
use crate::journal::KnownSecret;
use crate::rotation::observe::trust::permits;
use twinkey_core::aws::arn;
use twinkey_core::aws::secret_id::{Location, names, same_secret};
use twinkey_core::printable::{NAME, printable};

/// What became of the discovered secrets.
#[derive(Debug, Clone, Default)]
pub struct Discovery {
    /// The rotations, in the order of the tables.
    pub rotations: Vec<Rotation>,
    /// The secrets that a table concerns, and those that were armed before.
    pub secrets: Vec<FoundSecret>,
}

/// A secret, and what became of it.
#[derive(Debug, Clone)]
pub struct FoundSecret {
    pub known: KnownSecret,
    /// The table that concerns it, from 1; `None` if none does any more.
    pub by: Option<usize>,
    /// The name of its rotation, if it has or would have one.
    pub rotation: Option<String>,
    pub finding: Finding,
}

/// Result for one secret. Sentences are about the secret: "its tag …".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// It has a rotation.
    Armed,
    /// Its tags, its settings or its owner prevent a rotation, although it is to have one.
    Refused(String),
    /// It is not to have a rotation here.
    Skipped(String),
}

/// The rotations of the known secrets at `now`.
#[must_use]
pub fn plan(
    discover: &[Discover],
    known: &[KnownSecret],
    configured: &[&Rotation],
    now: DateTime<Utc>,
) -> Discovery {
    let mut secrets: Vec<&KnownSecret> = known.iter().collect();
    secrets.sort_by(|a, b| (&a.store, &a.listed.arn).cmp(&(&b.store, &b.listed.arn)));
    let own = References::new(configured.iter().map(|rotation| Reference {
        secret: &rotation.secret,
        rotation,
    }));
    let mut taken: HashSet<String> = configured.iter().map(|r| r.name.clone()).collect();
    taken.extend(known.iter().filter_map(|one| one.rotation.clone()));
    // Names that secrets of this plan have. Two workers can have given one name to two secrets.
    let mut given: HashSet<String> = configured.iter().map(|r| r.name.clone()).collect();
    let mut rotations: Vec<Rotation> = Vec::new();
    let mut found = Vec::new();
    for known in secrets {
        let mut tables = discover.iter().enumerate();
        let table = tables.find(|(_, table)| concerns(table, known));
        let Some((n, table)) = table else {
            if known.armed.is_some() || known.refusal.is_some() {
                found.push(FoundSecret {
                    known: known.clone(),
                    by: None,
                    rotation: known.rotation.clone(),
                    finding: Finding::Skipped(
                        (known.gone.clone())
                            .unwrap_or_else(|| "no [[discover]] concerns it".into()),
                    ),
                });
            }
            continue;
        };
        let by_config = own.find(known).map(str::to_owned);
        let finding = skipped(known, by_config.as_deref());
        let mut rotation = None;
        let finding = match finding {
            Some(skipped) => skipped,
            None => {
                let kept = known.rotation.clone();
                let kept = kept.filter(|name| !given.contains(name));
                let listed = &known.listed;
                let name =
                    kept.unwrap_or_else(|| unique(&listed.name, &known.store, &listed.arn, &taken));
                taken.insert(name.clone());
                given.insert(name.clone());
                rotation = Some(name.clone());
                match derive(table, known, &name) {
                    Ok(derived) => {
                        rotations.push(Rotation {
                            discovered: Some(Discovered {
                                by: n + 1,
                                since: known.armed.unwrap_or(now),
                            }),
                            ..derived
                        });
                        Finding::Armed
                    }
                    Err(sentence) => Finding::Refused(sentence),
                }
            }
        };
        found.push(FoundSecret {
            known: known.clone(),
            by: Some(n + 1),
            rotation,
            finding,
        });
    }
    refuse_masters(configured, &mut rotations, &mut found);
    rotations.sort_by_key(|rotation| rotation.discovered.as_ref().map(|found| found.by));
    Discovery {
        rotations,
        secrets: found,
    }
}

/// Whether a table concerns a secret, also one that was deleted since.
fn concerns(table: &Discover, known: &KnownSecret) -> bool {
    known.store == table.store_name().unwrap_or_default() && matches(table, &known.listed)
}

/// Why a secret is not to have a rotation here, or cannot have one whatever its settings are.
fn skipped(known: &KnownSecret, configured: Option<&str>) -> Option<Finding> {
    let secret = &known.listed;
    if let Some(gone) = &known.gone {
        return Some(Finding::Skipped(gone.clone()));
    }
    if let Some(rotation) = configured {
        return Some(Finding::Skipped(format!(
            "the config rotates it by [[rotation]] {rotation:?}"
        )));
    }
    if secret.deleted {
        return Some(Finding::Skipped("it is marked for deletion".into()));
    }
    let region = arn::region(&secret.arn);
    if let Some(primary) = &secret.primary_region
        && region.is_some_and(|region| region != primary)
    {
        return Some(Finding::Skipped(format!(
            "it is a replica of the secret in {}",
            printable(primary, NAME)
        )));
    }
    if let Some(service) = &secret.owning_service {
        return Some(Finding::Refused(format!(
            "the AWS service {} manages it",
            printable(service, NAME)
        )));
    }
    (secret.rotation_enabled).then(|| {
        Finding::Refused("AWS rotates it: its own rotation in Secrets Manager is enabled".into())
    })
}

/// The rotation of a secret.
fn derive(table: &Discover, known: &KnownSecret, name: &str) -> Result<Rotation, String> {
    let secret = &known.listed;
    let overrides = table.overrides(&secret.tags)?;
    let master = match &table.master_secret {
        Some(template) => Some(template.fill(&secret.name, &secret.tags)?),
        None => None,
    };
    let rotation = table.rotation(name, &secret.name, master.as_deref(), &overrides)?;
    let by_template = (table.master_secret.as_ref()).is_some_and(|t| t.has_placeholders());
    if let (true, Some(master)) = (by_template, &master)
        && !permits(rotation.masters.as_deref(), master)
    {
        return Err(format!(
            "its master secret would be {master:?}, which `masters` excludes"
        ));
    }
    Ok(rotation)
}

/// Refuses secrets from which a rotation reads a master or writes a pooler's credentials.
fn refuse_masters(
    configured: &[&Rotation],
    rotations: &mut Vec<Rotation>,
    found: &mut [FoundSecret],
) {
    let all = configured.iter().copied().chain(&*rotations);
    let used = References::new(all.flat_map(|rotation| {
        let poolers = rotation.poolers.iter().flat_map(|p| p.secrets.values());
        let secrets = rotation.master_secret.iter().chain(poolers);
        secrets.map(move |secret| Reference { secret, rotation })
    }));
    let mut refused = HashSet::new();
    for one in found.iter_mut().filter(|one| one.finding == Finding::Armed) {
        if let Some(rotation) = used.find(&one.known) {
            one.finding = Finding::Refused(format!(
                "rotation {rotation:?} uses it as a master secret or for a pooler"
            ));
            refused.extend(one.rotation.clone());
        }
    }
    rotations.retain(|rotation| !refused.contains(&rotation.name));
}

/// References to secrets in rotations, by the names that they can mean.
struct References<'a>(HashMap<&'a str, Vec<Reference<'a>>>);

/// A name or an ARN, and the rotation in whose store it is.
#[derive(Clone, Copy)]
struct Reference<'a> {
    secret: &'a str,
    rotation: &'a Rotation,
}

impl Reference<'_> {
    /// Whether it means a known secret. Equal names in two stores are two secrets, unless both stores are
    /// one account and region.
    fn means(&self, known: &KnownSecret) -> bool {
        let arn = &known.listed.arn;
        let location = self.rotation.location();
        if self.rotation.store_name().unwrap_or_default() == known.store {
            return self.secret == known.listed.name
                || same_secret(self.secret, arn, Location::default());
        }
        let is_located = location.account.is_some() && location.region.is_some();
        (is_located || arn::region(self.secret).is_some())
            && same_secret(self.secret, arn, location)
    }
}

impl<'a> References<'a> {
    fn new(all: impl Iterator<Item = Reference<'a>>) -> Self {
        let mut by_name: HashMap<&str, Vec<_>> = HashMap::new();
        for reference in all {
            for name in names(reference.secret) {
                by_name.entry(name).or_default().push(reference);
            }
        }
        Self(by_name)
    }

    /// The rotation that refers to a secret.
    fn find(&self, known: &KnownSecret) -> Option<&'a str> {
        let mut candidates = names(&known.listed.arn).chain([known.listed.name.as_str()]);
        candidates.find_map(|name| {
            let mut references = self.0.get(name)?.iter();
            let found = references.find(|reference| reference.means(known))?;
            Some(&*found.rotation.name)
        })
    }
}
