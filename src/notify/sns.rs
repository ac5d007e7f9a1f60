//! Amazon SNS channel: the message as JSON, with event and rotation as attributes for filters.

use aws_config::Region;
use aws_sdk_sns::Client;
use aws_sdk_sns::config::Builder;
use aws_sdk_sns::types::MessageAttributeValue;
use tokio::sync::OnceCell;

use super::DeliveryFailure;
use super::message::Message;
use twinkey_core::aws::Aws;

pub(super) struct Sns {
    aws: Aws,
    topic_arn: String,
    client: OnceCell<Client>,
}

impl Sns {
    pub(super) fn new(aws: Aws, topic_arn: &str) -> Self {
        Self {
            aws,
            topic_arn: topic_arn.to_owned(),
            client: OnceCell::new(),
        }
    }

    /// A client for the topic's region.
    async fn client(&self) -> &Client {
        let make = || async {
            let region = self.topic_arn.split(':').nth(3).unwrap_or_default();
            let config = Builder::from(self.aws.config().await);
            let config = config.region(Region::new(region.to_owned())).build();
            Client::from_conf(config)
        };
        self.client.get_or_init(make).await
    }

    pub(super) async fn deliver(&self, message: &Message) -> Result<(), DeliveryFailure> {
        let publish = self.client().await.publish().topic_arn(&self.topic_arn);
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
