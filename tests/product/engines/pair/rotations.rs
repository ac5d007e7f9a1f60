//! Consecutive rotations.

use serde_json::Value as Json;
use twinkey_stores::stage;

use super::PairFixture;
use twinkey_testkit::environment::{Backend, Setup, StandIn};

fn without_credentials(document: &Json) -> String {
    let mut fields = document.as_object().unwrap().clone();
    fields.remove("username");
    fields.remove("password");
    serde_json::to_string(&fields).unwrap()
}

/// Rotates three times and compares the users after each rotation.
pub(crate) async fn assert_three_rotations<F: PairFixture>(fixture: &F) {
    let env = fixture.env();
    fixture.grant_every_kind().await;
    let expected = fixture.report("app").await;
    for _ in 0..3 {
        let (before, replaced) = env.read(stage::CURRENT).await;
        env.run_ok(&["rotate", "shop"]).await;
        assert_eq!(env.read(stage::PREVIOUS).await.1, replaced);
        let (after, _) = env.read(stage::CURRENT).await;
        assert_eq!(without_credentials(&after), without_credentials(&before));
        assert_ne!(after["username"], before["username"]);
        assert_ne!(after["password"], before["password"]);
        fixture.assert_pair_is_equal().await;
        assert_eq!(fixture.report("app_clone").await, expected);
        fixture.assert_complete().await;
        for label in [stage::CURRENT, stage::PREVIOUS] {
            fixture.assert_every_kind_is_usable(label).await;
        }
    }
}

pub(crate) async fn three_rotations_keep_the_pair_equal<F: PairFixture>() {
    let backend = Backend::StandIn(StandIn::start().await);
    assert_three_rotations(&F::start(Setup::default(), backend).await).await;
}

pub(crate) async fn three_rotations_in_the_embedded_store_keep_the_pair_equal<F: PairFixture>() {
    assert_three_rotations(&F::start(Setup::default(), Backend::Local).await).await;
}
