//! Descriptions of secrets have the rotations of a source.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_secretsmanager::primitives::DateTime;
use aws_sdk_secretsmanager::types::SortByType;
use parking_lot::Mutex;
use twinkey_stores::local::api::{RotationRules, RotationSource, SecretRotation};

use super::Place;
use crate::subject::secret;

/// Rotates the secrets below `prod/`, and records what it was asked for.
#[derive(Clone, Default)]
struct Source(Arc<Mutex<Vec<Vec<String>>>>);

impl Source {
    fn asked(&self) -> Vec<Vec<String>> {
        std::mem::take(&mut self.0.lock())
    }
}

#[async_trait]
impl RotationSource for Source {
    async fn rotations_of(&self, secrets: &[&str]) -> HashMap<String, SecretRotation> {
        let asked = secrets.iter().map(|name| (*name).to_owned()).collect();
        self.0.lock().push(asked);
        let rotated = secrets.iter().filter(|name| name.starts_with("prod/"));
        let rotation = SecretRotation {
            enabled: true,
            rules: Some(RotationRules {
                schedule: "rate(7 days)".into(),
                window: Duration::from_secs(7200),
            }),
            last_rotated: Some("2026-11-23T07:00:00Z".parse().unwrap()),
            next: Some("2026-11-30T09:00:00Z".parse().unwrap()),
        };
        rotated
            .map(|name| ((*name).to_owned(), rotation.clone()))
            .collect()
    }
}

#[tokio::test]
async fn descriptions_and_lists_have_the_rotation() {
    let source = Source::default();
    let place = Place::open_with(|served| served.with_rotations(Arc::new(source.clone()))).await;
    let client = place.client();
    for name in ["prod/a", "dev/a", "prod/b"] {
        place
            .beside
            .create_or_put(name, &secret("x"))
            .await
            .unwrap();
    }
    let describe = client.describe_secret().secret_id("prod/a");
    let seen = describe.send().await.unwrap();
    let rules = seen.rotation_rules().unwrap();
    assert_eq!(
        (
            seen.rotation_enabled(),
            rules.schedule_expression(),
            rules.duration(),
            rules.automatically_after_days(),
        ),
        (Some(true), Some("rate(7 days)"), Some("2h"), Some(7))
    );
    let times = (seen.last_rotated_date(), seen.next_rotation_date());
    let (last, next) = (1_795_417_200, 1_796_029_200);
    assert_eq!(
        times,
        (
            Some(&DateTime::from_secs(last)),
            Some(&DateTime::from_secs(next))
        )
    );
    assert_eq!(source.asked(), [["prod/a"]]);

    let other = client.describe_secret().secret_id("dev/a");
    let other = other.send().await.unwrap();
    assert_eq!(
        (other.rotation_enabled(), other.rotation_rules()),
        (None, None)
    );
    source.asked();

    // A page asks once, for its own secrets.
    let list = client.list_secrets().sort_by(SortByType::Name);
    let page = list.max_results(2).send().await.unwrap();
    let enabled: Vec<_> = page
        .secret_list()
        .iter()
        .map(|one| (one.name().unwrap(), one.rotation_enabled()))
        .collect();
    assert_eq!(enabled, [("dev/a", None), ("prod/a", Some(true))]);
    assert_eq!(source.asked(), [["dev/a", "prod/a"]]);
}
