//! How long a rotation takes, as a ratio to its unavoidable round trips done with bare drivers in the
//! same run: 2 reads and 2 writes of the store, 3 sign-ins, 1 admin transaction. `make bench` prints it.

use std::time::{Duration, Instant};

use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor};
use tokio_util::sync::CancellationToken;
use twinkey::demo::shop::Shop;
use twinkey::demo::stage::Stage;
use twinkey::journal::{Claim, RunState, Trigger};
use twinkey::rotation::identity;
use twinkey::rotation::run::Order;
use twinkey::secret::document::Document;
use twinkey::secret::verifier;
use twinkey::store::{SecretStore, Selector, stage};

const SHOP: Shop = Shop::Postgres;
const WARM_UP: usize = 3;
const ROUNDS: usize = 40;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[tokio::main]
async fn main() -> Result<()> {
    let hour = Duration::from_secs(3600);
    let stage = Stage::set(&[SHOP], Duration::ZERO, hour, Duration::from_secs(1)).await?;
    for _ in 0..WARM_UP {
        rotate(&stage).await?;
        bare(&stage).await?;
    }
    let (mut rotations, mut bares) = (Duration::ZERO, Duration::ZERO);
    // Taken in turns, so that both meet the same noise.
    for _ in 0..ROUNDS {
        rotations += timed(rotate(&stage)).await?;
        bares += timed(bare(&stage)).await?;
    }
    let mean = |total: Duration| total.as_secs_f64() * 1000.0 / ROUNDS as f64;
    println!(
        "one rotation {:.1} ms, its round trips alone {:.1} ms (means of {ROUNDS}): ratio {:.2}",
        mean(rotations),
        mean(bares),
        rotations.as_secs_f64() / bares.as_secs_f64()
    );
    Ok(())
}

async fn timed(work: impl Future<Output = Result<()>>) -> Result<Duration> {
    let start = Instant::now();
    work.await?;
    Ok(start.elapsed())
}

async fn rotate(stage: &Stage) -> Result<()> {
    let rotation = &stage.settings.rotations[0];
    let order = Order {
        trigger: Trigger::Manual,
        reason: None,
        window: None,
        version_id: identity::manual(),
        force: true,
    };
    let Claim::Claimed(run) = stage.rotator.claim(rotation, &order).await? else {
        return Err("the run is not ours".into());
    };
    let stop = CancellationToken::new();
    let run = stage.rotator.carry_out(rotation, &order, *run, &stop).await;
    if run.state == RunState::Succeeded {
        Ok(())
    } else {
        Err(format!("{:?}", run.error).into())
    }
}

async fn bare(stage: &Stage) -> Result<()> {
    let store = &stage.rotator.site.store;
    let current = store
        .get(SHOP.secret(), Selector::Stage(stage::CURRENT))
        .await?;
    let app = Document::parse(current.value.clone())?;
    let master = store
        .get(SHOP.master_secret(), Selector::Stage(stage::CURRENT))
        .await?;
    let master = Document::parse(master.value)?;

    sign_in(&app).await?.close().await?;
    let mut admin = sign_in(&master).await?;
    write_twice(&**store, &current.value).await?;
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
    Ok(())
}

/// A new pending version with what AWSCURRENT holds already, and AWSCURRENT moved to it.
async fn write_twice(store: &dyn SecretStore, value: &SecretString) -> Result<()> {
    let id = identity::manual();
    store.put(SHOP.secret(), &id, value, stage::PENDING).await?;
    let description = store.describe(SHOP.secret()).await?;
    let from = description.labelled(stage::CURRENT);
    store
        .move_stage(SHOP.secret(), stage::CURRENT, from, Some(&id))
        .await?;
    Ok(())
}

async fn sign_in(who: &Document) -> Result<PgConnection> {
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
