//! A million runs in the journal: start, `status`, `/v1/rotations` and removal beside a journal in
//! which each rotation has one run. `make soak-journal` prints the table of docs/performance.md.

use std::fmt::Write;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::postgres::PgConnection;
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Connection};
use tokio::process::Command;
use twinkey::journal::{Journal, PostgresJournal, Pruned, SqliteJournal};
use twinkey_core::telemetry::Clock;
use twinkey_stores::SecretStore;
use twinkey_stores::local::LocalStore;
use twinkey_testkit::environment::{free_address, until};
use twinkey_testkit::postgres::{LocalPostgres, Options};

use crate::faults::many_workers::{location, url};
use crate::serving::worker::signal;

const ROTATIONS: usize = 10_000;
const RUNS: usize = 1_000_000;
/// A measurement is the shortest of so many.
const TIMES: usize = 3;
/// What a million runs may cost beside one for each rotation.
const MAX_RATIO: f64 = 2.0;
/// The shortest time that is compared. Below it, the start of a process varies by more.
const FLOOR: Duration = Duration::from_millis(50);

/// A config of many rotations with its journal.
struct Fixture {
    folder: tempfile::TempDir,
    address: String,
    journal: Box<dyn Journal>,
}

impl Fixture {
    async fn new(url: &str, journal: Box<dyn Journal>, folder: tempfile::TempDir) -> Self {
        let file = |name: &str| folder.path().join(name);
        let store = LocalStore::open(&file("secrets.db"), &file("secrets.key")).await;
        store.unwrap().close().await;
        let address = free_address();
        let mut text = format!(
            "[server]\nlisten = \"{address}\"\n[journal]\nurl = \"{url}\"\n[secrets]\nbackend = \"local\"\n[defaults]\nmaster_secret = \"prod/master\"\n"
        );
        for n in 0..ROTATIONS {
            let (minute, hour, day) = (n % 60, n / 60 % 24, n / 1440 % 28 + 1);
            write!(
                text,
                "[[rotation]]\nname = \"service-{n}\"\nsecret = \"prod/service-{n}\"\nschedule = \"cron({minute} {hour} {day} * ? *)\"\nwindow = \"1h\"\n"
            )
            .unwrap();
        }
        std::fs::write(folder.path().join("twinkey.toml"), text).unwrap();
        Self {
            address,
            journal,
            folder,
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_twinkey"));
        let config = self.folder.path().join("twinkey.toml");
        command.arg("--config").arg(config).kill_on_drop(true);
        command
    }

    /// The times of a start, `/v1/rotations`, `status` and a removal that finds nothing.
    async fn measure(&self) -> [Duration; 4] {
        let mut best = [Duration::MAX; 4];
        for _ in 0..TIMES {
            let log = self.folder.path().join("log");
            let begun = Instant::now();
            let mut serve = self
                .command()
                .arg("serve")
                .stdout(Stdio::null())
                .stderr(std::fs::File::create(&log).unwrap())
                .spawn()
                .unwrap();
            until("the schedules are armed", async || is_armed(&log)).await;
            let start = begun.elapsed();
            let begun = Instant::now();
            let url = format!("http://{}/v1/rotations", self.address);
            let response = reqwest::get(url).await.unwrap();
            let response = response.error_for_status().unwrap().bytes().await.unwrap();
            let listed = begun.elapsed();
            assert!(response.len() > ROTATIONS * 100);
            let begun = Instant::now();
            let output = self.command().args(["status", "--json"]).output().await;
            assert!(output.unwrap().status.success());
            let status = begun.elapsed();
            let begun = Instant::now();
            let nothing = self.journal.prune(DateTime::UNIX_EPOCH, 500).await.unwrap();
            assert_eq!(nothing, Pruned::default());
            let removal = begun.elapsed();
            signal(&serve, "TERM");
            assert!(serve.wait().await.unwrap().success());
            for (best, took) in best.iter_mut().zip([start, listed, status, removal]) {
                *best = took.min(*best);
            }
        }
        best
    }

    /// The time of one batch of a removal, and its rows.
    async fn remove(&self, before: DateTime<Utc>) -> (Duration, u64) {
        let (mut took, mut removed) = (Duration::ZERO, 0);
        let mut batches = 0;
        for _ in 0..20 {
            let begun = Instant::now();
            let batch = self.journal.prune(before, 500).await.unwrap();
            took += begun.elapsed();
            removed += batch.runs + batch.records;
            batches += 1;
        }
        (took / batches, removed)
    }
}

fn is_armed(log: &Path) -> bool {
    std::fs::read_to_string(log).is_ok_and(|log| log.contains("schedules armed"))
}

/// Statements that add `count` runs with steps and records, the last of them at `$end`.
///
/// `$n`, `$time` and `$id` differ between the two journals.
fn filling(count: usize, numbers: &str, time: &str, id: &str, actor: &str) -> [String; 3] {
    let id = id.replace("$of", "n");
    let rotation = format!("'service-' || (n % {ROTATIONS})");
    let version = "'version-' || n";
    let from = numbers.replace("$count", &count.to_string());
    let time = |offset: &str| time.replace("$offset", offset);
    let (begin, closes, end) = (time("0"), time("3600"), time("2"));
    [
        format!(
            "INSERT INTO runs (id, rotation, \"trigger\", opens, closes, state, worker, version_id,
                               from_user, to_user, started, finished, attempt, actor)
             SELECT {id}, {rotation}, 'schedule', {begin}, {closes},
                    CASE WHEN n % 50 = 7 THEN 'failed' ELSE 'succeeded' END, 'vm-1', {version},
                    'app', 'app_clone', {begin}, {end}, 1, {actor} FROM {from}"
        ),
        format!(
            "INSERT INTO steps (run, attempt, name, state, started, finished, detail)
             SELECT {id}, 1, step, 'succeeded', {begin}, {end},
                    'AWSCURRENT moved from \"app\" to \"app_clone\"'
               FROM {from} CROSS JOIN (SELECT 'create' AS step UNION ALL SELECT 'set'
                                       UNION ALL SELECT 'test' UNION ALL SELECT 'finish') AS names"
        ),
        format!(
            "INSERT INTO audit (id, at, actor, action, rotation, run, outcome)
             SELECT {id}, {end}, {actor}, 'rotate', {rotation}, {id}, 'done' FROM {from}"
        ),
    ]
}

/// The rows end now, one each ten seconds.
fn first(count: usize) -> DateTime<Utc> {
    Clock::system().now() - TimeDelta::seconds(count as i64 * 10)
}

async fn sqlite(count: usize) -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("journal.db");
    let journal = SqliteJournal::open(&file).await.unwrap();
    let mut db = SqliteConnection::connect(&format!("sqlite://{}", file.display()))
        .await
        .unwrap();
    let begin = first(count).timestamp_micros();
    let numbers = "(WITH RECURSIVE numbers(n) AS (
                        SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < $count)
                    SELECT n FROM numbers)";
    let time = format!("{begin} + (n * 10 + $offset) * 1000000");
    let id = "printf('%08x-0000-4000-8000-%012x', $of, $of)";
    let actor = "'{\"kind\":\"schedule\",\"name\":\"vm-1\",\"address\":null}'";
    let rotations = format!(
        "INSERT INTO rotations (name, first_seen, last_success, last_flip)
         SELECT 'service-' || (n - 1), {begin}, {begin}, {begin} FROM {}",
        numbers.replace("$count", &ROTATIONS.to_string())
    );
    let rows = filling(count, numbers, &time, id, actor);
    for sql in std::iter::once(rotations).chain(rows) {
        sqlx::query(AssertSqlSafe(sql))
            .execute(&mut db)
            .await
            .unwrap();
    }
    db.close().await.unwrap();
    Fixture::new("sqlite://journal.db", Box::new(journal), folder).await
}

async fn postgres(server: &LocalPostgres, database: &str, count: usize) -> Fixture {
    let mut root = PgConnection::connect(&url(server, "postgres"))
        .await
        .unwrap();
    let create = format!("CREATE DATABASE {database}");
    sqlx::query(AssertSqlSafe(create))
        .execute(&mut root)
        .await
        .unwrap();
    let journal = PostgresJournal::open(&location(server, database))
        .await
        .unwrap();
    let mut db = PgConnection::connect(&url(server, database)).await.unwrap();
    let begin = first(count).timestamp();
    let numbers = "generate_series(1, $count) AS n";
    let time = format!("to_timestamp({begin} + n * 10 + $offset)");
    let id =
        "(lpad(to_hex($of), 8, '0') || '-0000-4000-8000-' || lpad(to_hex($of), 12, '0'))::uuid";
    let actor = "'{\"kind\":\"schedule\",\"name\":\"vm-1\",\"address\":null}'::jsonb";
    let start = format!("to_timestamp({begin})");
    let rotations = format!(
        "INSERT INTO rotations (name, first_seen, last_success, last_flip)
         SELECT 'service-' || (n - 1), {start}, {start}, {start} FROM {}",
        numbers.replace("$count", &ROTATIONS.to_string())
    );
    let rows = filling(count, numbers, &time, id, actor);
    let analyze = "VACUUM ANALYZE".to_owned();
    for sql in std::iter::once(rotations).chain(rows).chain([analyze]) {
        sqlx::query(AssertSqlSafe(sql))
            .execute(&mut db)
            .await
            .unwrap();
    }
    Fixture::new(&url(server, database), Box::new(journal), folder()).await
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// Compares both journals of one kind, and returns what is too slow.
async fn compare(kind: &str, small: Fixture, full: Fixture) -> Vec<String> {
    let (few, many) = (small.measure().await, full.measure().await);
    let names = ["start", "/v1/rotations", "status", "removal of nothing"];
    let mut slow = Vec::new();
    for ((name, few), many) in names.into_iter().zip(few).zip(many) {
        let ratio = many.max(FLOOR).as_secs_f64() / few.max(FLOOR).as_secs_f64();
        println!("| {kind}: {name} | {few:.1?} | {many:.1?} | {ratio:.2} |");
        if ratio > MAX_RATIO {
            slow.push(format!("{kind}: {name}: {few:?}, {many:?}"));
        }
    }
    let oldest = first(RUNS) + TimeDelta::seconds(6_000 * 10);
    let (batch, rows) = full.remove(oldest).await;
    println!("| {kind}: a batch of 500 runs and 500 records | | {batch:.1?} | ({rows} rows) |");
    slow
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "make soak-journal: minutes"]
async fn a_million_runs_slow_no_sqlite_journal_down() {
    let slow = compare("SQLite", sqlite(ROTATIONS).await, sqlite(RUNS).await).await;
    assert!(slow.is_empty(), "{slow:#?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "make soak-journal: minutes"]
async fn a_million_runs_slow_no_postgres_journal_down() {
    let mut options = Options::new(LocalPostgres::find(None).unwrap());
    options.settings = vec!["fsync=off".into(), "max_wal_size=8GB".into()];
    let server = tokio::task::spawn_blocking(move || LocalPostgres::start(&options).unwrap());
    let server = server.await.unwrap();
    let small = postgres(&server, "few", ROTATIONS).await;
    let full = postgres(&server, "many", RUNS).await;
    let slow = compare("PostgreSQL", small, full).await;
    assert!(slow.is_empty(), "{slow:#?}");
}
