//! The pair's lock, a document with a lease.
//!
//! The tests depend only on a date (the last renewal) and a text (the holder) in it.

use std::time::Duration;

use mongodb::bson::{Bson, DateTime, Document, doc};
use twinkey_engines::{Admin, EngineError};

use super::Server;
use crate::case::{Case, all_changes, rendered};

/// Time limit of a wait.
const WAIT_LIMIT: Duration = Duration::from_secs(60);

pub async fn all(server: &Server) {
    the_lock_of_an_exited_holder_expires(server).await;
    a_running_holder_renews_its_lock(server).await;
    a_holder_that_lost_its_lock_changes_nothing(server).await;
}

impl Server {
    pub async fn lock_of(&self, base: &str) -> Option<Document> {
        let locks = self
            .root
            .database("twinkey")
            .collection::<Document>("locks");
        locks.find_one(doc! { "_id": base }).await.unwrap()
    }

    async fn put_lock(&self, lock: Document) {
        let locks = self
            .root
            .database("twinkey")
            .collection::<Document>("locks");
        let own = doc! { "_id": lock.get("_id").unwrap() };
        locks.delete_many(own).await.unwrap();
        locks.insert_one(lock).await.unwrap();
    }
}

/// The lock of another holder who renewed it this long ago.
fn of_other_holder(lock: &Document, ago: Duration) -> Document {
    let ago = i64::try_from(ago.as_millis()).unwrap();
    let other = |(field, value): (&String, &Bson)| {
        let value = match value {
            Bson::DateTime(at) => DateTime::from_millis(at.timestamp_millis() - ago).into(),
            Bson::String(_) if field != "_id" => "other".into(),
            value => value.clone(),
        };
        (field.clone(), value)
    };
    lock.iter().map(other).collect()
}

async fn holding<'a>(case: &Case<'a>) -> Box<dyn Admin> {
    let mut admin = case.admin().await;
    assert!(admin.lock(&case.pair).await.unwrap());
    admin
}

async fn the_lock_of_an_exited_holder_expires(server: &Server) {
    let case = Case::new(server, "expired").await;
    let admin = holding(&case).await;
    let lock = server.lock_of("expired").await.unwrap();
    admin.close().await;
    assert_eq!(
        server.lock_of("expired").await,
        None,
        "closing releases the lock"
    );

    let mut next = case.admin().await;
    server
        .put_lock(of_other_holder(&lock, Duration::ZERO))
        .await;
    assert!(!next.lock(&case.pair).await.unwrap(), "not yet");
    let hour = Duration::from_secs(3600);
    server.put_lock(of_other_holder(&lock, hour)).await;
    assert!(next.lock(&case.pair).await.unwrap(), "the lease expired");
    let mut third = case.admin().await;
    assert!(!third.lock(&case.pair).await.unwrap(), "it is taken again");
    next.close().await;
}

async fn a_running_holder_renews_its_lock(server: &Server) {
    let case = Case::new(server, "renewed").await;
    let admin = holding(&case).await;
    let lock = server.lock_of("renewed").await;
    let renewed = async {
        while server.lock_of("renewed").await == lock {
            tokio::task::yield_now().await;
        }
    };
    let renewed = tokio::time::timeout(WAIT_LIMIT, renewed).await;
    renewed.expect("the lock is renewed");
    admin.close().await;
}

async fn a_holder_that_lost_its_lock_changes_nothing(server: &Server) {
    let mut case = Case::new(server, "superseded").await;
    case.rotate().await;
    let mut admin = holding(&case).await;
    let lock = server.lock_of("superseded").await.unwrap();
    server
        .put_lock(of_other_holder(&lock, Duration::ZERO))
        .await;
    let next = case.next();
    let changes = all_changes(&case.inspect().await);
    let error = admin
        .apply(&rendered(&changes, &next.password))
        .await
        .unwrap_err();
    assert!(matches!(error, EngineError::Busy { .. }), "{error}");
    let refused = case.sign_in(&next).await.unwrap_err();
    assert!(matches!(refused, EngineError::SignIn { .. }), "{refused}");
    admin.close().await;
    let others = server.lock_of("superseded").await;
    assert!(others.is_some(), "the other holder's lock is not released");
    let hour = Duration::from_secs(3600);
    server.put_lock(of_other_holder(&lock, hour)).await;
    case.rotate().await;
}
