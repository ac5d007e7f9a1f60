//! Reuse of admin connections between runs: one run at a time, without locks, and only with the
//! same master secret.

use std::sync::Arc;
use std::time::Duration;

use sqlx::Row;
use tokio_util::sync::CancellationToken;
use twinkey::config::settings::Rotation;
use twinkey::journal::{Actor, Claim, Run, RunState, SqliteJournal, Trigger};
use twinkey::rotation::context::SharedContext;
use twinkey::rotation::context::admin_cache::IdleAdmins;
use twinkey::rotation::event::Events;
use twinkey::rotation::run::version_id;
use twinkey::rotation::run::{Order, Rotator};
use twinkey::store::Stores;
use twinkey_core::telemetry::Clock;
use twinkey_stores::aws::AwsStore;

use twinkey_testkit::aws::{StandIn, sdk_config};
use twinkey_testkit::environment::many_pairs::{ManyPairs, name};
use twinkey_testkit::environment::{
    Backend, Environment, FIRST, MASTER_SECRET, Setup, until, value,
};

const PAIRS: usize = 6;
/// An idle time longer than the test.
const LONG: Duration = Duration::from_secs(600);

struct AdminFixture {
    pairs: ManyPairs,
    rotations: Vec<Rotation>,
    rotator: Rotator,
}

impl AdminFixture {
    async fn open(sessions: IdleAdmins) -> Self {
        let plan = Setup {
            settings: vec!["log_connections=on".into()],
            ..Setup::default()
        };
        let stand_in = StandIn::start().await;
        let env = Environment::open_with(plan, Backend::StandIn(stand_in)).await;
        let pairs = ManyPairs::add_to(env, PAIRS).await;
        let text = pairs.config("[secrets]\nbackend = \"aws\"", "min_interval = \"0s\"");
        let file = std::path::Path::new("twinkey.toml");
        let settings = twinkey::config::parse(file, &text, &Default::default()).unwrap();
        let url = pairs.env.stand_in().url();
        let journal = SqliteJournal::open(&pairs.env.folder.path().join("j.db")).await;
        let rotator = Rotator {
            context: SharedContext {
                idle_admins: sessions,
                ..SharedContext::new(
                    Stores::single(Arc::new(AwsStore::from_config(&sdk_config(&url)))),
                    Clock::system(),
                    PAIRS,
                )
            },
            journal: Arc::new(journal.unwrap()),
            events: Events::default(),
            worker: "worker".into(),
        };
        Self {
            pairs,
            rotations: settings.rotations,
            rotator,
        }
    }

    async fn run(&self, pair: usize, force: bool) -> Run {
        let order = Order {
            trigger: Trigger::Manual,
            cause: Actor::worker("test").into(),
            window: None,
            version_id: version_id::manual(),
            force,
            end_sessions: false,
        };
        let rotation = &self.rotations[pair];
        let Claim::Claimed(claimed) = self.rotator.claim(rotation, &order).await.unwrap() else {
            panic!("the run was not claimed");
        };
        let never = CancellationToken::new();
        (self.rotator.carry_out(rotation, &order, *claimed, &never)).await
    }

    async fn rotates(&self, pair: usize) {
        let run = self.run(pair, true).await;
        assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
        let store = self.pairs.env.stand_in().store();
        self.pairs.check(store, pair).await.unwrap();
    }

    /// The number of sign-ins of the master.
    fn sign_ins(&self) -> usize {
        let log = self.pairs.env.log();
        log.matches("connection authorized: user=rdsmaster").count()
    }

    /// The sessions of the master, and the number of advisory locks.
    async fn admin_sessions(&self) -> (Vec<i32>, i64) {
        let mut root = self.pairs.env.root("shop").await;
        let pids = sqlx::query("SELECT pid FROM pg_stat_activity WHERE usename = 'rdsmaster'")
            .fetch_all(&mut root)
            .await
            .unwrap();
        let locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'";
        let locks = value(&mut root, locks).await;
        (pids.iter().map(|row| row.get(0)).collect(), locks)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_run_reuses_the_connection_without_locks() {
    let fixture = AdminFixture::open(IdleAdmins::new(LONG, 2)).await;
    let before = fixture.sign_ins();
    fixture.rotates(0).await;
    let (first, locks) = fixture.admin_sessions().await;
    assert_eq!((first.len(), locks), (1, 0));
    for pair in [1, 2, 0, 0] {
        fixture.rotates(pair).await;
        assert_eq!(fixture.admin_sessions().await, (first.clone(), 0));
    }
    assert_eq!(fixture.sign_ins() - before, 1);
    fixture.rotator.context.idle_admins.close_all().await;
    until("it is closed", async || {
        fixture.admin_sessions().await.0.is_empty()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_runs_keep_at_most_the_allowed_connections() {
    let fixture = AdminFixture::open(IdleAdmins::new(LONG, 2)).await;
    for _ in 0..3 {
        let all = (0..PAIRS).map(|pair| fixture.rotates(pair));
        futures_util::future::join_all(all).await;
    }
    until("two sessions without locks remain", async || {
        let (sessions, locks) = fixture.admin_sessions().await;
        (sessions.len(), locks) == (2, 0)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_version_of_the_master_secret_signs_in_again() {
    let fixture = AdminFixture::open(IdleAdmins::new(LONG, 2)).await;
    fixture.rotates(0).await;
    let before = fixture.sign_ins();
    let master = secrecy::ExposeSecret::expose_secret(&fixture.pairs.env.master).to_owned();
    let mut document = fixture.pairs.env.document("rdsmaster", &master);
    document["edited"] = true.into();
    fixture.pairs.env.put(MASTER_SECRET, &document).await;
    fixture.rotates(1).await;
    assert_eq!(fixture.sign_ins() - before, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_connection_costs_a_sign_in_and_not_the_run() {
    let fixture = AdminFixture::open(IdleAdmins::new(LONG, 2)).await;
    fixture.rotates(0).await;
    let before = fixture.sign_ins();
    let mut root = fixture.pairs.env.root("shop").await;
    let cut = "SELECT bool_and(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity WHERE usename = 'rdsmaster'";
    assert!(value::<bool>(&mut root, cut).await);
    fixture.rotates(1).await;
    assert_eq!(fixture.sign_ins() - before, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_closed_after_a_refusal_and_when_idle() {
    let fixture = AdminFixture::open(IdleAdmins::new(LONG, 2)).await;
    let _session = fixture
        .pairs
        .env
        .connect(&name(0), &FIRST.into(), "shop")
        .await;
    fixture.rotates(0).await;
    // A session of the standby is open now.
    let run = fixture.run(0, false).await;
    assert_eq!(run.state, RunState::Failed, "{:?}", run.error);
    until("no session remains", async || {
        fixture.admin_sessions().await.0.is_empty()
    })
    .await;

    let idle = IdleAdmins::new(Duration::from_millis(200), 2);
    let closing = idle.clone();
    let _service = tokio::spawn(async move { closing.close_idle().await });
    let brief = AdminFixture::open(idle).await;
    brief.rotates(0).await;
    until("the idle time has passed", async || {
        brief.admin_sessions().await.0.is_empty()
    })
    .await;
}
