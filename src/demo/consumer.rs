//! A small application: it fetches the current secret, keeps it for a while as applications do, and
//! opens a new connection every few milliseconds to write a row.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use secrecy::ExposeSecret;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{ConnectOptions, Connection, Row};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::demo::CACHE;
use crate::demo::stage::SECRET;
use crate::secret::document::Document;
use crate::store::{SecretStore, Selector, stage};
use crate::telemetry::Clock;

/// The pause between two connections.
const PAUSE: Duration = Duration::from_millis(5);

/// What the application has met.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    pub connected: u64,
    pub failed: u64,
    /// Connections by the user that signed in.
    pub by_user: BTreeMap<String, u64>,
    pub first_failure: Option<String>,
}

/// The running application.
pub struct Consumer {
    tally: Arc<Mutex<Tally>>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Consumer {
    /// Starts it.
    #[must_use]
    pub fn start(store: Arc<dyn SecretStore>, clock: Clock) -> Self {
        let tally = Arc::new(Mutex::new(Tally::default()));
        let stop = CancellationToken::new();
        let work = work(store, clock, Arc::clone(&tally), stop.clone());
        Self {
            tally,
            task: tokio::spawn(work),
            stop,
        }
    }

    /// What it has met so far.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.tally
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Ends it.
    pub async fn stop(self) -> Tally {
        self.stop.cancel();
        // An application that panicked has told so in its tally's missing rows.
        let _ = self.task.await;
        let tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        tally.clone()
    }
}

async fn work(
    store: Arc<dyn SecretStore>,
    clock: Clock,
    tally: Arc<Mutex<Tally>>,
    stop: CancellationToken,
) {
    let mut cache: Option<(Document, DateTime<Utc>)> = None;
    while !stop.is_cancelled() {
        let result = once(&*store, &clock, &mut cache).await;
        {
            let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
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

/// One connection with the secret, from the cache if that is fresh; gives the user that signed in.
async fn once(
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
                .get(SECRET, Selector::Stage(stage::CURRENT))
                .await
                .map_err(|e| e.to_string())?;
            (
                Document::parse(version.value).map_err(|e| e.to_string())?,
                now,
            )
        }
    };
    let user = write_a_row(&document).await.map_err(|e| e.to_string());
    *cache = Some((document, fetched));
    user
}

async fn write_a_row(document: &Document) -> Result<String, sqlx::Error> {
    let fields = document.fields();
    let mut connection = PgConnectOptions::new_without_pgpass()
        .host(fields.host.as_deref().unwrap_or("127.0.0.1"))
        .port(fields.port.unwrap_or(5432))
        .database(fields.dbname.as_deref().unwrap_or("postgres"))
        .username(&fields.username)
        .password(document.password().expose_secret())
        .ssl_mode(PgSslMode::Disable)
        .disable_statement_logging()
        .connect()
        .await?;
    let row = sqlx::query("INSERT INTO app.orders DEFAULT VALUES RETURNING made_by::text")
        .fetch_one(&mut connection)
        .await?;
    connection.close().await?;
    row.try_get(0)
}
