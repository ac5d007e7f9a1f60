//! An application that opens connections continuously, with credentials cached for up to
//! `min_interval`, during many rotations on PostgreSQL and MariaDB.
//!
//! A refused connection fails the test, unless its credentials were older than `min_interval` when
//! the response arrived: on a busy machine the application itself is slow.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value as Json;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use twinkey::config::settings::Rotation;
use twinkey::journal::{Actor, Claim, RunState, SqliteJournal, Trigger};
use twinkey::rotation::context::SharedContext;
use twinkey::rotation::event::Events;
use twinkey::rotation::run::version_id;
use twinkey::rotation::run::{Order, Rotator};
use twinkey::store::Stores;
use twinkey_core::telemetry::Clock;
use twinkey_stores::local::LocalStore;
use twinkey_stores::{SecretStore, Selector, stage};

use twinkey_testkit::environment::many_pairs::{ManyPairs, name, secret};
use twinkey_testkit::environment::mariadb::MariadbEnvironment;
use twinkey_testkit::environment::{Backend, FIRST, MASTER_SECRET, Setup};

const MARIA_MASTER: &str = "prod/maria-master";
const INTERVAL: Duration = Duration::from_secs(3);
/// The rest of `min_interval` is for the connection.
const CACHE: Duration = Duration::from_millis(2500);
/// Connections a second.
const RATE: u64 = 200;
/// The maximum of concurrent connections.
const AT_ONCE: usize = 64;

/// Pairs on both servers, in one store.
struct SoakFixture {
    postgres: ManyPairs,
    mariadb: MariadbEnvironment,
    store: LocalStore,
    pairs: usize,
    cache: Mutex<HashMap<usize, (Json, Instant)>>,
}

impl SoakFixture {
    /// Opens half of the pairs on PostgreSQL and half on MariaDB.
    async fn open(pairs: usize) -> Self {
        let plan = Setup {
            settings: vec!["log_statement=none".into(), "max_connections=300".into()],
            ..Setup::default()
        };
        let postgres = ManyPairs::open_with(plan, pairs / 2, Backend::Local).await;
        let plan = Setup {
            settings: vec!["max_connections=300".into()],
            ..Setup::default()
        };
        let mariadb = MariadbEnvironment::on_mariadb_with(plan, Backend::Local).await;
        let file = |name| postgres.env.folder.path().join(name);
        let store = LocalStore::open(&file("secrets.db"), &file("secrets.key")).await;
        let fixture = Self {
            store: store.unwrap(),
            cache: Mutex::default(),
            pairs,
            postgres,
            mariadb,
        };
        for pair in pairs / 2..pairs {
            let user = name(pair);
            let create = format!("CREATE USER {user}@'%' IDENTIFIED BY '{FIRST}'");
            let grant = format!("GRANT SELECT, INSERT ON shop.* TO {user}@'%'");
            fixture.mariadb.sql(&[&create, &grant]).await;
            fixture
                .put(&secret(pair), &fixture.mariadb.document(&user, FIRST))
                .await;
        }
        let master = fixture.mariadb.master.expose_secret();
        let master = fixture.mariadb.document("rdsmaster", master);
        fixture.put(MARIA_MASTER, &master).await;
        fixture
    }

    async fn put(&self, secret: &str, document: &Json) {
        let text = SecretString::from(document.to_string());
        self.store.create_or_put(secret, &text).await.unwrap();
    }

    fn rotations(&self) -> Vec<Rotation> {
        let rotations: String = (0..self.pairs)
            .map(|pair| {
                let master = if pair < self.postgres.count {
                    MASTER_SECRET
                } else {
                    MARIA_MASTER
                };
                format!(
                    "[[rotation]]\nname = \"{}\"\nsecret = \"{}\"\nmaster_secret = \"{master}\"\n",
                    name(pair),
                    secret(pair)
                )
            })
            .collect();
        let text = format!(
            "[secrets]\nbackend = \"local\"\n[defaults]\ntls = {{ mode = \"disable\" }}\nin_use = \"ignore\"\nmin_interval = \"{}s\"\n{rotations}",
            INTERVAL.as_secs()
        );
        let file = Path::new("twinkey.toml");
        let settings = twinkey::config::parse(file, &text, &BTreeMap::new());
        settings.unwrap().rotations
    }

    async fn rotator(&self) -> Rotator {
        let file = |name| self.postgres.env.folder.path().join(name);
        let store = LocalStore::open(&file("secrets.db"), &file("secrets.key")).await;
        let journal = SqliteJournal::open(&file("journal.db")).await;
        Rotator {
            context: SharedContext::new(
                Stores::single(Arc::new(store.unwrap())),
                Clock::system(),
                8,
            ),
            journal: Arc::new(journal.unwrap()),
            events: Events::default(),
            worker: "soak".into(),
        }
    }

    /// The cached credentials of a pair, and the time of their read.
    async fn credentials(&self, pair: usize) -> (Json, Instant) {
        let cached = self.cache.lock().get(&pair).cloned();
        if let Some(fresh) = cached.filter(|(_, at)| at.elapsed() < CACHE) {
            return fresh;
        }
        let at = Instant::now();
        let current = Selector::Stage(stage::CURRENT);
        let version = self.store.get(&secret(pair), current).await.unwrap();
        let document = serde_json::from_str(version.value.expose_secret()).unwrap();
        self.cache.lock().insert(pair, (document, at));
        self.cache.lock()[&pair].clone()
    }

    /// Opens one connection, and inserts a row.
    async fn connects(&self, pair: usize) -> Result<(), RefusedConnection> {
        let (document, at) = self.credentials(pair).await;
        let done = if pair < self.postgres.count {
            let works = self.postgres.works(&document, pair).await;
            works.map_err(|error| error.to_string())
        } else {
            let password = SecretString::from(document["password"].as_str().unwrap());
            let user = document["username"].as_str().unwrap();
            match self.mariadb.connect(user, &password, "shop").await {
                Ok(mut connection) => {
                    let insert = "INSERT INTO orders () VALUES ()";
                    let done = sqlx::raw_sql(insert).execute(&mut connection).await;
                    done.map(drop).map_err(|error| error.to_string())
                }
                Err(error) => Err(error.to_string()),
            }
        };
        done.map_err(|why| RefusedConnection {
            too_old: at.elapsed() >= INTERVAL,
            why: format!("{}: {why}", document["username"]),
        })
    }
}

struct RefusedConnection {
    /// The credentials were older than [`INTERVAL`].
    too_old: bool,
    why: String,
}

/// The connections of the application.
#[derive(Default)]
struct ConnectionTally {
    opened: u64,
    too_old: u64,
    failures: Vec<String>,
    took: Duration,
}

/// Opens connections at a constant rate until `stop`.
async fn application(fixture: Arc<SoakFixture>, stop: CancellationToken) -> ConnectionTally {
    let begun = Instant::now();
    let permits = Arc::new(Semaphore::new(AT_ONCE));
    let mut pace = tokio::time::interval(Duration::from_secs(1) / RATE as u32);
    let mut tally = ConnectionTally::default();
    let mut connections = JoinSet::new();
    for pair in (0..fixture.pairs).cycle() {
        if stop.is_cancelled() {
            break;
        }
        pace.tick().await;
        let permit = Arc::clone(&permits).acquire_owned().await.unwrap();
        let fixture = Arc::clone(&fixture);
        connections.spawn(async move {
            let done = fixture.connects(pair).await;
            drop(permit);
            done
        });
        while let Some(done) = connections.try_join_next() {
            tally.record(done.unwrap());
        }
    }
    while let Some(done) = connections.join_next().await {
        tally.record(done.unwrap());
    }
    tally.took = begun.elapsed();
    tally
}

impl ConnectionTally {
    fn record(&mut self, done: Result<(), RefusedConnection>) {
        self.opened += 1;
        match done {
            Ok(()) => {}
            Err(refused) if refused.too_old => self.too_old += 1,
            Err(refused) => self.failures.push(refused.why),
        }
    }
}

/// Rotates one pair as often as `min_interval` allows, until `required` rotations of all pairs are
/// done.
async fn rotate(rotator: Rotator, rotation: Rotation, done: Arc<AtomicUsize>, required: usize) {
    let never = CancellationToken::new();
    while done.load(Ordering::Relaxed) < required {
        let order = Order {
            trigger: Trigger::Manual,
            cause: Actor::worker("test").into(),
            window: None,
            version_id: version_id::manual(),
            force: false,
            end_sessions: false,
        };
        if rotator.not_too_soon(&rotation, &order).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        }
        match rotator.claim(&rotation, &order).await.unwrap() {
            Claim::Claimed(claimed) => {
                let run = rotator.carry_out(&rotation, &order, *claimed, &never).await;
                let code = run.error.as_ref().map(|e| e.code.as_str());
                // The store's time of AWSCURRENT may be later than the journal's.
                let waits = matches!(code, Some("too_soon"));
                assert!(run.state == RunState::Succeeded || waits, "{run:?}");
                done.fetch_add(usize::from(!waits), Ordering::Relaxed);
            }
            other => panic!("the run was not claimed: {other:?}"),
        }
    }
}

async fn soak(pairs: usize, required: usize) {
    let fixture = Arc::new(SoakFixture::open(pairs).await);
    let stop = CancellationToken::new();
    let application = tokio::spawn(application(Arc::clone(&fixture), stop.clone()));
    let rotator = fixture.rotator().await;
    let done = Arc::new(AtomicUsize::new(0));
    let mut rotating = JoinSet::new();
    for rotation in fixture.rotations() {
        rotating.spawn(rotate(
            rotator.clone(),
            rotation,
            Arc::clone(&done),
            required,
        ));
    }
    while let Some(ended) = rotating.join_next().await {
        ended.unwrap();
    }
    stop.cancel();
    let tally = application.await.unwrap();
    println!(
        "{} rotations over PostgreSQL and MariaDB in {:.0?}; {} connections, {:.0} a second, with credentials up to {INTERVAL:?} old: {} failures ({} more used older ones)",
        done.load(Ordering::Relaxed),
        tally.took,
        tally.opened,
        tally.opened as f64 / tally.took.as_secs_f64(),
        tally.failures.len(),
        tally.too_old,
    );
    let some = &tally.failures[..tally.failures.len().min(10)];
    assert!(tally.failures.is_empty(), "{some:#?}");
    assert!(
        tally.opened > required as u64,
        "the application opened connections"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn cached_credentials_are_accepted_during_rotations() {
    soak(8, 40).await;
}

/// Runs for some minutes (`make soak`).
#[ignore = "takes minutes: make soak"]
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_rotations_cost_an_application_no_connection() {
    soak(40, 1000).await;
}
