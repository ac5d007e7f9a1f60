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
    a_lock_that_no_run_wrote_has_expired(server).await;
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
    assert!(admin.lock(&case.pair).await.unwrap().is_taken());
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
    assert!(!next.lock(&case.pair).await.unwrap().is_taken(), "not yet");
    let holders = next.lock_holders(&case.pair).await.unwrap();
    assert_eq!(holders.len(), 1, "{holders:?}");
    assert!(holders[0].may_be_run && holders[0].since.is_some());
    let hour = Duration::from_secs(3600);
    server.put_lock(of_other_holder(&lock, hour)).await;
    assert_eq!(next.lock_holders(&case.pair).await.unwrap(), []);
    assert!(
        next.lock(&case.pair).await.unwrap().is_taken(),
        "the lease expired"
    );
    let mut third = case.admin().await;
    assert!(
        !third.lock(&case.pair).await.unwrap().is_taken(),
        "it is taken again"
    );
    next.close().await;
}

/// What an application can write that has write access to every database.
async fn a_lock_that_no_run_wrote_has_expired(server: &Server) {
    let case = Case::new(server, "forged").await;
    let century = DateTime::now().timestamp_millis() + 3_000_000_000_000;
    for renewed in [
        Bson::from(DateTime::from_millis(century)),
        Bson::from("tomorrow"),
        Bson::from(century),
        Bson::Null,
    ] {
        let forged = doc! { "_id": "forged", "holder": "the shop", "renewed": renewed };
        server.put_lock(forged).await;
        let mut admin = case.admin().await;
        assert_eq!(admin.lock_holders(&case.pair).await.unwrap(), []);
        assert!(admin.lock(&case.pair).await.unwrap().is_taken());
        admin.close().await;
    }
    server.put_lock(doc! { "_id": "forged" }).await;
    let mut admin = case.admin().await;
    assert!(admin.lock(&case.pair).await.unwrap().is_taken());
    admin.close().await;
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
