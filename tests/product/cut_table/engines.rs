//! What the table has to know of each engine.

use mongodb::bson::doc;
use twinkey_testkit::mysql::LocalMysql;
use twinkey_testkit::postgres::LocalPostgres;

use twinkey_testkit::shop::documentdb::{LocalMongo, role};
use twinkey_testkit::shop::{Backend, Database, Plan, Shop, run};

/// A database whose rotations are cut.
pub trait Cuttable: Database {
    const NAME: &'static str;

    async fn open(backend: Backend) -> Shop<Self>;

    /// Changes the active user or the standby, so that the next run has something to make equal; another way each
    /// `round`.
    async fn unsettle(shop: &Shop<Self>, active: &str, round: usize);

    /// A dead worker's lock of the pair runs out: here, at once.
    async fn lock_runs_out(shop: &Shop<Self>);
}

impl Cuttable for LocalPostgres {
    const NAME: &'static str = "PostgreSQL";

    async fn open(backend: Backend) -> Shop {
        Shop::open_with(Plan::default(), backend).await
    }

    async fn unsettle(shop: &Shop, active: &str, round: usize) {
        let mut root = shop.root("shop").await;
        let limit = 50 + round % 50;
        run(
            &mut root,
            &format!("ALTER ROLE {active} CONNECTION LIMIT {limit}"),
        )
        .await;
    }

    /// It goes with the connection.
    async fn lock_runs_out(_: &Shop) {}
}

impl Cuttable for LocalMysql {
    const NAME: &'static str = "MariaDB";

    async fn open(backend: Backend) -> Shop<Self> {
        Shop::on_mariadb_with(Plan::default(), backend).await
    }

    async fn unsettle(shop: &Shop<Self>, active: &str, round: usize) {
        let limit = 50 + round % 50;
        let more = format!("ALTER USER `{active}`@`%` WITH MAX_USER_CONNECTIONS {limit}");
        shop.sql(&[&more]).await;
    }

    /// It goes with the connection.
    async fn lock_runs_out(_: &Shop<Self>) {}
}

impl Cuttable for LocalMongo {
    const NAME: &'static str = "DocumentDB (MongoDB's wire)";

    async fn open(backend: Backend) -> Shop<Self> {
        Shop::on_mongo_with(Plan::default(), backend).await
    }

    async fn unsettle(shop: &Shop<Self>, active: &str, _: usize) {
        let standby = if active == "app" { "app_clone" } else { "app" };
        shop.take(standby, &[role("reporter", "admin")]).await;
        shop.give(standby, &[role("read", "other")]).await;
    }

    async fn lock_runs_out(shop: &Shop<Self>) {
        let all = doc! { "delete": "locks", "deletes": [{ "q": {}, "limit": 0 }] };
        shop.run("twinkey", all).await;
    }
}
