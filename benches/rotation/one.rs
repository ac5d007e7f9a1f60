//! One rotation on PostgreSQL and an AWS-shaped store over HTTP, compared with its necessary round
//! trips in sequence with bare drivers: 2 reads and 2 writes of the store, 3 sign-ins, 1 admin
//! transaction.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor};
use tokio_util::sync::CancellationToken;
use twinkey::config::settings::Rotation;
use twinkey::journal::{Actor, Claim, RunState, Trigger};
use twinkey::rotation::run::version_id;
use twinkey::rotation::run::{Order, Rotator};
use twinkey_core::secret::document::Document;
use twinkey_core::secret::verifier;
use twinkey_stores::aws::AwsStore;
use twinkey_stores::{SecretStore, Selector, stage};

use crate::Result;
use crate::fixture::rotator;
use twinkey_testkit::aws::sdk_config;
use twinkey_testkit::environment::{Environment, MASTER_SECRET, Setup, run as run_statement};

/// The secret of the round trips alone. A move of AWSCURRENT of the rotated secret would be one of another
/// party.
const BARE: &str = "prod/bare";
const PASSWORD: &str = "Bare-0123456789-abcdef";
const WARM_UP: usize = 5;
const ROUNDS: usize = 200;

pub async fn run() -> Result<()> {
    let plan = Setup {
        settings: vec!["log_statement=none".into()],
        ..Setup::default()
    };
    let env = Environment::open(plan).await;
    let settings = twinkey::config::load(Some(&env.config()), &BTreeMap::new())?;
    let rotation = &settings.rotations[0];
    let user = format!("CREATE ROLE bare LOGIN PASSWORD '{PASSWORD}'");
    run_statement(&mut env.root("shop").await, &user).await;
    env.put(BARE, &env.document("bare", PASSWORD)).await;
    let aws = sdk_config(&env.stand_in().url());
    let store: Arc<dyn SecretStore> = Arc::new(AwsStore::from_config(&aws));
    for (keeps, what) in [
        (true, "the master's connection handed on"),
        (false, "a sign-in of the master each time"),
    ] {
        let journal = env.folder.path().join("bench.db");
        let rotator = rotator(Arc::clone(&store), &journal, keeps).await?;
        for _ in 0..WARM_UP {
            rotate(&rotator, rotation).await?;
            bare(&*store).await?;
        }
        let (mut rotations, mut bares) = (Vec::new(), Vec::new());
        // In turns, so that both have the same noise.
        for _ in 0..ROUNDS {
            rotations.push(timed(rotate(&rotator, rotation)).await?);
            bares.push(timed(bare(&*store)).await?);
        }
        let (rotation, bare) = (Summary::of(rotations), Summary::of(bares));
        println!(
            "one rotation, {what}: {:.1} ms, its round trips alone {:.1} ms (medians of {ROUNDS}): ratio {:.2} (of means {:.2})",
            rotation.median,
            bare.median,
            rotation.median / bare.median,
            rotation.mean / bare.mean,
        );
    }
    Ok(())
}

/// Milliseconds.
struct Summary {
    median: f64,
    mean: f64,
}

impl Summary {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let milliseconds = |time: &Duration| time.as_secs_f64() * 1000.0;
        Self {
            median: milliseconds(&times[times.len() / 2]),
            mean: times.iter().map(milliseconds).sum::<f64>() / times.len() as f64,
        }
    }
}

async fn timed(work: impl Future<Output = Result<()>>) -> Result<Duration> {
    let start = Instant::now();
    work.await?;
    Ok(start.elapsed())
}

async fn rotate(rotator: &Rotator, rotation: &Rotation) -> Result<()> {
    let order = Order {
        trigger: Trigger::Manual,
        cause: Actor::worker("test").into(),
        window: None,
        version_id: version_id::manual(),
        force: true,
        end_sessions: false,
    };
    let Claim::Claimed(claimed) = rotator.claim(rotation, &order).await? else {
        return Err("the run is not ours".into());
    };
    let stop = CancellationToken::new();
    let run = rotator.carry_out(rotation, &order, *claimed, &stop).await;
    if run.state == RunState::Succeeded {
        Ok(())
    } else {
        Err(format!("{:?}", run.error).into())
    }
}

async fn bare(store: &dyn SecretStore) -> Result<()> {
    let current = Selector::Stage(stage::CURRENT);
    let read = store.get(BARE, current).await?;
    let app = Document::parse(read.value.clone())?;
    let master = store.get(MASTER_SECRET, current).await?;
    let master = Document::parse(master.value)?;

    sign_in(&app).await?.close().await?;
    let mut admin = sign_in(&master).await?;
    // A pending version with the value of AWSCURRENT, and the move of AWSCURRENT to it.
    let id = version_id::manual();
    store.put(BARE, &id, &read.value, stage::PENDING).await?;
    let mut transaction = admin.begin().await?;
    let hash = verifier::scram_sha_256(&SecretString::from("any password will do"))?;
    let sql = format!("ALTER ROLE bench LOGIN PASSWORD '{}'", hash.expose_secret());
    transaction.execute("SELECT 1").await?;
    if transaction.execute(AssertSqlSafe(sql)).await.is_err() {
        transaction.rollback().await?;
        admin.execute("CREATE ROLE bench").await?;
    } else {
        transaction.commit().await?;
    }
    sign_in(&app).await?.close().await?;
    admin.close().await?;
    let from = Some(&read.version_id);
    store
        .move_stage(BARE, stage::CURRENT, from, Some(&id))
        .await?;
    Ok(())
}

/// A connection with a document's fields, by the bare driver.
pub async fn sign_in(who: &Document) -> Result<PgConnection> {
    let fields = who.fields();
    Ok(PgConnectOptions::new_without_pgpass()
        .host(fields.host.as_deref().unwrap_or_default())
        .port(fields.port.unwrap_or_default())
        .database(fields.dbname.as_deref().unwrap_or_default())
        .username(&fields.username)
        .password(who.password().expose_secret())
        .ssl_mode(PgSslMode::Disable)
        .disable_statement_logging()
        .connect()
        .await?)
}
