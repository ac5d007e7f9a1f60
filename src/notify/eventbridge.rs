//! Amazon EventBridge: the message as an event, in the form in which AWS tells of its own rotations.
//!
//! AWS's rules match `detail-type` "AWS Service Event via CloudTrail", `detail.eventSource`, `detail.eventName`
//! RotationSucceeded or RotationFailed, and `detail.additionalEventData.SecretId` ("Match Secrets Manager events with
//! Amazon EventBridge" in the Secrets Manager User Guide, and "CloudTrail entries" there). Only `source` differs: one
//! that begins with `aws.` is AWS's alone (PutEvents in the EventBridge API Reference).

use aws_sdk_eventbridge::Client;
use aws_sdk_eventbridge::primitives::DateTime;
use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use serde_json::json;
use tokio::sync::OnceCell;

use super::Undelivered;
use super::message::Message;
use crate::config::settings::NotifyEvent;
use twinkey_core::aws::Aws;

pub(super) struct EventBridge {
    aws: Aws,
    bus: String,
    client: OnceCell<Client>,
}

/// AWS's names where it has one; the others are ours.
const fn name(event: NotifyEvent) -> &'static str {
    match event {
        NotifyEvent::Started => "RotationStarted",
        NotifyEvent::Succeeded => "RotationSucceeded",
        NotifyEvent::Failed => "RotationFailed",
        NotifyEvent::Missed => "RotationMissed",
        NotifyEvent::RolledBack => "RotationRolledBack",
        NotifyEvent::Retired => "PreviousRetired",
        NotifyEvent::StandbyInUse => "StandbyInUse",
        NotifyEvent::CurrentRefused => "CurrentRefused",
    }
}

impl EventBridge {
    pub(super) fn new(aws: Aws, bus: &str) -> Self {
        Self {
            aws,
            bus: bus.to_owned(),
            client: OnceCell::new(),
        }
    }

    async fn client(&self) -> &Client {
        let make = || async { Client::new(self.aws.config().await) };
        self.client.get_or_init(make).await
    }

    pub(super) async fn deliver(&self, message: &Message) -> Result<(), Undelivered> {
        let secret = message.secret.as_deref().unwrap_or_default();
        let detail = json!({
            "eventVersion": "1.08",
            "eventTime": message.at,
            "eventSource": "secretsmanager.amazonaws.com",
            "eventName": name(message.event),
            "eventID": message.id,
            "eventType": "AwsServiceEvent",
            "additionalEventData": { "SecretId": secret },
            "twinkey": message,
        });
        let entry = PutEventsRequestEntry::builder()
            .event_bus_name(&self.bus)
            .source("twinkey")
            .detail_type("AWS Service Event via CloudTrail")
            .time(DateTime::from_secs(message.at.timestamp()))
            .set_resources(secret.starts_with("arn:").then(|| vec![secret.to_owned()]))
            .detail(detail.to_string())
            .build();
        let put = self.client().await.put_events().entries(entry).send().await;
        let done = put.map_err(Undelivered::by_aws)?;
        // The call succeeds where its entry does not.
        let failed = done.entries().iter().find_map(|entry| entry.error_code());
        match failed {
            None => Ok(()),
            Some(code) => Err(Undelivered {
                why: format!("EventBridge answers {code}"),
                again: matches!(code, "ThrottlingException" | "InternalFailure"),
                after: None,
            }),
        }
    }
}
