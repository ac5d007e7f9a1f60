//! Listing of a store for a `[[discover]]`.
//!
//! # Failure modes
//! - Requests for thousands of secrets use up the account's rate limit, and runs are throttled. Pages are
//!   [`PAGE_PACE`] apart.
//! - A token leads to itself, and the listing never ends. There is a limit of pages.
//! - A secret is deleted or untagged: it is absent from the list. DescribeSecret reports which, because the
//!   list can be five minutes old.
//! - DescribeSecret is denied, because the permission depends on the tag that was removed. The secret is gone.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::filter::filters;
use crate::config::settings::Discover;
use crate::journal::{KnownSecret, Listing};
use twinkey_core::code::{Code, Diagnostic, Problem};
use twinkey_stores::{SecretStore, StoreError};

/// The time between two pages: a tenth of AWS's 100 requests a second.
const PAGE_PACE: Duration = Duration::from_millis(100);
/// 100 secrets a page; AWS allows 500,000 secrets in a region.
const MAX_PAGES: usize = 10_000;

/// Lists all pages, and describes the `known` secrets of this store that are absent.
///
/// # Errors
/// Why the listing is not complete.
pub async fn list(
    store: &dyn SecretStore,
    table: &Discover,
    known: &[KnownSecret],
) -> Result<Listing, Problem> {
    let filters = filters(table);
    let mut listing = Listing::default();
    let mut page: Option<String> = None;
    for n in 0.. {
        if n == MAX_PAGES {
            return Err(Problem {
                code: Code::StoreUnavailable,
                message: "the list of secrets does not end".into(),
                hint: "check `endpoint_url` of the store".into(),
            });
        }
        let listed = store.list(&filters, page.as_deref()).await;
        let listed = listed.map_err(|error| error.problem())?;
        listing.found.extend(listed.secrets);
        page = listed.next.filter(|next| !next.is_empty());
        if page.is_none() {
            break;
        }
        tokio::time::sleep(PAGE_PACE).await;
    }
    let found: HashSet<String> = (listing.found.iter().map(|one| one.arn.clone())).collect();
    let absent = known.iter().filter(|one| {
        one.gone.is_none()
            && !found.contains(&one.listed.arn)
            && filters.iter().all(|filter| filter.matches(&one.listed))
    });
    for secret in absent {
        let arn = &secret.listed.arn;
        match store.describe(arn).await {
            // Its tags may have changed.
            Ok(described) => listing.found.push(described.into()),
            Err(StoreError::NotFound { .. }) => {
                listing.gone.push((arn.clone(), "it was deleted".into()));
            }
            Err(StoreError::Denied { .. }) => {
                let why = "it is not listed any more, and the store denies to describe it";
                listing.gone.push((arn.clone(), why.into()));
            }
            Err(error) => return Err(error.problem()),
        }
    }
    Ok(listing)
}

/// The known secrets after a listing, as the journal would have them.
#[must_use]
pub fn with_listing(known: &[KnownSecret], store: &str, listing: Listing) -> Vec<KnownSecret> {
    let mut all = known.to_vec();
    let of_store = all.iter().enumerate().filter(|(_, one)| one.store == store);
    let places: HashMap<String, usize> = of_store
        .map(|(place, one)| (one.listed.arn.clone(), place))
        .collect();
    for listed in listing.found {
        match places
            .get(&listed.arn)
            .and_then(|&place| all.get_mut(place))
        {
            Some(known) => (known.listed, known.gone) = (listed, None),
            None => all.push(KnownSecret {
                store: store.to_owned(),
                listed,
                gone: None,
                rotation: None,
                armed: None,
                refusal: None,
            }),
        }
    }
    for (arn, why) in listing.gone {
        if let Some(known) = places.get(&arn).and_then(|&place| all.get_mut(place)) {
            known.gone = Some(why);
        }
    }
    all
}
