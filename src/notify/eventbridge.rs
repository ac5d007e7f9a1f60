//! Amazon EventBridge channel: the message as an event in the form of AWS's own rotation events.
//!
//! AWS's rules match `detail-type` "AWS Service Event via CloudTrail", `detail.eventSource`, `detail.eventName`
//! RotationSucceeded or RotationFailed, and `detail.additionalEventData.SecretId` ("Match Secrets Manager events with
//! Amazon EventBridge" in the Secrets Manager User Guide, and "CloudTrail entries" there). Only `source` differs: one
//! that begins with `aws.` is AWS's alone (PutEvents in the EventBridge API Reference).

use aws_config::Region;
use aws_sdk_eventbridge::Client;
use aws_sdk_eventbridge::config::Builder;
use aws_sdk_eventbridge::primitives::DateTime;
use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use serde_json::json;

use super::DeliveryFailure;
use super::message::Message;
use crate::config::settings::NotifyEvent;
use twinkey_core::aws::{Aws, arn};
use twinkey_core::printable::{NAME, printable};

pub(super) struct EventBridge {
    bus: String,
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
    pub(super) fn new(bus: &str) -> Self {
        Self {
            bus: bus.to_owned(),
        }
    }

    /// The bus, by name or ARN.
    pub(super) fn bus(&self) -> &str {
        &self.bus
    }

    /// A client for the region of the bus.
    async fn client(&self, aws: &Aws) -> Client {
        let mut config = Builder::from(aws.config().await);
        if let Some(region) = arn::region(&self.bus) {
            config = config.region(Region::new(region.to_owned()));
        }
        Client::from_conf(config.build())
    }

    pub(super) async fn deliver(
        &self,
        aws: &Aws,
        message: &Message,
    ) -> Result<(), DeliveryFailure> {
        let client = self.client(aws).await;
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
        let put = client.put_events().entries(entry).send().await;
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
