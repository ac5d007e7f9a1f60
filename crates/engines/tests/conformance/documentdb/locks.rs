//! The pair's lock, which is a document with a lease. What it looks like is the engine's own affair: what
//! is read here is only that it has the time of its last renewal, and a name for its holder.

use std::time::Duration;

use mongodb::bson::{Bson, DateTime, Document, doc};
use twinkey_engines::{Admin, EngineError};

use super::Server;
use crate::case::{Case, all_changes, ready};

/// What did not happen by now never will.
const HANGS: Duration = Duration::from_secs(60);

pub async fn all(server: &Server) {
    the_lock_of_a_dead_holder_runs_out(server).await;
    a_living_holder_renews_its_lock(server).await;
    who_lost_its_lock_changes_nothing_more(server).await;
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

/// The lock as somebody else's who renewed it so long ago.
fn of_another(lock: &Document, ago: Duration) -> Document {
    let ago = i64::try_from(ago.as_millis()).unwrap();
    let other = |(field, value): (&String, &Bson)| {
        let value = match value {
            Bson::DateTime(at) => DateTime::from_millis(at.timestamp_millis() - ago).into(),
            Bson::String(_) if field != "_id" => "somebody".into(),
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

async fn the_lock_of_a_dead_holder_runs_out(server: &Server) {
    let case = Case::new(server, "widowed").await;
    let admin = holding(&case).await;
    let lock = server.lock_of("widowed").await.unwrap();
    admin.close().await;
    assert_eq!(server.lock_of("widowed").await, None, "who ends frees it");

    let mut next = case.admin().await;
    server.put_lock(of_another(&lock, Duration::ZERO)).await;
    assert!(!next.lock(&case.pair).await.unwrap(), "not yet");
    let hour = Duration::from_secs(3600);
    server.put_lock(of_another(&lock, hour)).await;
    assert!(next.lock(&case.pair).await.unwrap(), "it has run out");
    let mut third = case.admin().await;
    assert!(!third.lock(&case.pair).await.unwrap(), "it is taken again");
    next.close().await;
}

async fn a_living_holder_renews_its_lock(server: &Server) {
    let case = Case::new(server, "living").await;
    let admin = holding(&case).await;
    let lock = server.lock_of("living").await;
    let renewed = async {
        while server.lock_of("living").await == lock {
            tokio::task::yield_now().await;
        }
    };
    let renewed = tokio::time::timeout(HANGS, renewed).await;
    renewed.expect("the lock is renewed");
    admin.close().await;
}

async fn who_lost_its_lock_changes_nothing_more(server: &Server) {
    let mut case = Case::new(server, "robbed").await;
    case.rotate().await;
    let mut admin = holding(&case).await;
    let lock = server.lock_of("robbed").await.unwrap();
    server.put_lock(of_another(&lock, Duration::ZERO)).await;
    let next = case.next();
    let changes = all_changes(&case.inspect().await);
    let error = admin
        .apply(&ready(&changes, &next.password))
        .await
        .unwrap_err();
    assert!(matches!(error, EngineError::Busy { .. }), "{error}");
    let refused = case.sign_in(&next).await.unwrap_err();
    assert!(matches!(refused, EngineError::SignIn { .. }), "{refused}");
    admin.close().await;
    let others = server.lock_of("robbed").await;
    assert!(others.is_some(), "the other's lock is not freed");
    let hour = Duration::from_secs(3600);
    server.put_lock(of_another(&lock, hour)).await;
    case.rotate().await;
}
