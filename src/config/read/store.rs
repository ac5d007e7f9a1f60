//! Reader of `[[store]]`.
//!
//! # Failure modes
//! - Two stores have one name, or one has the name of `[secrets]` in metrics: that is an error.
//! - A rotation names a store that does not exist, and rotates a secret of the same name elsewhere: an
//!   unknown store is an error.
//! - A store without a region and a role is `[secrets]` again, with a second quota: one of them must be
//!   given.
//! - The ARN of another resource is given as the role, and every call fails: the form is checked.

use std::num::NonZeroU32;
use std::sync::Arc;

use super::MAX_LIMIT;
use super::secrets::endpoint;
use crate::config::features;
use crate::config::settings::{AssumeRole, DEFAULT_STORE, StoreSettings};
use crate::config::suggestion::nearest;
use crate::config::table::Table;
use twinkey_core::aws::arn;

pub(super) const KEYS: &[&str] = &[
    "name",
    "backend",
    "region",
    "endpoint_url",
    "assume_role",
    "store_writes_per_second",
];
pub(super) const ASSUME_ROLE_KEYS: &[&str] = &["arn", "external_id"];

/// AWS's quota is 50 writes a second.
const DEFAULT_WRITES: NonZeroU32 = NonZeroU32::new(40).unwrap();
/// Characters of an external id ("AssumeRole" in the STS API reference), besides letters and digits.
const EXTERNAL_ID_CHARACTERS: &str = "_+=,.@:/-";

/// The stores of a config, by which rotations name theirs.
#[derive(Debug, Default)]
pub(super) struct Stores {
    /// Those without errors.
    pub valid: Vec<Arc<StoreSettings>>,
    /// The names of all.
    names: Vec<String>,
}

impl Stores {
    /// Reads all `[[store]]` tables.
    pub(super) fn read(root: &Table<'_>) -> Self {
        let mut stores = Self::default();
        for table in root.tables("store", KEYS) {
            let name = name(&table);
            if let Some(name) = &name {
                if let Some(other) = stores.names.iter().position(|known| known == name) {
                    let number = other + 1;
                    table.error("name", format!("is already the name of store #{number}"));
                }
                stores.names.push(name.clone());
            }
            stores.valid.extend(one(&table, name).map(Arc::new));
        }
        stores
    }

    /// The store that a table names with `store`; `None` for `[secrets]`, or, with an error reported,
    /// for an unknown one.
    pub(super) fn named(&self, table: &Table<'_>) -> Option<Arc<StoreSettings>> {
        let name = table.text("store")?;
        let known = self.valid.iter().find(|store| store.name == name);
        if known.is_none() && !self.names.iter().any(|known| known == name) {
            let names = self.names.iter().map(String::as_str);
            let message = match nearest(name, names) {
                Some(near) => format!("{name:?} is not a [[store]]; did you mean {near:?}?"),
                None => format!(
                    "{name:?} is not a [[store]] of this config; leave `store` out for [secrets]"
                ),
            };
            table.error("store", message);
        }
        known.cloned()
    }
}

fn name(table: &Table<'_>) -> Option<String> {
    if !table.has("name") {
        table.error("name", "is missing");
    }
    let name = table.text("name")?;
    let allowed = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-');
    if !name.bytes().all(allowed) {
        table.error(
            "name",
            format!("{name:?} contains characters other than a-z, 0-9 and -"),
        );
    }
    // A record of a secret begins with the name of its store, or with "arn".
    if [DEFAULT_STORE, "arn"].contains(&name) {
        table.error("name", format!("{name:?} is reserved: choose another name"));
    }
    Some(name.to_owned())
}

fn one(table: &Table<'_>, name: Option<String>) -> Option<StoreSettings> {
    if !table.has("backend") {
        table.error("backend", "is missing: \"aws\"");
    }
    if table.choice("backend", &[("aws", ())]).is_some() {
        features::require(table, "backend", "aws", cfg!(feature = "aws"));
    }
    if !table.has("region") && !table.has("assume_role") {
        table.error(
            "region",
            "is missing: a store needs a region or a role, else it is that of [secrets]",
        );
    }
    let writes = table.number("store_writes_per_second", 1, MAX_LIMIT);
    let (region, endpoint_url) = (table.text("region"), endpoint(table));
    let role = assume_role(table);
    if table.has("assume_role") && role.is_none() {
        return None;
    }
    Some(StoreSettings {
        name: name?,
        region: region.map(str::to_owned),
        endpoint_url,
        assume_role: role,
        writes_per_second: writes.and_then(NonZeroU32::new).unwrap_or(DEFAULT_WRITES),
    })
}

fn assume_role(table: &Table<'_>) -> Option<AssumeRole> {
    let table = table.table("assume_role", ASSUME_ROLE_KEYS)?;
    if !table.has("arn") {
        table.error("arn", "is missing");
    }
    let role = table.text("arn")?;
    if arn::account_of_role(role).is_none() {
        table.error(
            "arn",
            format!("{role:?} is not the ARN of a role: arn:aws:iam::ACCOUNT:role/NAME"),
        );
        return None;
    }
    let external_id = table.text("external_id");
    let allowed = |c: char| c.is_ascii_alphanumeric() || EXTERNAL_ID_CHARACTERS.contains(c);
    let is_valid = |id: &str| (2..=1224).contains(&id.len()) && id.chars().all(allowed);
    if external_id.is_some_and(|id| !is_valid(id)) {
        table.error(
            "external_id",
            "must be 2 to 1224 letters, digits and _+=,.@:/-",
        );
        return None;
    }
    Some(AssumeRole {
        arn: role.to_owned(),
        external_id: external_id.map(str::to_owned),
    })
}
