//! Amazon EventBridge channel: the message as an event in the form of AWS's own rotation events.
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

use super::DeliveryFailure;
use super::message::Message;
use crate::config::settings::NotifyEvent;
use twinkey_core::aws::Aws;
use twinkey_core::printable::{NAME, printable};

pub(super) struct EventBridge {
    aws: Aws,
    bus: String,
    client: OnceCell<Client>,
}

/// The event name: AWS's where it has one, else twinkey's.
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

    pub(super) async fn deliver(&self, message: &Message) -> Result<(), DeliveryFailure> {
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
        let output = put.map_err(DeliveryFailure::from_aws)?;
        // The call succeeds even if its entry fails.
        let failed = output.entries().iter().find_map(|entry| entry.error_code());
        match failed {
            None => Ok(()),
            Some(code) => Err(DeliveryFailure {
                reason: format!("EventBridge responds {}", printable(code, NAME)),
                retryable: matches!(code, "ThrottlingException" | "InternalFailure"),
                retry_after: None,
            }),
        }
    }
}
