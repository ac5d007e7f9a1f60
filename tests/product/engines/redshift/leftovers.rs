//! Probe secrets that a crash left, and a worker that deletes them.

use std::time::Duration;

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::types::Tag;

use super::fixture::{Deployment, MASTER_SECRET, RedshiftFixture};
use twinkey_testkit::aws::sdk_config;
use twinkey_testkit::environment::{free_address, until};

const TAG: &str = "RedshiftDataFullAccess";

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_deletes_old_probe_secrets_only() {
    let address = free_address();
    let more = format!("master_secret = \"{MASTER_SECRET}\"\n[server]\nlisten = \"{address}\"");
    let fixture = RedshiftFixture::open(Deployment::Cluster, "", &more).await;
    // The config does not name the engine: the worker takes it from the last observation.
    fixture.good(&["rotate", "house"]).await;
    let faults = fixture.stand_in.faults();
    faults.answer("DeleteSecret", 1, 400, "AccessDeniedException");
    let failed = fixture.twinkey(&["rotate", "house"]).await;
    assert_eq!(failed.status.code(), Some(1));
    let left = fixture.probe_secrets().await;
    assert_eq!(left.len(), 1, "the run could not delete it");

    let client = Client::new(&sdk_config(&fixture.stand_in.url()));
    let create = async |digits: &str, tag: &str| {
        let name = format!("twinkey/probe/{}", digits.repeat(32));
        let tag = Tag::builder().key(TAG).value(tag).build();
        let create = client.create_secret().name(&name).secret_string("{}");
        create.tags(tag).send().await.unwrap();
        name
    };
    let removed_rotation = create("a", "twinkey").await;
    let other_program = create("b", "finance").await;
    let young = create("c", "twinkey").await;
    for old in [&left[0], &removed_rotation, &other_program] {
        let age = Duration::from_secs(61 * 60);
        fixture.stand_in.backdate(old, age).await;
    }

    let _serve = fixture.command().arg("serve").spawn().unwrap();
    until("the old probe secrets are deleted", async || {
        let mut names = fixture.probe_secrets().await;
        names.sort();
        names == [other_program.as_str(), young.as_str()]
    })
    .await;
}
