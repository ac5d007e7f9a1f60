//! Notifications (`[[notify]]`) to webhooks, SNS topics and EventBridge buses.
//!
//! # Failure modes
//! - A receiver is slow or down: each receiver has its own task with its own position in the events, so that
//!   no run and no other receiver waits.
//! - A receiver stays down: a message is given up after [`MAX_ATTEMPTS`] attempts, and the log reports the
//!   events that were lost.
//! - A message arrives twice: its id is the same, so that the receiver can drop it.
//! - A run that waits for its standby repeats its event: only the first one is sent.
//! - A password or a receiver's address leaks: messages come from events, which hold no password
//!   ([`message`]), and only the host of an address is shown.

mod eventbridge;
pub mod message;
mod sns;
mod webhook;

use std::fmt;
use std::time::Duration;

use aws_sdk_sns::error::{ProvideErrorMetadata, SdkError};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::settings::{Destination, Notify, SourceError};
use crate::notify::message::{Message, MessageBuilder};
use crate::rotation::event::{Received, Subscription};
use crate::worker::state::WorkerState;
use twinkey_core::backoff::Backoff;
use twinkey_core::printable::{NAME, printable};
use twinkey_engines::EngineError;

/// The number of attempts per message; with immediate refusals they take about 90 s.
pub const MAX_ATTEMPTS: u32 = 7;
/// The longest pause that a receiver can request.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// A receiver that cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum NotifyError {
    #[error("{to}: its key: {source}")]
    Key { to: String, source: SourceError },
    #[error("{to}: {source}")]
    Roots {
        to: String,
        source: Box<EngineError>,
    },
    #[error("{to}: {source}")]
    Client { to: String, source: reqwest::Error },
}

/// A failed delivery attempt.
#[derive(Debug)]
struct DeliveryFailure {
    reason: String,
    retryable: bool,
    /// The pause that the receiver requests.
    retry_after: Option<Duration>,
}

impl DeliveryFailure {
    /// An internal error, which a retry does not resolve.
    fn internal(error: impl fmt::Display) -> Self {
        Self {
            reason: error.to_string(),
            retryable: false,
            retry_after: None,
        }
    }

    /// A failure with AWS's error code; AWS's text may quote the message.
    fn from_aws<E: ProvideErrorMetadata>(error: SdkError<E>) -> Self {
        let status = error
            .raw_response()
            .map(|response| response.status().as_u16());
        let code = error.as_service_error().and_then(|error| error.code());
        let throttled = code.is_some_and(|code| code.contains("Throttl"));
        let reason = match (code, status) {
            (Some(code), _) => format!("AWS responds {}", printable(code, NAME)),
            (None, Some(status)) => format!("AWS responds with HTTP status {status}"),
            (None, None) => {
                "AWS is unreachable, or the worker has no credentials for it".to_owned()
            }
        };
        Self {
            reason,
            retryable: throttled || status.is_none_or(|status| status >= 500),
            retry_after: None,
        }
    }
}

/// The transport of a receiver.
enum Channel {
    Webhook(Box<webhook::Webhook>),
    Sns(sns::Sns),
    EventBridge(eventbridge::EventBridge),
}

impl Channel {
    fn new(to: &Destination) -> Result<Self, NotifyError> {
        Ok(match to {
            Destination::Webhook { url, key, ca_file } => {
                let webhook = webhook::Webhook::new(to, url, key, ca_file.as_deref())?;
                Self::Webhook(Box::new(webhook))
            }
            Destination::Sns { topic_arn } => Self::Sns(sns::Sns::new(topic_arn)),
            Destination::EventBridge { bus } => {
                Self::EventBridge(eventbridge::EventBridge::new(bus))
            }
        })
    }

    const fn kind(&self) -> &'static str {
        match self {
            Self::Webhook(_) => "webhook",
            Self::Sns(_) => "sns",
            Self::EventBridge(_) => "eventbridge",
        }
    }

    async fn deliver(&self, message: &Message, state: &WorkerState) -> Result<(), DeliveryFailure> {
        let rotation = state.rotation(&message.rotation);
        let store = rotation.as_ref().and_then(|one| one.store.as_ref());
        let stores = &state.runner.rotator.context.stores;
        match self {
            Self::Webhook(webhook) => webhook.deliver(message, state.now()).await,
            Self::Sns(sns) => {
                let aws = stores.aws_for(sns.topic(), store);
                sns.deliver(&aws, message).await
            }
            Self::EventBridge(events) => {
                let aws = stores.aws_for(events.bus(), store);
                events.deliver(&aws, message).await
            }
        }
    }
}

/// Starts the delivery tasks. They end when `closing` is cancelled and all earlier events were tried once.
///
/// # Errors
/// A receiver's key or TLS roots cannot be read; then nothing is sent.
pub fn start(
    notify: &[Notify],
    state: &WorkerState,
    closing: &CancellationToken,
) -> Result<Vec<JoinHandle<()>>, NotifyError> {
    let mut workers = Vec::new();
    for one in notify {
        workers.push(DeliveryWorker {
            channel: Channel::new(&one.to)?,
            to: one.to.to_string(),
            messages: MessageBuilder::new(one.events.clone()),
            state: state.clone(),
            closing: closing.clone(),
        });
    }
    let events = &state.runner.rotator.events;
    Ok(workers
        .into_iter()
        .map(|worker| {
            let work = worker.work(events.subscribe());
            state.tasks.spawn_service("notifications", work)
        })
        .collect())
}

/// The task of one receiver.
struct DeliveryWorker {
    channel: Channel,
    /// The receiver's name in the log.
    to: String,
    messages: MessageBuilder,
    state: WorkerState,
    closing: CancellationToken,
}

impl DeliveryWorker {
    async fn work(mut self, mut events: Subscription) {
        loop {
            let received = tokio::select! {
                biased;
                received = events.recv() => received,
                () = self.closing.cancelled() => return,
            };
            let recorded = match received {
                Received::Event(recorded) => recorded,
                Received::Gap(lost) => {
                    tracing::error!(to = %self.to, lost, "events lost, some notifications not sent");
                    continue;
                }
            };
            let secret = |rotation: &str| Some(self.state.rotation(rotation)?.secret.clone());
            if let Some(message) = self.messages.message(&recorded, secret) {
                self.send(&message).await;
            }
        }
    }

    async fn send(&self, message: &Message) {
        let kind = self.channel.kind();
        for attempt in 1.. {
            let Err(failure) = self.channel.deliver(message, &self.state).await else {
                self.state.metrics.notification(kind, "delivered");
                return;
            };
            let DeliveryFailure {
                reason,
                retryable,
                retry_after,
            } = failure;
            let last = !retryable || attempt >= MAX_ATTEMPTS || self.closing.is_cancelled();
            if last {
                tracing::error!(to = %self.to, event = message.event.as_str(), rotation = %message.rotation, id = %message.id, attempt, %reason, "notification given up");
                self.state.metrics.notification(kind, "given_up");
                return;
            }
            tracing::warn!(to = %self.to, event = message.event.as_str(), rotation = %message.rotation, id = %message.id, attempt, %reason, "notification failed, retrying");
            let pause = Backoff::RUNS.jittered(attempt);
            let pause = pause.max(retry_after.unwrap_or_default().min(LONGEST_PAUSE));
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.closing.cancelled() => {}
            }
        }
    }
}
