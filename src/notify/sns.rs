//! Amazon SNS channel: the message as JSON, with event and rotation as attributes for filters.

use aws_config::Region;
use aws_sdk_sns::Client;
use aws_sdk_sns::config::Builder;
use aws_sdk_sns::types::MessageAttributeValue;

use super::DeliveryFailure;
use super::message::Message;
use twinkey_core::aws::Aws;

pub(super) struct Sns {
    topic_arn: String,
}

impl Sns {
    pub(super) fn new(topic_arn: &str) -> Self {
        Self {
            topic_arn: topic_arn.to_owned(),
        }
    }

    /// The ARN of the topic.
    pub(super) fn topic(&self) -> &str {
        &self.topic_arn
    }

    /// A client for the topic's region.
    async fn client(&self, aws: &Aws) -> Client {
        let region = self.topic_arn.split(':').nth(3).unwrap_or_default();
        let config = Builder::from(aws.config().await);
        let config = config.region(Region::new(region.to_owned())).build();
        Client::from_conf(config)
    }

    pub(super) async fn deliver(
        &self,
        aws: &Aws,
        message: &Message,
    ) -> Result<(), DeliveryFailure> {
        let client = self.client(aws).await;
        let publish = client.publish().topic_arn(&self.topic_arn);
        let publish = publish
            .subject(format!(
                "twinkey: {} {}",
                message.rotation,
                message.event.as_str()
            ))
            .message(message.json()?)
            .message_attributes("event", text(message.event.as_str())?)
            .message_attributes("rotation", text(&message.rotation)?);
        publish
            .send()
            .await
            .map(drop)
            .map_err(DeliveryFailure::from_aws)
    }
}

fn text(value: &str) -> Result<MessageAttributeValue, DeliveryFailure> {
    let attribute = MessageAttributeValue::builder()
        .data_type("String")
        .string_value(value);
    attribute.build().map_err(DeliveryFailure::internal)
}
