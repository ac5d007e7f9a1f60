//! 1,000 rotations due in the same second: compared with the write quota of AWS, and with the
//! sign-ins that the machine can do.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use secrecy::SecretString;
use sqlx::{AssertSqlSafe, Connection, Executor};
use twinkey_core::secret::document::Document;
use twinkey_core::secret::verifier;
use twinkey_stores::SecretStore;
use twinkey_stores::aws::AwsStore;
use twinkey_stores::local::LocalStore;
use twinkey_stores::throttle::Throttled;

use crate::Result;
use crate::fixture::{BenchWorker, CONCURRENCY, opens_at, rotations, rotator, soon};
use crate::one::sign_in;
use twinkey_testkit::aws::{StandIn, sdk_config};
use twinkey_testkit::environment::many_pairs::{ManyPairs, name};
use twinkey_testkit::environment::{Backend, Environment, FIRST, Setup};

pub const PAIRS: usize = 1000;
/// Writes a second and region (Secrets Manager, "Quotas").
const QUOTA: usize = 50;
/// `limits.store_writes_per_second`: with its burst of a tenth, no second exceeds the quota.
const RATE: NonZeroU32 = NonZeroU32::new(46).unwrap();
/// Writes of a rotation: AWSPENDING is put, and AWSCURRENT is moved.
const WRITES: usize = 2;
/// Sign-ins of a rotation: of the active user, of the master, and of the standby.
const SIGN_INS: usize = 3;
const EACH: &str = "min_interval = \"0s\"";

pub fn plan() -> Setup {
    Setup {
        settings: vec!["log_statement=none".into()],
        ..Setup::default()
    }
}

pub async fn run() -> Result<()> {
    let stand_in = StandIn::start().await;
    let env = Environment::open_with(plan(), Backend::StandIn(stand_in)).await;
    let fixture = ManyPairs::add_to(env, PAIRS).await;
    let stand_in = fixture.env.stand_in();
    stand_in.faults().limit_writes(QUOTA);
    let store = AwsStore::from_config(&sdk_config(&stand_in.url()));
    let took = window_of_all(&fixture, Arc::new(Throttled::new(store, RATE)), "quota.db").await?;
    let floor = (WRITES * PAIRS) as f64 / QUOTA as f64;
    println!(
        "{PAIRS} rotations at once, {QUOTA} writes a second allowed: {took:.1} s, the quota alone {floor:.1} s: ratio {:.3}",
        took / floor
    );
    drop(fixture);

    let fixture =
        ManyPairs::add_to(Environment::open_with(plan(), Backend::Local).await, PAIRS).await;
    let folder = fixture.env.folder.path();
    let local = LocalStore::open(&folder.join("secrets.db"), &folder.join("secrets.key")).await?;
    let store: Arc<dyn SecretStore> = Arc::new(local);
    let before = a_second(&fixture, SIGN_INS, false).await?;
    // The standby is created once. The second window represents all later windows.
    for (what, journal) in [
        ("the first time", "first.db"),
        ("from then on", "second.db"),
    ] {
        let took = window_of_all(&fixture, Arc::clone(&store), journal).await?;
        let after = a_second(&fixture, SIGN_INS, false).await?;
        let possible = f64::midpoint(before, after);
        let least = a_second(&fixture, SIGN_INS - 1, true).await?;
        let done = PAIRS as f64 / took;
        println!(
            "{PAIRS} rotations at once, the embedded store, {what}: {done:.1} a second; by 3 sign-ins alone {possible:.1}: ratio {:.2}; by 2 sign-ins and ALTER ROLE alone {least:.1}: ratio {:.2}",
            done / possible,
            done / least,
        );
    }
    Ok(())
}

/// Opens all windows in one second, and returns the seconds until the last run succeeded.
async fn window_of_all(
    fixture: &ManyPairs,
    store: Arc<dyn SecretStore>,
    journal: &str,
) -> Result<f64> {
    let opens = soon(2);
    let mut all = rotations(fixture, EACH)?;
    for rotation in &mut all {
        opens_at(rotation, opens)?;
    }
    let journal = fixture.env.folder.path().join(journal);
    let mut worker = BenchWorker::begin(rotator(store, &journal, true).await?, all).await;
    let last = worker.succeeded(PAIRS).await?;
    worker.end().await?;
    Ok((last - opens).as_seconds_f64())
}

/// The superuser's document, which signs in after any rotation.
pub fn superuser_document(fixture: &ManyPairs) -> Result<Document> {
    let mut first = fixture.env.document(&name(0), FIRST);
    let root = fixture.env.server.superuser();
    first["username"] = root.username.as_str().into();
    first["password"] = secrecy::ExposeSecret::expose_secret(&root.password).into();
    Ok(Document::parse(SecretString::from(first.to_string()))?)
}

/// The number of times a second that the machine does `sign_ins` sign-ins in sequence. With
/// `alters`, the master also sets a password each time.
async fn a_second(fixture: &ManyPairs, sign_ins: usize, alters: bool) -> Result<f64> {
    let who = Arc::new(superuser_document(fixture)?);
    let begun = Instant::now();
    let limit = Duration::from_secs(5);
    let mut working = tokio::task::JoinSet::new();
    for n in 0..CONCURRENCY {
        let who = Arc::clone(&who);
        let mut master = None;
        if alters {
            let mut connection = (fixture.env)
                .connect("rdsmaster", &fixture.env.master, "shop")
                .await?;
            let role = format!("DROP ROLE IF EXISTS bench{n}; CREATE ROLE bench{n}");
            connection.execute(AssertSqlSafe(role)).await?;
            master = Some(connection);
        }
        working.spawn(async move {
            let mut count = 0_usize;
            while begun.elapsed() < limit {
                for _ in 0..sign_ins {
                    let connection = sign_in(&who).await.map_err(|e| e.to_string())?;
                    connection.close().await.map_err(|e| e.to_string())?;
                }
                if let Some(master) = &mut master {
                    let hash = verifier::scram_sha_256(&SecretString::from("any password will do"))
                        .map_err(|e| e.to_string())?;
                    let hash = secrecy::ExposeSecret::expose_secret(&hash);
                    let sql = format!("ALTER ROLE bench{n} LOGIN PASSWORD '{hash}'");
                    let done = master.execute(AssertSqlSafe(sql)).await;
                    done.map_err(|e| e.to_string())?;
                }
                count += 1;
            }
            Ok::<_, String>(count)
        });
    }
    let mut count = 0;
    while let Some(done) = working.join_next().await {
        count += done??;
    }
    Ok(count as f64 / begun.elapsed().as_secs_f64())
}
