//! `limits.per_host`, shared by all workers of a journal: a row a place, with a lease.
//!
//! What can go wrong, and what prevents it:
//! - a worker dies and keeps its places: they are leases, renewed together for as long as one of them is held;
//! - one that was suspended frees a place that is another's by now: a place is freed by its holder only;
//! - many ask at once: each takes a free row that nobody else is taking (`SKIP LOCKED`), and nobody waits here.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use sqlx::Row;
use tokio::task::AbortHandle;
use tokio::time::sleep;
use uuid::Uuid;

use super::PostgresJournal;
use crate::journal::{JournalError, SharedPlaces};

const LEASE_SECONDS: f64 = 15.0;
const RENEWAL: Duration = Duration::from_secs(5);

/// This process's places.
pub(in crate::journal) struct Places(Arc<Held>);

struct Held {
    journal: PostgresJournal,
    /// This process.
    holder: String,
    /// How many are held, and what renews them.
    count: Mutex<(usize, Option<AbortHandle>)>,
}

/// A place that is held.
struct Place {
    held: Arc<Held>,
    host: String,
    place: i32,
}

impl Places {
    pub(in crate::journal) fn new(journal: PostgresJournal) -> Self {
        Self(Arc::new(Held {
            journal,
            holder: Uuid::new_v4().to_string(),
            count: Mutex::default(),
        }))
    }
}

#[async_trait]
impl SharedPlaces for Places {
    async fn take(
        &self,
        host: &str,
        per_host: usize,
    ) -> Result<Option<Box<dyn Send + Sync>>, JournalError> {
        let per_host = i32::try_from(per_host).unwrap_or(i32::MAX);
        let Some(place) = self.0.take(host, per_host).await? else {
            return Ok(None);
        };
        Held::one_more(&self.0);
        Ok(Some(Box::new(Place {
            held: Arc::clone(&self.0),
            host: host.to_owned(),
            place,
        })))
    }
}

impl Held {
    async fn take(&self, host: &str, per_host: i32) -> Result<Option<i32>, JournalError> {
        // One that is free, else one that was never needed yet.
        let statements = [
            "UPDATE host_places AS p SET holder = $3::text::uuid,
                    until = clock_timestamp() + make_interval(secs => $4)
               FROM (SELECT place FROM host_places
                      WHERE host = $1 AND place <= $2 AND until <= clock_timestamp()
                      ORDER BY place LIMIT 1 FOR UPDATE SKIP LOCKED) AS free
              WHERE p.host = $1 AND p.place = free.place RETURNING p.place",
            "INSERT INTO host_places (host, place, holder, until)
             SELECT $1, COALESCE(max(place), 0) + 1, $3::text::uuid,
                    clock_timestamp() + make_interval(secs => $4)
               FROM host_places WHERE host = $1 HAVING COALESCE(max(place), 0) < $2
             ON CONFLICT DO NOTHING RETURNING place",
        ];
        self.journal
            .limited(async {
                for statement in statements {
                    let taken = sqlx::query(statement)
                        .bind(host)
                        .bind(per_host)
                        .bind(&self.holder)
                        .bind(LEASE_SECONDS)
                        .fetch_optional(&self.journal.pool)
                        .await?;
                    if let Some(row) = taken {
                        return Ok(Some(row.try_get("place")?));
                    }
                }
                Ok(None)
            })
            .await
    }

    async fn free(&self, host: &str, place: i32) -> Result<(), JournalError> {
        let statement = sqlx::query(
            "UPDATE host_places SET until = '-infinity', holder = NULL
              WHERE host = $1 AND place = $2 AND holder = $3::text::uuid",
        )
        .bind(host)
        .bind(place)
        .bind(&self.holder)
        .execute(&self.journal.pool);
        self.journal
            .limited(async { Ok(statement.await.map(drop)?) })
            .await
    }

    async fn renew(&self) -> Result<(), JournalError> {
        let statement = sqlx::query(
            "UPDATE host_places SET until = clock_timestamp() + make_interval(secs => $2)
              WHERE holder = $1::text::uuid",
        )
        .bind(&self.holder)
        .bind(LEASE_SECONDS)
        .execute(&self.journal.urgent);
        self.journal
            .limited(async { Ok(statement.await.map(drop)?) })
            .await
    }

    fn one_more(held: &Arc<Self>) {
        let mut count = held.count.lock();
        count.0 += 1;
        if count.1.is_none() {
            let renewing = Arc::clone(held);
            let task = tokio::spawn(async move {
                loop {
                    sleep(RENEWAL).await;
                    if let Err(error) = renewing.renew().await {
                        tracing::warn!(%error, "the places at hosts could not be renewed");
                    }
                }
            });
            count.1 = Some(task.abort_handle());
        }
    }

    fn one_less(&self) {
        let mut count = self.count.lock();
        count.0 -= 1;
        if count.0 == 0
            && let Some(renewing) = count.1.take()
        {
            renewing.abort();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.held.one_less();
        let releases = self.held.journal.releases.clone();
        let (held, host, place) = (
            Arc::clone(&self.held),
            std::mem::take(&mut self.host),
            self.place,
        );
        // Without a runtime this process is about to end, and the lease with it.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let release = async move {
                if let Err(error) = held.free(&host, place).await {
                    tracing::warn!(%error, %host, "a place at a host could not be given back: it is free when its lease ends");
                }
            };
            releases.spawn_on(release, &runtime);
        }
    }
}
