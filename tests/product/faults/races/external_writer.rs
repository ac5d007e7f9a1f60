//! A manual rollback at the worst moment: immediately after the pending password is written.

use std::sync::Arc;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;
use twinkey::journal::{Actor, Claim, SqliteJournal, Trigger};
use twinkey::rotation::context::SharedContext;
use twinkey::rotation::event::Events;
use twinkey::rotation::run::version_id;
use twinkey::rotation::run::{Order, Rotator};
use twinkey::store::Stores;
use twinkey_core::code::Code;
use twinkey_core::secret::Sensitive;
use twinkey_core::telemetry::Clock;
use twinkey_stores::aws::AwsStore;
use twinkey_stores::{
    Description, SecretStore, SecretVersion, Selector, StoreError, VersionId, stage,
};

use twinkey_testkit::aws::sdk_config;
use twinkey_testkit::environment::{Environment, Setup};

/// A store that moves AWSCURRENT to AWSPREVIOUS after each put.
struct RollbackOnPut(AwsStore);

#[async_trait]
impl SecretStore for RollbackOnPut {
    async fn describe(&self, secret: &str) -> Result<Description, StoreError> {
        self.0.describe(secret).await
    }

    async fn get(&self, secret: &str, which: Selector<'_>) -> Result<SecretVersion, StoreError> {
        self.0.get(secret, which).await
    }

    async fn put(
        &self,
        secret: &str,
        id: &VersionId,
        value: &Sensitive,
        stage: &str,
    ) -> Result<(), StoreError> {
        self.0.put(secret, id, value, stage).await?;
        let description = self.0.describe(secret).await?;
        let on = |label| description.labelled(label);
        self.0
            .move_stage(
                secret,
                stage::CURRENT,
                on(stage::CURRENT),
                on(stage::PREVIOUS),
            )
            .await
    }

    async fn move_stage(
        &self,
        secret: &str,
        stage: &str,
        from: Option<&VersionId>,
        to: Option<&VersionId>,
    ) -> Result<(), StoreError> {
        self.0.move_stage(secret, stage, from, to).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.0.ping().await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_that_became_awscurrent_is_not_changed() {
    let env = Environment::open(Setup::default()).await;
    env.run_ok(&["rotate", "shop"]).await;
    let (previous, _) = env.read(stage::PREVIOUS).await;
    let text = std::fs::read_to_string(env.config()).unwrap();
    let settings = twinkey::config::parse(&env.config(), &text, &Default::default()).unwrap();
    let journal = SqliteJournal::open(&env.folder.path().join("another.db")).await;
    let rotator = Rotator {
        context: SharedContext::new(
            Stores::single(Arc::new(RollbackOnPut(AwsStore::from_config(&sdk_config(
                &env.stand_in().url(),
            ))))),
            Clock::system(),
            1,
        ),
        journal: Arc::new(journal.unwrap()),
        events: Events::default(),
        worker: "worker".into(),
    };
    let order = Order {
        trigger: Trigger::Manual,
        cause: Actor::worker("test").into(),
        window: None,
        version_id: version_id::manual(),
        force: false,
        end_sessions: false,
    };
    let rotation = &settings.rotations[0];
    let Claim::Claimed(claimed) = rotator.claim(rotation, &order).await.unwrap() else {
        panic!("the run was not claimed");
    };
    let never = CancellationToken::new();
    let run = rotator.carry_out(rotation, &order, *claimed, &never).await;
    assert_eq!(run.error.unwrap().code, Code::LostRace);
    let (current, _) = env.read(stage::CURRENT).await;
    assert_eq!(current, previous, "AWSCURRENT stays where it was moved");
    env.signed_in(stage::CURRENT).await;
    env.signed_in(stage::PREVIOUS).await;
}
