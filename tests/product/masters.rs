//! The master's connection is handed on from run to run: by one to one, clean, and only while it is the right one.

use std::sync::Arc;
use std::time::Duration;

use sqlx::Row;
use tokio_util::sync::CancellationToken;
use twinkey::config::settings::Rotation;
use twinkey::journal::{Claim, Run, RunState, SqliteJournal, Trigger};
use twinkey::rotation::context::RunContext;
use twinkey::rotation::context::admin_cache::IdleAdmins;
use twinkey::rotation::context::host_limits::HostLimits;
use twinkey::rotation::event::Events;
use twinkey::rotation::run::version_id;
use twinkey::rotation::run::{Order, Rotator};
use twinkey_core::telemetry::Clock;
use twinkey_stores::aws::AwsStore;

use twinkey_testkit::aws::{StandIn, sdk_config};
use twinkey_testkit::environment::many_pairs::{ManyPairs, name};
use twinkey_testkit::environment::{Backend, FIRST, MASTER_SECRET, Plan, Environment, until, value};

const PAIRS: usize = 6;
/// Longer than any test.
const LONG: Duration = Duration::from_secs(600);

struct House {
    fixture: ManyPairs,
    rotations: Vec<Rotation>,
    rotator: Rotator,
}

impl House {
    async fn open(masters: IdleAdmins) -> Self {
        let plan = Plan {
            settings: vec!["log_connections=on".into()],
            ..Plan::default()
        };
        let stand_in = StandIn::start().await;
        let env = Environment::open_with(plan, Backend::StandIn(stand_in)).await;
        let fixture = ManyPairs::settle(env, PAIRS).await;
        let text = fixture.config("[secrets]\nbackend = \"aws\"", "min_interval = \"0s\"");
        let file = std::path::Path::new("twinkey.toml");
        let settings = twinkey::config::parse(file, &text, &Default::default()).unwrap();
        let url = fixture.env.stand_in().url();
        let journal = SqliteJournal::open(&fixture.env.folder.path().join("j.db")).await;
        let rotator = Rotator {
            context: RunContext {
                store: Arc::new(AwsStore::from_config(&sdk_config(&url))),
                clock: Clock::system(),
                hosts: HostLimits::new(PAIRS),
                idle_admins: masters,
                aws: twinkey_core::aws::Aws::default(),
            },
            journal: Arc::new(journal.unwrap()),
            events: Events::default(),
            worker: "worker".into(),
        };
        Self {
            fixture,
            rotations: settings.rotations,
            rotator,
        }
    }

    async fn run(&self, pair: usize, force: bool) -> Run {
        let order = Order {
            trigger: Trigger::Manual,
            reason: None,
            window: None,
            version_id: version_id::manual(),
            force,
        };
        let rotation = &self.rotations[pair];
        let Claim::Claimed(claimed) = self.rotator.claim(rotation, &order).await.unwrap() else {
            panic!("nobody else runs here");
        };
        let never = CancellationToken::new();
        (self.rotator.carry_out(rotation, &order, *claimed, &never)).await
    }

    async fn rotates(&self, pair: usize) {
        let run = self.run(pair, true).await;
        assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
        let store = self.fixture.env.stand_in().store();
        self.fixture.check(store, pair).await.unwrap();
    }

    /// How often the master has signed in so far.
    fn sign_ins(&self) -> usize {
        let log = self.fixture.env.log();
        log.matches("connection authorized: user=rdsmaster").count()
    }

    /// Who is signed in as the master now, and how many locks there are.
    async fn there(&self) -> (Vec<i32>, i64) {
        let mut root = self.fixture.env.root("shop").await;
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
async fn the_next_run_goes_on_with_the_connection_and_finds_no_lock_on_it() {
    let house = House::open(IdleAdmins::new(LONG, 2)).await;
    let before = house.sign_ins();
    house.rotates(0).await;
    let (first, locks) = house.there().await;
    assert_eq!((first.len(), locks), (1, 0));
    for pair in [1, 2, 0, 0] {
        house.rotates(pair).await;
        assert_eq!(house.there().await, (first.clone(), 0));
    }
    assert_eq!(house.sign_ins() - before, 1);
    house.rotator.context.idle_admins.close_all().await;
    until("it is closed", async || house.there().await.0.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_at_once_have_a_connection_each_and_no_more_are_kept_than_the_host_allows() {
    let house = House::open(IdleAdmins::new(LONG, 2)).await;
    for _ in 0..3 {
        let all = (0..PAIRS).map(|pair| house.rotates(pair));
        futures_util::future::join_all(all).await;
    }
    until("two are left, without a lock", async || {
        let (masters, locks) = house.there().await;
        (masters.len(), locks) == (2, 0)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_version_of_the_master_secret_signs_in_anew_though_the_password_is_the_same() {
    let house = House::open(IdleAdmins::new(LONG, 2)).await;
    house.rotates(0).await;
    let before = house.sign_ins();
    let master = secrecy::ExposeSecret::expose_secret(&house.fixture.env.master).to_owned();
    let mut document = house.fixture.env.document("rdsmaster", &master);
    document["edited"] = true.into();
    house.fixture.env.put(MASTER_SECRET, &document).await;
    house.rotates(1).await;
    assert_eq!(house.sign_ins() - before, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_was_cut_meanwhile_costs_a_sign_in_and_not_the_run() {
    let house = House::open(IdleAdmins::new(LONG, 2)).await;
    house.rotates(0).await;
    let before = house.sign_ins();
    let mut root = house.fixture.env.root("shop").await;
    let cut = "SELECT bool_and(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity WHERE usename = 'rdsmaster'";
    assert!(value::<bool>(&mut root, cut).await);
    house.rotates(1).await;
    assert_eq!(house.sign_ins() - before, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_run_that_was_refused_and_after_a_while_nothing_is_kept() {
    let house = House::open(IdleAdmins::new(LONG, 2)).await;
    let _somebody = house
        .fixture
        .env
        .connect(&name(0), &FIRST.into(), "shop")
        .await;
    house.rotates(0).await;
    // Now somebody lives on the standby.
    let run = house.run(0, false).await;
    assert_eq!(run.state, RunState::Failed, "{:?}", run.error);
    until("nothing is kept", async || house.there().await.0.is_empty()).await;

    let brief = House::open(IdleAdmins::new(Duration::from_millis(200), 2)).await;
    brief.rotates(0).await;
    until("its time is over", async || {
        brief.there().await.0.is_empty()
    })
    .await;
}
