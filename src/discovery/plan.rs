//! Rotations of the discovered secrets, and why others have none.
//!
//! # Failure modes
//! - A tag of one secret names the master secret that another secret is, and disarms it. Which secrets are
//!   masters is a matter of the config: of its names, and of the names that a template can have.
//! - A tag names an application's secret as the master, and its password signs in as one. The secret with the
//!   tag is refused.
//! - Two stores are one account and region, and one secret is armed twice. The first table counts.

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
    /// Secrets that are gone, were armed, and were created again. No list shows them.
    pub replaced: Vec<FoundSecret>,
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

impl FoundSecret {
    /// The name that its rotation has, would have or had.
    #[must_use]
    pub fn rotation_name(&self) -> Option<&str> {
        (self.rotation.as_deref()).or(self.known.rotation.as_deref())
    }
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
    let config = Configured::new(discover, &secrets, configured);
    let mut taken: HashSet<String> = configured.iter().map(|r| r.name.clone()).collect();
    taken.extend(known.iter().filter_map(|one| one.rotation.clone()));
    // Names that secrets of this plan have. Two workers can have given one name to two secrets.
    let mut given: HashSet<String> = configured.iter().map(|r| r.name.clone()).collect();
    let mut rotations: Vec<Rotation> = Vec::new();
    let (mut found, mut replaced) = (Vec::new(), Vec::new());
    let predecessors = Predecessors::new(discover, known);
    for known in secrets {
        if let Some(gone) = known.gone.as_ref().filter(|_| predecessors.has(known)) {
            if known.armed.is_some() || known.refusal.is_some() {
                replaced.push(FoundSecret {
                    known: known.clone(),
                    by: None,
                    rotation: known.rotation.clone(),
                    finding: Finding::Skipped(gone.clone()),
                });
            }
            continue;
        }
        let Some((n, table)) = table_of(discover, known) else {
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
        let mut rotation = None;
        let finding = match config.skipped(known, n) {
            Some(skipped) => skipped,
            None => {
                let kept = known.rotation.as_deref();
                let kept = kept.or_else(|| predecessors.rotation(known));
                let kept = kept.filter(|name| !given.contains(*name));
                let kept = kept.map(str::to_owned);
                let listed = &known.listed;
                let name =
                    kept.unwrap_or_else(|| unique(&listed.name, &known.store, &listed.arn, &taken));
                taken.insert(name.clone());
                given.insert(name.clone());
                rotation = Some(name.clone());
                match config.derive(table, known, &name) {
                    Ok(derived) => {
                        rotations.push(Rotation {
                            discovered: Some(Discovered {
                                by: n + 1,
                                arn: known.listed.arn.as_str().into(),
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
    rotations.sort_by_key(|rotation| rotation.discovered.as_ref().map(|found| found.by));
    Discovery {
        rotations,
        secrets: found,
        replaced,
    }
}

/// Secrets that are gone and were created again, with another ARN: the names of their rotations, by
/// store and name of the secret.
struct Predecessors<'a>(HashMap<(&'a str, &'a str), Option<&'a str>>);

impl<'a> Predecessors<'a> {
    fn new(discover: &[Discover], known: &'a [KnownSecret]) -> Self {
        let live: HashSet<_> = (known.iter())
            .filter(|one| one.gone.is_none() && table_of(discover, one).is_some())
            .map(Self::key)
            .collect();
        let mut all: HashMap<_, Option<&str>> = HashMap::new();
        for gone in known.iter().filter(|one| one.gone.is_some()) {
            let key = Self::key(gone);
            if !live.contains(&key) {
                continue;
            }
            let name = all.entry(key).or_default();
            // The shortest one: others have a suffix.
            let names = name.iter().copied().chain(gone.rotation.as_deref());
            *name = names.min_by_key(|name| (name.len(), *name));
        }
        Self(all)
    }

    fn key(known: &KnownSecret) -> (&str, &str) {
        (&known.store, &known.listed.name)
    }

    /// Whether a secret with this store and name is gone, and another one exists.
    fn has(&self, known: &KnownSecret) -> bool {
        self.0.contains_key(&Self::key(known))
    }

    /// The name of the rotation of the secret that is gone.
    fn rotation(&self, known: &KnownSecret) -> Option<&'a str> {
        self.0.get(&Self::key(known)).copied().flatten()
    }
}

/// The first table that concerns a secret, also one that was deleted since, and its place from 0.
fn table_of<'a>(discover: &'a [Discover], known: &KnownSecret) -> Option<(usize, &'a Discover)> {
    let concerns = |table: &Discover| {
        known.store == table.store_name().unwrap_or_default() && matches(table, &known.listed)
    };
    let mut tables = discover.iter().enumerate();
    tables.find(|(_, table)| concerns(table))
}

/// What the config says about secrets, whatever their tags are.
struct Configured<'a> {
    discover: &'a [Discover],
    rotations: &'a [&'a Rotation],
    /// The secrets of the rotations.
    rotated: References<'a>,
    /// The master secrets and those of poolers.
    used: References<'a>,
    /// The first table that concerns a secret, by ARN, from 0.
    first: HashMap<&'a str, usize>,
}

impl<'a> Configured<'a> {
    fn new(
        discover: &'a [Discover],
        known: &[&'a KnownSecret],
        rotations: &'a [&'a Rotation],
    ) -> Self {
        let rotated = rotations.iter().map(|rotation| Reference {
            secret: &rotation.secret,
            rotation,
        });
        let masters = rotations
            .iter()
            .filter_map(|rotation| Some((rotation.master_secret.as_ref()?, *rotation)));
        let fixed = discover.iter().filter_map(|table| {
            let template = table.master_secret.as_ref()?;
            Some((template.fixed()?, &*table.shared))
        });
        let tables = discover.iter().map(|table| &*table.shared);
        let poolers = rotations
            .iter()
            .copied()
            .chain(tables)
            .flat_map(|rotation| {
                let secrets = rotation.poolers.iter().flat_map(|p| p.secrets.values());
                secrets.map(move |secret| (secret, rotation))
            });
        let used = masters.map(|(secret, rotation)| (secret.as_str(), rotation));
        let used = used.chain(fixed);
        let used = used.chain(poolers.map(|(secret, rotation)| (secret.as_str(), rotation)));
        let mut first = HashMap::new();
        for one in known.iter().filter(|one| one.gone.is_none()) {
            if let Some((n, _)) = table_of(discover, one) {
                let first = first.entry(one.listed.arn.as_str()).or_insert(n);
                *first = n.min(*first);
            }
        }
        Self {
            discover,
            rotations,
            rotated: References::new(rotated),
            used: References::new(used.map(|(secret, rotation)| Reference { secret, rotation })),
            first,
        }
    }

    /// Why a secret that the table at place `n` concerns is not to have a rotation here, or cannot have
    /// one whatever its settings are.
    fn skipped(&self, known: &KnownSecret, n: usize) -> Option<Finding> {
        if let Some(gone) = &known.gone {
            return Some(Finding::Skipped(gone.clone()));
        }
        if let Some(rotation) = self.rotated.find(known) {
            return Some(Finding::Skipped(format!(
                "the config rotates it by [[rotation]] {:?}",
                rotation.name
            )));
        }
        if self.used.find(known).is_some() {
            return Some(Finding::Skipped(
                "the config uses it as a master secret or for a pooler".into(),
            ));
        }
        let mut tables = self.discover.iter();
        if let Some(by) = tables.position(|table| may_be_master(table, known)) {
            return Some(Finding::Skipped(format!(
                "it can be a master secret: `master_secret` of [[discover]] #{} can have its name",
                by + 1
            )));
        }
        let first = self.first.get(known.listed.arn.as_str());
        if let Some(first) = first.filter(|&&first| first != n) {
            return Some(Finding::Skipped(format!(
                "[[discover]] #{} finds it too, in another store of its account and region",
                first + 1
            )));
        }
        skipped(known)
    }

    /// The rotation of a secret.
    fn derive(
        &self,
        table: &Discover,
        known: &KnownSecret,
        name: &str,
    ) -> Result<Rotation, String> {
        let secret = &known.listed;
        let overrides = table.overrides(&secret.tags)?;
        let template = table.master_secret.as_ref();
        let master = match template {
            Some(template) => Some(template.fill(&secret.name, &secret.tags)?),
            None => None,
        };
        let rotation = table.rotation(name, &secret.name, master.as_deref(), &overrides)?;
        let chosen = master.filter(|_| template.is_some_and(|one| one.fixed().is_none()));
        if let Some(master) = chosen {
            if !permits(rotation.masters.as_deref(), &master) {
                return Err(format!(
                    "its master secret would be {master:?}, which `masters` excludes"
                ));
            }
            let is_rotated = self.rotations.iter().any(|own| {
                own.store_name() == table.store_name()
                    && same_secret(&own.secret, &master, own.location())
            });
            if is_rotated {
                return Err(format!(
                    "its master secret would be {master:?}, which is the secret of a [[rotation]]"
                ));
            }
        }
        Ok(rotation)
    }
}

/// Whether the template of a table can name a secret as a master.
fn may_be_master(table: &Discover, known: &KnownSecret) -> bool {
    let template = table.master_secret.as_ref();
    known.store == table.store_name().unwrap_or_default()
        && template.is_some_and(|template| template.can_be(&known.listed.name))
        && permits(table.shared.masters.as_deref(), &known.listed.name)
}

/// Why a secret cannot have a rotation, whatever the config is.
fn skipped(known: &KnownSecret) -> Option<Finding> {
    let secret = &known.listed;
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
    fn find(&self, known: &KnownSecret) -> Option<&'a Rotation> {
        let mut candidates = names(&known.listed.arn).chain([known.listed.name.as_str()]);
        candidates.find_map(|name| {
            let mut references = self.0.get(name)?.iter();
            let found = references.find(|reference| reference.means(known))?;
            Some(found.rotation)
        })
    }
}
