//! Workers as tasks of one process, each with its own client of the store and its own journal.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Timelike, Utc};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use twinkey::config::settings::Rotation;
use twinkey::journal::{Actor, Claim, Run, RunState, SqliteJournal, Trigger};
use twinkey::rotation::commands::rollback::{RollbackOrder, rollback};
use twinkey::rotation::context::SharedContext;
use twinkey::rotation::event::Events;
use twinkey::rotation::observe::observation::RunRequest;
use twinkey::rotation::run::version_id;
use twinkey::rotation::run::{Order, Rotator};
use twinkey::schedule::Window;
use twinkey::store::Stores;
use twinkey_core::telemetry::Clock;
use twinkey_stores::aws::AwsStore;
use twinkey_stores::{SecretStore, VersionId, stage};

use super::{LOSER_CODES, SignInChecker};
use twinkey_testkit::aws::{StandIn, sdk_config};
use twinkey_testkit::environment::Backend;
use twinkey_testkit::environment::many_pairs::{ManyPairs, secret};
use twinkey_testkit::rng::Rng;

const PAIRS: usize = 16;
const ROUNDS: usize = 10;
const WORKERS: usize = 5;
/// Concurrent races: enough for two processors.
const AT_ONCE: usize = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum RaceKind {
    TwoOnOneWindow,
    FiveOnOneWindow,
    ManualAndScheduled,
    ConcurrentEdit,
    ConcurrentRollback,
    PendingRemoved,
    ForeignPending,
}

impl RaceKind {
    const ALL: [Self; 7] = [
        Self::TwoOnOneWindow,
        Self::FiveOnOneWindow,
        Self::ManualAndScheduled,
        Self::ConcurrentEdit,
        Self::ConcurrentRollback,
        Self::PendingRemoved,
        Self::ForeignPending,
    ];

    const fn workers(self) -> usize {
        match self {
            Self::FiveOnOneWindow | Self::ConcurrentEdit => WORKERS,
            _ => 2,
        }
    }

    const fn has_external_actor(self) -> bool {
        !matches!(
            self,
            Self::TwoOnOneWindow | Self::FiveOnOneWindow | Self::ManualAndScheduled
        )
    }
}

/// The state of all races.
struct RaceFixture {
    pairs: Arc<ManyPairs>,
    rotations: Vec<Rotation>,
    workers: Vec<Rotator>,
    rng: Rng,
    /// The windows of the races open one second apart, all within the last hour.
    opens: DateTime<Utc>,
}

impl RaceFixture {
    async fn open() -> Self {
        let backend = Backend::StandIn(StandIn::start().await);
        let pairs = Arc::new(ManyPairs::open(PAIRS, backend).await);
        let url = pairs.env.stand_in().url();
        let folder = pairs.env.folder.path();
        let text = pairs.config(
            "[secrets]\nbackend = \"aws\"",
            "min_interval = \"0s\"\nin_use = \"ignore\"",
        );
        let settings =
            twinkey::config::parse(Path::new("twinkey.toml"), &text, &BTreeMap::new()).unwrap();
        let mut workers = Vec::new();
        for n in 0..WORKERS {
            let journal = SqliteJournal::open(&folder.join(format!("journal-{n}.db"))).await;
            workers.push(Rotator {
                context: SharedContext::new(
                    Stores::single(Arc::new(AwsStore::from_config(&sdk_config(&url)))),
                    Clock::system(),
                    PAIRS,
                ),
                journal: Arc::new(journal.unwrap()),
                events: Events::default(),
                worker: format!("worker-{n}"),
            });
        }
        let now = Clock::system().now();
        Self {
            rotations: settings.rotations,
            workers,
            rng: Rng::new(6),
            opens: now.with_nanosecond(0).unwrap() - TimeDelta::minutes(50),
            pairs,
        }
    }

    fn store(&self) -> &dyn SecretStore {
        self.pairs.env.stand_in().store()
    }

    async fn labelled(&self, pair: usize, label: &str) -> Option<VersionId> {
        let description = self.store().describe(&secret(pair)).await.unwrap();
        description.labelled(label).cloned()
    }

    async fn scheduled(&self, pair: usize, race: usize) -> Order {
        let opens = self.opens + TimeDelta::seconds(race as i64);
        let description = self.store().describe(&secret(pair)).await.unwrap();
        Order {
            trigger: Trigger::Schedule,
            cause: Actor::worker("test").into(),
            window: Some(Window {
                opens,
                closes: opens + TimeDelta::hours(2),
            }),
            version_id: version_id::scheduled(&description.arn, opens),
            force: false,
            end_sessions: false,
        }
    }

    /// The run of one worker, at a random time in the race.
    async fn runs(&self, worker: usize, pair: usize, order: &Order) -> Run {
        tokio::time::sleep(self.rng.millis(0..80)).await;
        let (rotator, rotation) = (&self.workers[worker], &self.rotations[pair]);
        match rotator.claim(rotation, order).await.unwrap() {
            Claim::Claimed(claimed) => {
                let never = CancellationToken::new();
                rotator.carry_out(rotation, order, *claimed, &never).await
            }
            Claim::Running { run, .. } | Claim::Over(run) => *run,
        }
    }

    /// The action of the external actor, at a random time in the race.
    async fn external_actor(&self, kind: RaceKind, pair: usize) {
        if !kind.has_external_actor() {
            return;
        }
        tokio::time::sleep(self.rng.millis(0..250)).await;
        let (secret, store) = (secret(pair), self.pairs.env.stand_in().store());
        match kind {
            RaceKind::ConcurrentEdit => {
                let current = self.pairs.read(store, pair, stage::CURRENT).await;
                let (mut document, _) = current.unwrap();
                document["edited"] = self.rng.below(1000).into();
                self.pairs.env.put(&secret, &document).await;
            }
            RaceKind::ConcurrentRollback => {
                let request = RunRequest {
                    rotation: &self.rotations[pair],
                    run: None,
                    own: version_id::manual(),
                    may_exist: false,
                    force: false,
                    end_sessions: false,
                    window: None,
                    last_flip: None,
                    retired: false,
                    lock: true,
                    journal: &*self.workers[0].journal,
                    worker: "races",
                };
                let order = RollbackOrder {
                    cause: Actor::worker("test").into(),
                    again: true,
                    to: None,
                };
                // A rollback may be refused, for example during a run.
                let _ = rollback(
                    &self.workers[0].context.of(request.rotation),
                    &request,
                    &order,
                )
                .await;
            }
            RaceKind::PendingRemoved => {
                let pending = self.labelled(pair, stage::PENDING).await;
                // The label may have moved.
                let _ = store
                    .move_stage(&secret, stage::PENDING, pending.as_ref(), None)
                    .await;
            }
            RaceKind::ForeignPending => {
                let user = ["other", "another"][self.rng.below(2) as usize];
                let document = self.pairs.env.document(user, "Another-0123456789-rotators");
                let text = document.to_string().into();
                store
                    .put(&secret, &version_id::manual(), &text, stage::PENDING)
                    .await
                    .unwrap();
            }
            RaceKind::TwoOnOneWindow | RaceKind::FiveOnOneWindow | RaceKind::ManualAndScheduled => {
            }
        }
    }

    /// One race. Returns the results of its workers.
    async fn race(self: &Arc<Self>, race: usize, pair: usize, kind: RaceKind) -> Vec<String> {
        let before = self.labelled(pair, stage::CURRENT).await.unwrap();
        let window = self.scheduled(pair, race).await;
        let manual = Order {
            trigger: Trigger::Manual,
            window: None,
            version_id: version_id::manual(),
            ..window.clone()
        };
        let order = |worker| match (kind, worker) {
            (RaceKind::ManualAndScheduled, 0) => manual.clone(),
            _ => window.clone(),
        };
        let tries: Vec<_> = (0..kind.workers())
            .map(|worker| {
                let (fixture, order) = (Arc::clone(self), order(worker));
                tokio::spawn(async move { fixture.runs(worker, pair, &order).await })
            })
            .collect();
        self.external_actor(kind, pair).await;
        let mut runs = Vec::new();
        for one in tries {
            runs.push(one.await.unwrap());
        }

        let mut ends = Vec::new();
        for run in &runs {
            let code = run.error.as_ref().map(|e| e.code.as_str());
            assert!(
                run.state == RunState::Succeeded || code.is_some_and(|c| LOSER_CODES.contains(&c)),
                "{kind:?} {race}: {run:?}"
            );
            ends.push(code.unwrap_or("succeeded").to_owned());
        }
        let current = self.labelled(pair, stage::CURRENT).await.unwrap();
        let previous = self.labelled(pair, stage::PREVIOUS).await;
        let winners: Vec<&VersionId> = runs
            .iter()
            .filter(|run| run.state == RunState::Succeeded)
            .map(|run| &run.version_id)
            .collect();
        if !kind.has_external_actor() {
            assert!(winners.contains(&&current), "{kind:?} {race}: {runs:?}");
            let both =
                winners.contains(&&manual.version_id) && winners.contains(&&window.version_id);
            // Each version that won was one flip.
            let left = if !both {
                &before
            } else if current == window.version_id {
                &manual.version_id
            } else {
                &window.version_id
            };
            assert_eq!(previous.as_ref(), Some(left), "{kind:?} {race}: {runs:?}");
        }
        self.pairs.check(self.store(), pair).await.unwrap();
        ends
    }

    /// Restores a consistent pair after external actions.
    async fn restore(&self, race: usize, pair: usize) {
        let pending = self.labelled(pair, stage::PENDING).await;
        let manual = |version_id| Order {
            trigger: Trigger::Manual,
            cause: Actor::worker("test").into(),
            window: None,
            version_id,
            force: false,
            end_sessions: false,
        };
        let run = self.runs(0, pair, &manual(version_id::manual())).await;
        if let Some(why) = &run.error {
            assert_eq!(
                why.code.as_str(),
                "pending_conflict",
                "race {race}: {run:?}"
            );
            self.store()
                .move_stage(&secret(pair), stage::PENDING, pending.as_ref(), None)
                .await
                .unwrap();
            let run = self.runs(0, pair, &manual(version_id::manual())).await;
            assert_eq!(run.state, RunState::Succeeded, "race {race}: {run:?}");
        }
        self.pairs.check(self.store(), pair).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_racing_workers_one_wins_and_awscurrent_always_works() {
    let fixture = Arc::new(RaceFixture::open().await);
    let checker = SignInChecker::start(Arc::clone(&fixture.pairs), 0..PAIRS);
    let permits = Arc::new(Semaphore::new(AT_ONCE));
    let pairs: Vec<_> = (0..PAIRS)
        .map(|pair| {
            let (fixture, permits) = (Arc::clone(&fixture), Arc::clone(&permits));
            tokio::spawn(async move {
                let mut tally: BTreeMap<(RaceKind, String), u32> = BTreeMap::new();
                for round in 0..ROUNDS {
                    let _permit = permits.acquire().await.unwrap();
                    let race = pair * ROUNDS + round;
                    let kind = RaceKind::ALL[race % RaceKind::ALL.len()];
                    for end in fixture.race(race, pair, kind).await {
                        *tally.entry((kind, end)).or_default() += 1;
                    }
                    if kind.has_external_actor() {
                        fixture.restore(race, pair).await;
                    }
                }
                tally
            })
        })
        .collect();
    let mut tally: BTreeMap<(RaceKind, String), u32> = BTreeMap::new();
    for pair in pairs {
        for (end, count) in pair.await.unwrap() {
            *tally.entry(end).or_default() += count;
        }
    }
    let sign_ins = checker.end().await;
    for ((kind, end), count) in &tally {
        println!("{kind:?}: {count} x {end}");
    }
    println!(
        "{} races of tasks: 0 violations, AWSCURRENT signed in {sign_ins} times out of {sign_ins}",
        PAIRS * ROUNDS
    );
}
