//! `limits.per_host` for all workers of a journal: one row a slot, with a lease.
//!
//! # Failure modes
//! - A worker exits and keeps its slots. Slots are leases, which one service renews together while one
//!   is in use.
//! - A suspended worker frees a slot that another worker has taken since. Only the holder frees a
//!   slot.
//! - Many workers take slots at once. Each takes a free row that no other is taking (`SKIP
//!   LOCKED`), and none waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use sqlx::Row;
use tokio::sync::watch;
use tokio::time::sleep;
use uuid::Uuid;

use super::PostgresJournal;
use crate::journal::{JournalError, SharedHostSlots};
use twinkey_core::tasks::Tasks;

const LEASE_SECONDS: f64 = 15.0;
const RENEWAL: Duration = Duration::from_secs(5);

/// The slots of this process.
pub(in crate::journal) struct HostSlots(Arc<Leases>);

struct Leases {
    journal: PostgresJournal,
    /// The id of this process.
    holder: Uuid,
    /// The number of slots in use.
    in_use: watch::Sender<usize>,
    /// Set when the service is started, with the first slot.
    is_renewing: AtomicBool,
    tasks: Tasks,
}

/// A slot in use; dropping it frees the slot.
struct HostSlot {
    leases: Arc<Leases>,
    host: String,
    number: i32,
}

impl HostSlots {
    pub(in crate::journal) fn new(journal: PostgresJournal, tasks: Tasks) -> Self {
        Self(Arc::new(Leases {
            journal,
            holder: Uuid::new_v4(),
            in_use: watch::Sender::new(0),
            is_renewing: AtomicBool::new(false),
            tasks,
        }))
    }
}

#[async_trait]
impl SharedHostSlots for HostSlots {
    async fn take(
        &self,
        host: &str,
        per_host: usize,
    ) -> Result<Option<Box<dyn Send + Sync>>, JournalError> {
        let per_host = i32::try_from(per_host).unwrap_or(i32::MAX);
        let Some(number) = self.0.take(host, per_host).await? else {
            return Ok(None);
        };
        Leases::increment(&self.0);
        Ok(Some(Box::new(HostSlot {
            leases: Arc::clone(&self.0),
            host: host.to_owned(),
            number,
        })))
    }
}

impl Leases {
    async fn take(&self, host: &str, per_host: i32) -> Result<Option<i32>, JournalError> {
        // A free slot, else a new one.
        let statements = [
            "UPDATE host_places AS p SET holder = $3,
                    until = clock_timestamp() + make_interval(secs => $4)
               FROM (SELECT place FROM host_places
                      WHERE host = $1 AND place <= $2 AND until <= clock_timestamp()
                      ORDER BY place LIMIT 1 FOR UPDATE SKIP LOCKED) AS free
              WHERE p.host = $1 AND p.place = free.place RETURNING p.place",
            "INSERT INTO host_places (host, place, holder, until)
             SELECT $1, COALESCE(max(place), 0) + 1, $3,
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
                        .bind(self.holder)
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

    async fn free(&self, host: &str, number: i32) -> Result<(), JournalError> {
        let statement = sqlx::query(
            "UPDATE host_places SET until = '-infinity', holder = NULL
              WHERE host = $1 AND place = $2 AND holder = $3",
        )
        .bind(host)
        .bind(number)
        .bind(self.holder)
        .execute(&self.journal.pool);
        self.journal
            .limited(async { Ok(statement.await.map(drop)?) })
            .await
    }

    async fn renew(&self) -> Result<(), JournalError> {
        let statement = sqlx::query(
            "UPDATE host_places SET until = clock_timestamp() + make_interval(secs => $2)
              WHERE holder = $1",
        )
        .bind(self.holder)
        .bind(LEASE_SECONDS)
        .execute(&self.journal.urgent);
        self.journal
            .limited(async { Ok(statement.await.map(drop)?) })
            .await
    }

    fn increment(leases: &Arc<Self>) {
        leases.in_use.send_modify(|count| *count += 1);
        if !leases.is_renewing.swap(true, Ordering::AcqRel) {
            let renewed = Arc::clone(leases);
            let renewal = async move { renewed.renew_while_in_use().await };
            leases.tasks.spawn_service("host slots", renewal);
        }
    }

    fn decrement(&self) {
        self.in_use.send_modify(|count| *count -= 1);
    }

    /// Renews the leases while slots are in use. It does not return.
    async fn renew_while_in_use(&self) {
        let mut in_use = self.in_use.subscribe();
        loop {
            // Fails only when the sender is gone, and `self` holds it.
            let _ = in_use.wait_for(|count| *count > 0).await;
            sleep(RENEWAL).await;
            if *in_use.borrow() > 0
                && let Err(error) = self.renew().await
            {
                tracing::warn!(%error, "host slots not renewed");
            }
        }
    }
}

impl Drop for HostSlot {
    fn drop(&mut self) {
        self.leases.decrement();
        let (tasks, releases) = (&self.leases.tasks, &self.leases.journal.releases);
        let (leases, number) = (Arc::clone(&self.leases), self.number);
        let host = std::mem::take(&mut self.host);
        // Without a runtime the process is about to exit, and the lease expires.
        if tokio::runtime::Handle::try_current().is_ok() {
            let release = async move {
                if let Err(error) = leases.free(&host, number).await {
                    tracing::warn!(%error, %host, "host slot not freed; it is free when its lease ends");
                }
            };
            let release = releases.track_future(release);
            drop(tasks.spawn_owned("host slot", "", release).detach());
        }
    }
}
