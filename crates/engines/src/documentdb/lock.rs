//! The pair's lock: a document with a lease, because the server has no lock of a connection.
//!
//! `twinkey.locks` holds a document a pair that is being worked on: who holds it, and when that was last
//! renewed. It is taken and renewed by single commands that are carried out as a whole.
//!
//! What can go wrong, and what prevents it:
//! - two runs take it at once: its `_id` is the pair's, so the second insertion is refused;
//! - whoever holds it dies: it is renewed every 5 s, and 15 s after the last time it is anybody's;
//! - clocks differ: all times are the server's own;
//! - a holder that was suspended longer than that changes the standby all the same: the lock is renewed
//!   before every single command that changes something, and whoever finds that it is another's stops.
//!   What is left is a command that was sent in the moment before and arrives after: it carries the pending
//!   password that the next holder finds in the store and carries on (`rotation/decide.rs`), and so does
//!   no harm.

use std::sync::Arc;
use std::time::Duration;

use mongodb::bson::{DateTime, Document, doc};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::connect::Connection;
use super::failure::Failure;
use super::greeting;
use crate::EngineError;

pub(super) const DATABASE: &str = "twinkey";
pub(super) const COLLECTION: &str = "locks";
const LEASE: Duration = Duration::from_secs(15);
const RENEWAL: Duration = Duration::from_secs(5);
const DUPLICATE_KEY: i32 = 11000;

/// What came of taking it.
pub(super) enum Taken {
    Ours(Held),
    Others,
    /// The master may not write there.
    Denied,
}

/// A lock that is ours, and is renewed until it is dropped.
pub(super) struct Held {
    hold: Arc<Hold>,
    end: oneshot::Sender<()>,
    keeper: JoinHandle<()>,
}

struct Hold {
    connection: Arc<Connection>,
    pair: String,
    holder: String,
}

/// Takes the lock of the pair with this base user, if it is free.
pub(super) async fn take(connection: &Arc<Connection>, base: &str) -> Result<Taken, EngineError> {
    let what = "taking the pair's lock";
    let now = greeting::hello(connection).await?.local_time;
    let now = now.ok_or_else(|| EngineError::Refused {
        what: what.into(),
        reason: "the server does not tell its time".into(),
        hint: "this is not an answer that MongoDB or DocumentDB gives: see what listens there"
            .into(),
    })?;
    let hold = Hold {
        connection: Arc::clone(connection),
        pair: base.to_owned(),
        holder: uuid::Uuid::new_v4().to_string(),
    };
    let free = doc! {
        "_id": base,
        "renewed": { "$lt": DateTime::from_millis(now.timestamp_millis() - millis(LEASE)) },
    };
    match hold.write(free, true).await {
        Ok(_) => Ok(Taken::Ours(Held::keep(hold))),
        Err(Failure::Answer { code, .. }) if code == DUPLICATE_KEY => Ok(Taken::Others),
        Err(failure) if failure.is_unauthorized() => Ok(Taken::Denied),
        Err(failure) => Err(connection.explain(what, false, failure)),
    }
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

impl Held {
    fn keep(hold: Hold) -> Self {
        let hold = Arc::new(hold);
        let (end, ended) = oneshot::channel();
        let keeper = tokio::spawn(keep(Arc::clone(&hold), ended));
        Self { hold, end, keeper }
    }

    /// Makes sure that it is still ours, for the length of a lease.
    ///
    /// # Errors
    /// [`EngineError::Busy`] where it is another's by now.
    pub(super) async fn renew(&self) -> Result<(), EngineError> {
        let what = "renewing the pair's lock";
        match self.hold.renew().await {
            Ok(true) => Ok(()),
            Ok(false) => Err(EngineError::Busy {
                what: what.into(),
                reason: "another run has it by now; this one was held up for too long".into(),
            }),
            Err(failure) => Err(self.hold.connection.explain(what, false, failure)),
        }
    }

    /// Frees it.
    pub(super) async fn release(self) {
        drop(self.end);
        // A lock that cannot be freed frees itself.
        let _ = tokio::time::timeout(RENEWAL, self.keeper).await;
    }
}

async fn keep(hold: Arc<Hold>, mut ended: oneshot::Receiver<()>) {
    loop {
        tokio::select! {
            _ = &mut ended => break,
            () = tokio::time::sleep(RENEWAL) => {}
        }
        // Who changes something asks for itself; one that cannot be renewed now may be the next time.
        if let Err(failure) = hold.renew().await {
            tracing::debug!(pair = %hold.pair, ?failure, "the pair's lock could not be renewed");
        }
    }
    hold.free().await;
}

impl Hold {
    async fn renew(&self) -> Result<bool, Failure> {
        let ours = doc! { "_id": &self.pair, "holder": &self.holder };
        let answer = self.write(ours, false).await?;
        Ok(answer.get_document("value").is_ok())
    }

    async fn write(&self, query: Document, insert: bool) -> Result<Document, Failure> {
        let command = doc! {
            "findAndModify": COLLECTION,
            "query": query,
            "update": {
                "$set": { "holder": &self.holder },
                "$currentDate": { "renewed": true },
            },
            "upsert": insert,
            "writeConcern": { "w": "majority" },
        };
        self.connection.ask(DATABASE, command).await
    }

    async fn free(&self) {
        let ours = doc! { "_id": &self.pair, "holder": &self.holder };
        let command = doc! { "delete": COLLECTION, "deletes": [{ "q": ours, "limit": 1 }] };
        if let Err(failure) = self.connection.ask(DATABASE, command).await {
            tracing::debug!(pair = %self.pair, ?failure, "the pair's lock could not be freed; it runs out");
        }
    }
}
