//! The pair's lock: a document with a lease in `twinkey.locks`, one for each locked pair.
//!
//! The server has no locks that belong to a connection. Single atomic commands take and renew the
//! lease.
//!
//! # Failure modes
//! - Two runs take the lock at once. The document's `_id` is the pair, so that the second insert
//!   fails.
//! - A user with write access to every database writes the document. A renewal that is no date, or
//!   that is later than the server's time, counts as expired. Such a user that renews it like a run
//!   cannot be distinguished from one: `preflight.rs` reports a pair that may write here.
//! - The holder exits without a release. The lease expires 15 s after its last renewal; it is
//!   renewed every 5 s.
//! - Clocks differ. All times are the server's.
//! - A holder was suspended, and another run has the lock. The lease is renewed before every
//!   command that changes something, and a failed renewal ends the run. A command that was already
//!   sent sets the same pending password as the next holder (`rotation/decide`), and so is
//!   harmless.

use std::sync::Arc;
use std::time::Duration;

use mongodb::bson::{DateTime, Document, doc};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use twinkey_core::tasks::spawn_connection;

use super::connect::Connection;
use super::failure::Failure;
use super::server_info::documents;
use crate::{EngineError, LockHolder};

pub(super) const DATABASE: &str = "twinkey";
pub(super) const COLLECTION: &str = "locks";
const LEASE: Duration = Duration::from_secs(15);
const RENEWAL: Duration = Duration::from_secs(5);
const DUPLICATE_KEY: i32 = 11000;
/// Attempts at a lock whose holder releases it meanwhile.
const ATTEMPTS: usize = 3;

/// The result of an attempt to take the lock.
pub(super) enum LockAttempt {
    Acquired(HeldLock),
    HeldByOther(LockHolder),
    /// The master may not write the collection.
    Denied,
}

/// An acquired lock, renewed until it is dropped.
pub(super) struct HeldLock {
    document: Arc<LockDocument>,
    stop: oneshot::Sender<()>,
    renewal: JoinHandle<Option<()>>,
}

/// The document of one pair and holder.
struct LockDocument {
    connection: Arc<Connection>,
    pair: String,
    holder: String,
    /// The user that signed in.
    user: String,
}

/// Takes the lock of the pair with this base user, if it is free at the server's time `now`.
pub(super) async fn take(
    connection: &Arc<Connection>,
    base: &str,
    user: &str,
    now: Option<DateTime>,
) -> Result<LockAttempt, EngineError> {
    let what = "taking the pair's lock";
    let now = now.ok_or_else(|| EngineError::Refused {
        what: what.into(),
        reason: "the server does not report its time".into(),
        hint: "check that the endpoint is a MongoDB or DocumentDB server".into(),
    })?;
    let document = LockDocument {
        connection: Arc::clone(connection),
        pair: base.to_owned(),
        holder: uuid::Uuid::new_v4().to_string(),
        user: user.to_owned(),
    };
    let free = doc! {
        "_id": base,
        "$or": [
            { "renewed": { "$lt": DateTime::from_millis(now.timestamp_millis() - millis(LEASE)) } },
            { "renewed": { "$gt": DateTime::from_millis(now.timestamp_millis() + millis(LEASE)) } },
            { "renewed": { "$not": { "$type": "date" } } },
        ],
    };
    for _ in 0..ATTEMPTS {
        match document.write(free.clone(), true).await {
            Ok(_) => return Ok(LockAttempt::Acquired(HeldLock::start(document))),
            Err(Failure::Answer { code, .. }) if code == DUPLICATE_KEY => {}
            Err(failure) if failure.is_unauthorized() => return Ok(LockAttempt::Denied),
            Err(failure) => return Err(connection.explain(what, false, failure)),
        }
        if let Some(holder) = holder(connection, base, now).await? {
            return Ok(LockAttempt::HeldByOther(holder));
        }
    }
    Err(EngineError::Busy {
        what: what.into(),
        reason: "its holder changes all the time".into(),
    })
}

/// The holder of the lock of the pair with this base user, if the lock is not free at the server's
/// time `now`. `None` too if the master may not read it.
pub(super) async fn holder(
    connection: &Connection,
    base: &str,
    now: DateTime,
) -> Result<Option<LockHolder>, EngineError> {
    let command = doc! { "find": COLLECTION, "filter": { "_id": base }, "limit": 1 };
    let response = match connection.try_run(DATABASE, command).await {
        Ok(response) => response,
        Err(failure) if failure.is_unauthorized() => return Ok(None),
        Err(failure) => {
            return Err(connection.explain("reading the pair's lock", false, failure));
        }
    };
    let cursor = response.get_document("cursor").ok();
    let found = cursor.map(|cursor| documents(cursor, "firstBatch"));
    Ok(found
        .and_then(|found| found.into_iter().next().cloned())
        .and_then(|lock| describe(&lock, now)))
}

/// The holder in a lock's document, unless the lease expired.
fn describe(lock: &Document, now: DateTime) -> Option<LockHolder> {
    let renewed = lock.get_datetime("renewed").ok()?;
    let age = now.timestamp_millis() - renewed.timestamp_millis();
    if age.abs() > millis(LEASE) {
        return None;
    }
    let base = lock.get_str("_id").unwrap_or_default();
    // A lock of version 0.1 has neither its user nor its start.
    let since = lock.get_datetime("since").unwrap_or(renewed);
    Some(LockHolder {
        id: format!(
            "lease {:?}",
            lock.get_str("holder").unwrap_or("without a holder")
        ),
        user: lock.get_str("user").ok().map(str::to_owned),
        client: None,
        application: None,
        since: chrono::DateTime::from_timestamp_millis(since.timestamp_millis()),
        may_be_run: true,
        end: format!("db.getSiblingDB({DATABASE:?}).{COLLECTION}.deleteOne({{_id: {base:?}}})"),
    })
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

impl HeldLock {
    fn start(document: LockDocument) -> Self {
        let document = Arc::new(document);
        let (stop, stopped) = oneshot::channel();
        let renewing = renew_until_stopped(Arc::clone(&document), stopped);
        Self {
            document,
            stop,
            // Without the lock it releases it, and ends.
            renewal: spawn_connection("lock renewal", renewing).detach(),
        }
    }

    /// Renews the lease.
    ///
    /// # Errors
    /// [`EngineError::Busy`] if another run has the lock.
    pub(super) async fn renew(&self) -> Result<(), EngineError> {
        let what = "renewing the pair's lock";
        match self.document.renew().await {
            Ok(true) => Ok(()),
            Ok(false) => Err(EngineError::Busy {
                what: what.into(),
                reason: "another run has the lock, because this one did not renew it in time"
                    .into(),
            }),
            Err(failure) => Err(self.document.connection.explain(what, false, failure)),
        }
    }

    /// Releases the lock.
    pub(super) async fn release(self) {
        drop(self.stop);
        // A lock that is not released expires.
        let _ = tokio::time::timeout(RENEWAL, self.renewal).await;
    }
}

async fn renew_until_stopped(document: Arc<LockDocument>, mut stopped: oneshot::Receiver<()>) {
    loop {
        tokio::select! {
            _ = &mut stopped => break,
            () = tokio::time::sleep(RENEWAL) => {}
        }
        // Every change renews the lease itself, so that a failure here is only logged.
        if let Err(failure) = document.renew().await {
            tracing::debug!(pair = %document.pair, ?failure, "lock renewal failed");
        }
    }
    document.delete().await;
}

impl LockDocument {
    async fn renew(&self) -> Result<bool, Failure> {
        let own = doc! { "_id": &self.pair, "holder": &self.holder };
        let response = self.write(own, false).await?;
        Ok(response.get_document("value").is_ok())
    }

    async fn write(&self, query: Document, insert: bool) -> Result<Document, Failure> {
        let mut dates = doc! { "renewed": true };
        if insert {
            dates.insert("since", true);
        }
        let command = doc! {
            "findAndModify": COLLECTION,
            "query": query,
            "update": {
                "$set": { "holder": &self.holder, "user": &self.user },
                "$currentDate": dates,
            },
            "upsert": insert,
            "writeConcern": { "w": "majority" },
        };
        self.connection.try_run(DATABASE, command).await
    }

    async fn delete(&self) {
        let own = doc! { "_id": &self.pair, "holder": &self.holder };
        let command = doc! { "delete": COLLECTION, "deletes": [{ "q": own, "limit": 1 }] };
        if let Err(failure) = self.connection.try_run(DATABASE, command).await {
            tracing::debug!(pair = %self.pair, ?failure, "lock release failed");
        }
    }
}
