//! A small application: it caches the current secret, and opens a new connection every few
//! milliseconds to write a row.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::experiment::CACHE;
use twinkey_core::secret::document::Document;
use twinkey_core::telemetry::Clock;
use twinkey_stores::{SecretStore, Selector, stage};

/// The pause between two connections.
const PAUSE: Duration = Duration::from_millis(5);

/// The connections of the application.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    pub connected: u64,
    pub failed: u64,
    /// Connections by the user that signed in.
    pub by_user: BTreeMap<String, u64>,
    pub first_failure: Option<String>,
}

/// A running application.
pub struct Consumer {
    tally: Arc<Mutex<Tally>>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Consumer {
    /// Starts an application.
    #[must_use]
    pub fn start(app: App, store: Arc<dyn SecretStore>, clock: Clock) -> Self {
        let tally = Arc::new(Mutex::new(Tally::default()));
        let stop = CancellationToken::new();
        let work = work(app, store, clock, Arc::clone(&tally), stop.clone());
        Self {
            tally,
            task: tokio::spawn(work),
            stop,
        }
    }

    /// The connections so far.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.tally.lock().clone()
    }

    /// Stops the application.
    pub async fn stop(self) -> Tally {
        self.stop.cancel();
        // If the application panicked, its tally ends early.
        let _ = self.task.await;
        let tally = self.tally.lock();
        tally.clone()
    }
}

async fn work(
    app: App,
    store: Arc<dyn SecretStore>,
    clock: Clock,
    tally: Arc<Mutex<Tally>>,
    stop: CancellationToken,
) {
    let mut cache: Option<(Document, DateTime<Utc>)> = None;
    while !stop.is_cancelled() {
        let result = once(app, &*store, &clock, &mut cache).await;
        {
            let mut tally = tally.lock();
            match result {
                Ok(user) => {
                    tally.connected += 1;
                    *tally.by_user.entry(user).or_default() += 1;
                }
                Err(error) => {
                    tally.failed += 1;
                    tally.first_failure.get_or_insert(error);
                }
            }
        }
        clock.sleep_until(clock.now() + PAUSE).await;
    }
}

/// Opens one connection with the secret, from the cache if that is fresh. Returns the user that
/// signed in.
async fn once(
    app: App,
    store: &dyn SecretStore,
    clock: &Clock,
    cache: &mut Option<(Document, DateTime<Utc>)>,
) -> Result<String, String> {
    let now = clock.now();
    let cached = cache.take().filter(|(_, fetched)| now < *fetched + CACHE);
    let (document, fetched) = match cached {
        Some(cached) => cached,
        None => {
            let version = store
                .get(app.secret(), Selector::Stage(stage::CURRENT))
                .await
                .map_err(|e| e.to_string())?;
            (
                Document::parse(version.value).map_err(|e| e.to_string())?,
                now,
            )
        }
    };
    let user = app.write_a_row(&document).await.map_err(|e| e.to_string());
    *cache = Some((document, fetched));
    user
}
