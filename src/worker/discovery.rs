//! Discovered rotations in a worker: the listings of the stores, and the arming of what they found.
//!
//! # Failure modes
//! - Ten workers list one store. A listing is claimed in the journal, and the others read its result.
//! - One account does not answer, and delays the others. Stores are listed at the same time.
//! - A listing fails, and rotations vanish. Its error is recorded; the known secrets and the rotations stay.
//! - The store is not reachable at the start. The rotations of the last listing are armed.
//! - A set from an older config replaces a newer one. Only the scheduler activates a set, and it derives it
//!   from its config and the journal when it arms.
//! - The journal cannot be read. The rotations that were discovered before stay, under their old settings.
//! - A rotation is disarmed during its run. The run has its own settings, and ends.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures_util::future::join_all;
use tokio::sync::{mpsc, oneshot};

use crate::config::settings::{DEFAULT_STORE, Discover, Rotation, Settings};
use crate::discovery::{self, Discovery, FoundSecret, changes, filters, plan, query};
use crate::journal::{Actor, Journal, JournalError, Listing, ListingClaim, ListingState};
use crate::rotation::context::rotation_set::RotationSet;
use crate::rotation::error::RotationError;
use crate::store::Stores;
use crate::worker::housekeeping::HousekeepingJob;
use crate::worker::scheduler::Command;
use crate::worker::state::WorkerState;
use twinkey_core::code::{Code, Problem};

/// Changes of one transaction, which must end within the journal's time limit.
const CHANGES_AT_ONCE: usize = 200;

/// The rotations of a config, and the sources of further ones.
#[derive(Debug, Default)]
pub struct ConfiguredRotations {
    pub rotations: Arc<RotationSet>,
    pub discover: Vec<Discover>,
}

impl ConfiguredRotations {
    #[must_use]
    pub fn new(rotations: Vec<Rotation>, discover: Vec<Discover>) -> Self {
        Self {
            rotations: Arc::new(rotations.into_iter().collect()),
            discover,
        }
    }
}

impl From<Settings> for ConfiguredRotations {
    fn from(settings: Settings) -> Self {
        Self::new(settings.rotations, settings.discover)
    }
}

/// The identity of the listing of a table.
#[must_use]
pub fn listing_query(table: &Discover) -> String {
    let store = table.store_name().unwrap_or(DEFAULT_STORE);
    query(store, &filters(table))
}

/// The request for the listing of a table.
#[must_use]
pub fn listing_claim(table: &Discover, worker: &str, now: DateTime<Utc>) -> ListingClaim {
    ListingClaim {
        query: listing_query(table),
        store: table.store_name().unwrap_or_default().to_owned(),
        worker: worker.to_owned(),
        now,
        every: table.every,
        at_once: false,
    }
}

/// Lists a store for a table, without recording the result.
///
/// # Errors
/// Why the listing is not complete.
pub async fn list(
    stores: &Stores,
    journal: &dyn Journal,
    table: &Discover,
) -> Result<Listing, Problem> {
    use twinkey_core::code::Diagnostic;

    let known = journal.known_secrets().await;
    let mut known = known.map_err(|error| error.problem())?;
    known.retain(|one| one.store == table.store_name().unwrap_or_default());
    let store = stores.of(table.store.as_ref());
    discovery::list(&*store.secrets, table, &known).await
}

/// Lists a store for a table, and records the result or the error. `None`: it is not due, or another worker
/// lists.
///
/// # Errors
/// `journal_unavailable`
pub async fn list_and_record(
    stores: &Stores,
    journal: &dyn Journal,
    table: &Discover,
    claim: &ListingClaim,
) -> Result<Option<Result<usize, Problem>>, JournalError> {
    if !journal.claim_listing(claim).await? {
        return Ok(None);
    }
    Ok(Some(match list(stores, journal, table).await {
        Ok(listing) => {
            journal.record_listing(claim, &listing).await?;
            Ok(listing.found.len())
        }
        Err(problem) => {
            journal.listing_failed(claim, &problem).await?;
            Err(problem)
        }
    }))
}

/// Derives the rotations of the known secrets, and records what is armed or disarmed by that.
///
/// # Errors
/// `journal_unavailable`
pub async fn arm(
    journal: &dyn Journal,
    discover: &[Discover],
    rotations: &[&Rotation],
    actor: Actor,
    now: DateTime<Utc>,
) -> Result<Discovery, JournalError> {
    let known = journal.known_secrets().await?;
    let discovery = plan(discover, &known, rotations, now);
    let changes = changes(&discovery, &actor.into(), now);
    for change in &changes {
        let secret = &change.before.listed.name;
        let rotation = change.rotation_name();
        let record = change.record.as_ref();
        let reason = record.and_then(|record| record.reason.as_deref());
        match (change.armed, &change.refusal) {
            (Some(_), _) => tracing::info!(rotation, secret, "discovered rotation armed"),
            (None, Some(_)) => {
                tracing::warn!(rotation, secret, code = %Code::DiscoveryFailed, reason, "discovered secret refused");
            }
            (None, None) if change.before.armed.is_some() => {
                tracing::warn!(rotation, secret, reason, "discovered rotation disarmed");
            }
            (None, None) => {
                tracing::info!(rotation, secret, "discovered secret no longer refused");
            }
        }
    }
    for some in changes.chunks(CHANGES_AT_ONCE) {
        journal.record_arming(some).await?;
    }
    Ok(discovery)
}

/// The number of changes that listings have recorded.
fn revision(listings: &[ListingState]) -> i64 {
    listings.iter().map(|listing| listing.revision).sum()
}

impl WorkerState {
    /// The rotations of the config and the discovered ones, as of `now`. With the error of the journal:
    /// those of the config, and the ones that are active.
    pub(super) async fn derive_rotations(
        &self,
        now: DateTime<Utc>,
    ) -> (Arc<RotationSet>, Result<(), RotationError>) {
        let configured = self.configured();
        match self.discover(&configured, now).await {
            Ok(None) => (Arc::clone(&configured.rotations), Ok(())),
            Ok(Some(discovery)) => {
                let set = configured.rotations.with(discovery.rotations);
                *self.found.write() = discovery.secrets.into();
                (Arc::new(set), Ok(()))
            }
            Err(error) => {
                let active = self.rotations();
                let discovered = active.iter().filter(|one| one.discovered.is_some());
                let discovered = discovered.map(|one| Rotation::clone(one)).collect();
                let set = configured.rotations.with(discovered);
                (Arc::new(set), Err(error.into()))
            }
        }
    }

    /// `None` if nothing was or is discovered.
    async fn discover(
        &self,
        configured: &ConfiguredRotations,
        now: DateTime<Utc>,
    ) -> Result<Option<Discovery>, JournalError> {
        let rotator = &self.runner.rotator;
        let journal = &*rotator.journal;
        let listings = journal.listings().await?;
        if configured.discover.is_empty() && listings.is_empty() {
            *self.found.write() = Arc::default();
            return Ok(None);
        }
        let rotations: Vec<&Rotation> = configured.rotations.iter().map(|one| &**one).collect();
        let actor = Actor::worker(&rotator.worker);
        let discovery = arm(journal, &configured.discover, &rotations, actor, now).await?;
        // After the secrets: a listing in between is read again.
        self.armed_revision
            .store(revision(&listings), Ordering::Release);
        Ok(Some(discovery))
    }

    /// The secrets that `[[discover]]` concerns, as of the last arming.
    #[must_use]
    pub fn found_secrets(&self) -> Arc<[FoundSecret]> {
        Arc::clone(&self.found.read())
    }
}

/// Lists the stores, and arms the schedules again when a listing changed something.
pub struct ListStores {
    state: WorkerState,
    commands: mpsc::Sender<Command>,
}

impl ListStores {
    #[must_use]
    pub const fn new(state: WorkerState, commands: mpsc::Sender<Command>) -> Self {
        Self { state, commands }
    }

    /// Lists the store of the `n`th table, from 1.
    async fn list(&self, n: usize, table: &Discover) -> Result<(), JournalError> {
        let rotator = &self.state.runner.rotator;
        let stores = &rotator.context.stores;
        let claim = listing_claim(table, &rotator.worker, self.state.now());
        let store = table.store_name().unwrap_or(DEFAULT_STORE);
        match list_and_record(stores, &*rotator.journal, table, &claim).await? {
            None => {}
            Some(Ok(secrets)) => tracing::debug!(store, discover = n, secrets, "store listed"),
            Some(Err(problem)) => {
                tracing::warn!(store, discover = n, code = %problem.code, error = %problem.message, hint = %problem.hint, "store not listed; discovered rotations stay as they are");
            }
        }
        Ok(())
    }

    async fn list_all(&self) -> Result<(), JournalError> {
        let configured = self.state.configured();
        if configured.discover.is_empty() {
            return Ok(());
        }
        // One store that does not answer delays no other one.
        let mut by_store: BTreeMap<Option<&str>, Vec<(usize, &Discover)>> = BTreeMap::new();
        for (n, table) in configured.discover.iter().enumerate() {
            let tables = by_store.entry(table.store_name()).or_default();
            tables.push((n + 1, table));
        }
        let listings = by_store.into_values().map(async |tables| {
            for (n, table) in tables {
                self.list(n, table).await?;
            }
            Ok::<(), JournalError>(())
        });
        join_all(listings)
            .await
            .into_iter()
            .collect::<Result<(), _>>()?;
        let listings = self.state.runner.rotator.journal.listings().await?;
        if revision(&listings) == self.state.armed_revision.load(Ordering::Acquire) {
            return Ok(());
        }
        let (reply, armed) = oneshot::channel();
        let sent = self.commands.send(Command::Rearm).await.is_ok()
            && self.commands.send(Command::Barrier(reply)).await.is_ok();
        if sent {
            // An error: the scheduler has stopped.
            let _ = armed.await;
        }
        Ok(())
    }
}

#[async_trait]
impl HousekeepingJob for ListStores {
    fn name(&self) -> &'static str {
        "discovery"
    }

    fn schedule(&self) -> &'static str {
        "*/5 * * * * *"
    }

    async fn run(&mut self) {
        let drain = self.state.runner.shutdown.drain.clone();
        tokio::select! {
            listed = self.list_all() => if let Err(error) = listed {
                tracing::warn!(%error, "stores not listed");
            },
            () = drain.cancelled() => {}
        }
    }
}
