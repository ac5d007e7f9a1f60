//! Secrets that several rotations name, also in different ways.
//!
//! # Failure modes
//! - A name, the ARN and the partial ARN of one secret are in three rotations, which compete for its
//!   pair. They are compared by name, region and account.
//! - A name and an ARN mean secrets of two accounts. A config with ARNs of several accounts or
//!   regions compares names with names only; the ARN that the store reports decides at the run.
//! - The ARN of a secret is of another region than its store, and each call for it fails. That is an error
//!   of the config.
//! - Two stores have secrets of one name. Secrets of different stores are compared only if account and
//!   region of both are known, as two stores can be one account and region.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::config::settings::{SecretsBackend, StoreSettings};
use twinkey_core::aws::arn;
use twinkey_core::aws::secret_id::{Location, names, same_secret};

/// A secret as a rotation names it.
#[derive(Debug, Clone)]
pub(super) struct SecretReference {
    /// The name or ARN.
    pub secret: String,
    /// `None` for `[secrets]`.
    pub store: Option<Arc<StoreSettings>>,
}

impl SecretReference {
    fn store_name(&self) -> Option<&str> {
        self.store.as_deref().map(|store| &*store.name)
    }

    /// Why its store cannot have it: its ARN is of another region. A secret of another account can be within
    /// reach by its resource policy.
    pub(super) fn contradiction(&self, backend: Option<&SecretsBackend>) -> Option<String> {
        let (store, region) = match (&self.store, backend) {
            (Some(store), _) => (format!("store {:?}", store.name), store.location().region),
            (None, Some(SecretsBackend::Aws { region, .. })) => {
                ("[secrets]".to_owned(), region.as_deref())
            }
            _ => return None,
        };
        let (own, of_store) = arn::region(&self.secret)
            .zip(region)
            .filter(|(own, store)| own != store)?;
        Some(format!(
            "is in region {own:?}, and {store} is in {of_store:?}: name a store of its region, as `store`"
        ))
    }

    /// Account and region, if both are known.
    fn location(&self) -> Option<(&str, &str)> {
        let store = self.store.as_deref().map(StoreSettings::location);
        let store = store.unwrap_or_default();
        let account = arn::account(&self.secret).or(store.account)?;
        Some((account, arn::region(&self.secret).or(store.region)?))
    }
}

/// Region and account of the embedded store's ARNs.
const LOCAL: Location<'static> = Location {
    region: Some("local"),
    account: Some("000000000000"),
};

/// The earlier of `secrets` that is the same secret, for each of them.
pub(super) fn duplicates(
    secrets: &[Option<SecretReference>],
    backend: Option<&SecretsBackend>,
) -> Vec<Option<usize>> {
    let all = (secrets.iter().flatten())
        .filter(|reference| reference.store.is_none())
        .map(|reference| reference.secret.as_str());
    let regions: BTreeSet<&str> = all.clone().filter_map(arn::region).collect();
    let accounts: BTreeSet<&str> = all.filter_map(arn::account).collect();
    let configured = match backend {
        Some(SecretsBackend::Aws { region, .. }) => Location {
            region: region.as_deref(),
            account: None,
        },
        Some(SecretsBackend::Local { .. }) => LOCAL,
        None => Location::default(),
    };
    let is_known = (configured.account.is_some() || accounts.len() < 2)
        && (configured.region.is_some() || regions.len() < 2);
    let is_name = |secret: &str| arn::region(secret).is_none();
    let is_same = |one: &SecretReference, other: &SecretReference| {
        let (first, second) = (&*one.secret, &*other.secret);
        if one.store_name() != other.store_name() {
            let known = one.location().zip(other.location());
            return known.is_some_and(|(own, others)| own == others)
                && same_secret(first, second, Location::default());
        }
        match &one.store {
            Some(store) => same_secret(first, second, store.location()),
            None => {
                (is_known || is_name(first) == is_name(second))
                    && same_secret(first, second, configured)
            }
        }
    };
    let mut by_name: HashMap<&str, Vec<usize>> = HashMap::new();
    let mut found = Vec::with_capacity(secrets.len());
    for (n, secret) in secrets.iter().enumerate() {
        let Some(secret) = secret else {
            found.push(None);
            continue;
        };
        let earlier = names(&secret.secret)
            .filter_map(|name| by_name.get(name))
            .flatten();
        let same = earlier.copied().filter(|other| {
            let other = secrets.get(*other).and_then(Option::as_ref);
            other.is_some_and(|other| is_same(secret, other))
        });
        found.push(same.min());
        for name in names(&secret.secret) {
            by_name.entry(name).or_default().push(n);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::config::settings::AssumeRole;

    fn aws(region: Option<&str>) -> SecretsBackend {
        SecretsBackend::Aws {
            region: region.map(str::to_owned),
            endpoint_url: None,
        }
    }

    fn in_store(store: Option<&Arc<StoreSettings>>, secret: &str) -> SecretReference {
        SecretReference {
            secret: secret.to_owned(),
            store: store.cloned(),
        }
    }

    fn texts(secrets: &[Option<&str>]) -> Vec<Option<SecretReference>> {
        let reference = |secret: &str| in_store(None, secret);
        secrets.iter().map(|secret| secret.map(reference)).collect()
    }

    fn store(name: &str, region: Option<&str>, account: Option<&str>) -> Arc<StoreSettings> {
        Arc::new(StoreSettings {
            name: name.into(),
            region: region.map(str::to_owned),
            endpoint_url: None,
            assume_role: account.map(|account| AssumeRole {
                arn: format!("arn:aws:iam::{account}:role/twinkey"),
                external_id: None,
            }),
            writes_per_second: NonZeroU32::MIN,
        })
    }

    fn arn(place: &str, rest: &str) -> String {
        format!("arn:aws:secretsmanager:{place}:secret:{rest}")
    }

    #[test]
    fn three_ways_to_write_a_secret_are_one() {
        let here = "eu-west-1:111122223333";
        let (whole, partial) = (arn(here, "prod/db-a1B2c3"), arn(here, "prod/db"));
        let secrets = texts(&[
            Some("prod/db"),
            None,
            Some(&whole),
            Some(&partial),
            Some("prod/web"),
        ]);
        for region in [None, Some("eu-west-1")] {
            let found = duplicates(&secrets, Some(&aws(region)));
            assert_eq!(found, [None, None, Some(0), Some(0), None]);
        }
        let elsewhere = duplicates(&secrets, Some(&aws(Some("us-east-1"))));
        assert_eq!(elsewhere, [None, None, None, Some(2), None]);
        let local = arn("local:000000000000", "prod/db-a1B2c3");
        let backend = SecretsBackend::Local {
            path: "a".into(),
            key_file: "b".into(),
            serve: None,
        };
        let found = duplicates(&texts(&[Some(&local), Some("prod/db")]), Some(&backend));
        assert_eq!(found, [None, Some(0)]);
    }

    #[test]
    fn arns_of_two_accounts_leave_names_undecided() {
        let one = arn("eu-west-1:111122223333", "prod/db-a1B2c3");
        let two = arn("eu-west-1:444455556666", "prod/db-a1B2c3");
        let secrets = texts(&[Some("prod/db"), Some(&one), Some(&two), Some("prod/db")]);
        let found = duplicates(&secrets, Some(&aws(Some("eu-west-1"))));
        assert_eq!(found, [None, None, None, Some(0)]);
    }

    #[test]
    fn one_name_in_two_stores_is_two_secrets() {
        let region = Some("eu-west-1");
        let own = store("own", region, Some("111122223333"));
        let again = store("again", region, Some("111122223333"));
        let other = store("other", region, Some("444455556666"));
        let keyless = store("keyless", region, None);
        let whole = arn("eu-west-1:111122223333", "prod/db-a1B2c3");
        let secrets = [
            in_store(None, "prod/db"),
            in_store(Some(&own), "prod/db"),
            in_store(Some(&other), "prod/db"),
            in_store(Some(&keyless), "prod/db"),
            in_store(Some(&own), &whole),
            // Another role of the account.
            in_store(Some(&again), "prod/db"),
            in_store(None, &whole),
            in_store(Some(&other), "prod/db"),
        ];
        let found = duplicates(&secrets.map(Some), Some(&aws(region)));
        let expected = [None, None, None, None, Some(1), Some(1), Some(0), Some(2)];
        assert_eq!(found, expected);
    }
}
