//! Reader of `readers`, `readers_down` and the older `documentdb.reader`.

use crate::config::settings::{HostPort, HostPortError, Readers, ReadersDown};
use crate::config::table::Table;
use twinkey_engines::EngineKind;

pub(in crate::config::read) const DOCUMENTDB_KEYS: &[&str] = &["reader"];

/// The keys of one table.
#[derive(Debug, Default)]
pub(super) struct RawReaders {
    addresses: Option<Vec<HostPort>>,
    /// `Some(true)`: `readers = "rds"`.
    by_rds: Option<bool>,
    down: Option<ReadersDown>,
    by_older_key: bool,
}

impl RawReaders {
    pub(super) fn read(table: &Table<'_>) -> Self {
        let documentdb = table.table("documentdb", DOCUMENTDB_KEYS);
        let older = documentdb.as_ref().and_then(|inner| {
            let address = address(inner, "reader", inner.text("reader")?)?;
            if table.has("readers") {
                inner.error("reader", "is in `readers` now: move it there");
            }
            Some(vec![address])
        });
        let by_rds = table.is_text("readers", "rds");
        let listed = (!by_rds)
            .then(|| table.texts("readers"))
            .flatten()
            .map(|texts| {
                let all = texts
                    .iter()
                    .filter_map(|text| address(table, "readers", text));
                let mut addresses: Vec<HostPort> = Vec::new();
                for address in all {
                    if addresses.contains(&address) {
                        table.error("readers", format!("names {address} twice"));
                    }
                    addresses.push(address);
                }
                addresses
            });
        Self {
            by_older_key: older.is_some(),
            by_rds: table.has("readers").then_some(by_rds),
            addresses: listed.or(older),
            down: table.choice(
                "readers_down",
                &[("wait", ReadersDown::Wait), ("skip", ReadersDown::Skip)],
            ),
        }
    }

    /// The readers with `defaults` applied. `engine`: of the rotation, where the config names it.
    pub(super) fn validate(
        self,
        defaults: &Self,
        engine: Option<EngineKind>,
        table: &Table<'_>,
    ) -> Readers {
        let own = self.addresses.is_some();
        let by_rds = self
            .by_rds
            .or(defaults.by_rds.filter(|_| !own))
            .unwrap_or_default();
        let addresses = self.addresses.or_else(|| defaults.addresses.clone());
        let addresses = addresses.filter(|_| !by_rds).unwrap_or_default();
        if engine == Some(EngineKind::Redshift) && (by_rds || !addresses.is_empty()) {
            table.error(
                "readers",
                "is not for redshift: all nodes of a cluster or workgroup have one list of users",
            );
        }
        Readers {
            addresses,
            by_rds,
            down: self.down.or(defaults.down).unwrap_or_default(),
            by_older_key: if own {
                self.by_older_key
            } else {
                defaults.by_older_key
            },
        }
    }
}

fn address(table: &Table<'_>, key: &str, text: &str) -> Option<HostPort> {
    text.parse()
        .map_err(|error: HostPortError| table.error(key, format!("{text:?} {error}")))
        .ok()
}
