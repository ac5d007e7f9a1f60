//! What a page of many rotations reads: rows, as PostgreSQL counts them in the journal.

use std::fmt::Write;

use sqlx::PgConnection;

use crate::faults::many_workers;
use twinkey_testkit::environment::{Backend, Environment, Setup, free_address, run, until};

const ROTATIONS: usize = 5_000;
/// One rotation of so many has failed.
const FAILED: usize = 100;
/// Each page is requested so many times.
const TIMES: usize = 4;

/// The rows of runs and steps that the journal has read.
async fn rows_read(db: &mut PgConnection) -> usize {
    let sql = "SELECT SUM(seq_tup_read + idx_tup_fetch)::bigint FROM pg_stat_user_tables
                WHERE relname IN ('runs', 'steps')";
    let rows: i64 = sqlx::query_scalar(sql).fetch_one(db).await.unwrap();
    rows.try_into().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_reads_its_own_records_only() {
    let address = free_address();
    let setup = Setup {
        config: format!("[server]\nlisten = \"{address}\"\nmetrics = \"problems\""),
        ..Setup::default()
    };
    let env = Environment::open_with(setup, Backend::Local).await;
    run(&mut env.root("postgres").await, "CREATE DATABASE journal").await;
    let text = std::fs::read_to_string(env.config()).unwrap();
    let url = many_workers::url(&env.server, "journal");
    let mut text = text.replace("sqlite://journal.db", &url);
    for n in 0..ROTATIONS {
        let table = "[[rotation]]\nmaster_secret = \"prod/master\"";
        writeln!(text, "\n{table}\nname = \"r{n}\"\nsecret = \"s{n}\"").unwrap();
    }
    std::fs::write(env.config(), text).unwrap();
    let mut serve = env.serve(&address).await;

    let get = async |path: &str| {
        let answer = reqwest::get(format!("http://{address}{path}"))
            .await
            .unwrap();
        answer.error_for_status().unwrap().text().await.unwrap()
    };
    let mut db = env.root("journal").await;
    let sql = format!(
        "INSERT INTO runs (id, rotation, \"trigger\", state, worker, version_id, started, finished, attempt,
                           error_code, error_message, error_hint)
         SELECT gen_random_uuid(), name, 'manual', CASE WHEN failed THEN 'failed' ELSE 'succeeded' END, 'w',
                'v', now(), now(), 1, CASE WHEN failed THEN 'db_unreachable' END,
                CASE WHEN failed THEN 'no route' END, CASE WHEN failed THEN 'look' END
           FROM (SELECT name, name ~ '^r' AND substr(name, 2)::int % {FAILED} = 0 AS failed
                   FROM rotations WHERE name ~ '^r[0-9]+$') AS known"
    );
    run(&mut db, &sql).await;
    // As every transaction that ends a run.
    run(&mut db, "UPDATE rotations SET name = name").await;
    run(&mut db, "ANALYZE").await;
    // The first list after a change reads what changed.
    let list = "/v1/rotations?state=failed&limit=500";
    let failed: Vec<serde_json::Value> = serde_json::from_str(&get(list).await).unwrap();
    assert_eq!(failed.len(), ROTATIONS / FAILED);
    until("the journal has counted that", async || {
        rows_read(&mut db).await >= ROTATIONS
    })
    .await;

    let before = rows_read(&mut db).await;
    for _ in 0..TIMES {
        for path in [
            "/v1/rotations?limit=10",
            "/v1/rotations?state=failed&limit=10",
            "/v1/rotations?q=r77&limit=10",
        ] {
            let page: Vec<serde_json::Value> = serde_json::from_str(&get(path).await).unwrap();
            assert_eq!(page.len(), 10, "{path}");
        }
        let page = get("/").await;
        assert_eq!(page.matches("data-rotation=").count(), 50);
        let metrics = get("/metrics").await;
        assert!(metrics.contains("twinkey_rotation_state{rotation=\"r100\",state=\"failed\"} 1"));
        assert!(!metrics.contains("rotation=\"r101\""));
    }
    let least = TIMES * (3 * 10 + 50 + ROTATIONS / FAILED);
    until("the journal has counted the pages", async || {
        rows_read(&mut db).await - before >= least
    })
    .await;
    let read = rows_read(&mut db).await - before;
    println!("{TIMES} times five pages: {read} rows");
    assert!(read < ROTATIONS, "{read} rows");
    serve.kill().await.unwrap();
}
