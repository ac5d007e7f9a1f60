//! Telling people and machines what happens: `[[notify]]`.
//!
//! What can go wrong, and what prevents it:
//! - a receiver that is slow or down holds up a run, or another receiver: each has a task of its own, which reads the
//!   memory of the last events at its own pace;
//! - one that is down for good fills the memory: a message is given up after [`TRIES`] tries, and what fell out of
//!   the memory meanwhile is told in the log;
//! - one message arrives twice: it has an id, which stays the same;
//! - a storm: a run that waits for its standby all through its window is told of once;
//! - a password or the receiver's address gets out: messages are made from events, which hold no password
//!   ([`message`]), and of an address only its host is ever shown.

mod eventbridge;
pub mod message;
mod sns;
mod webhook;

use std::fmt;
use std::time::Duration;

use aws_sdk_sns::error::{ProvideErrorMetadata, SdkError};
use chrono::{DateTime, Utc};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::settings::{Destination, Notify, SourceError};
use crate::notify::message::{Message, Teller};
use crate::rotation::event::{Heard, Subscription};
use crate::worker::backoff::Backoff;
use crate::worker::fleet::Fleet;
use twinkey_engines::EngineError;

/// How often a message is tried: with the pauses between, for a minute and a half where each is refused at once.
pub const TRIES: u32 = 7;
/// The longest pause that a receiver may ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Why a receiver cannot be told anything.
#[derive(Debug, thiserror::Error)]
pub enum NotifyError {
    #[error("{to}: its key: {source}")]
    Key { to: String, source: SourceError },
    #[error("{to}: {source}")]
    Roots { to: String, source: EngineError },
    #[error("{to}: {source}")]
    Client { to: String, source: reqwest::Error },
}

/// One try went wrong.
#[derive(Debug)]
struct Undelivered {
    why: String,
    /// Another try may go better.
    again: bool,
    /// How long the receiver asks to be left alone.
    after: Option<Duration>,
}

impl Undelivered {
    /// A fault of twinkey's own, which no other try mends.
    fn of_us(error: impl fmt::Display) -> Self {
        Self {
            why: error.to_string(),
            again: false,
            after: None,
        }
    }

    /// By AWS's code for it; its words may quote the message.
    fn by_aws<E: ProvideErrorMetadata>(error: SdkError<E>) -> Self {
        let status = error.raw_response().map(|answer| answer.status().as_u16());
        let code = error.as_service_error().and_then(|error| error.code());
        let throttled = code.is_some_and(|code| code.contains("Throttl"));
        let why = match (code, status) {
            (Some(code), _) => format!("AWS answers {code}"),
            (None, Some(status)) => format!("AWS answers with HTTP status {status}"),
            (None, None) => {
                "AWS is not reached, or the worker has no credentials for it".to_owned()
            }
        };
        Self {
            why,
            again: throttled || status.is_none_or(|status| status >= 500),
            after: None,
        }
    }
}

enum Courier {
    Webhook(Box<webhook::Webhook>),
    Sns(sns::Sns),
    EventBridge(eventbridge::EventBridge),
}

impl Courier {
    fn new(to: &Destination, fleet: &Fleet) -> Result<Self, NotifyError> {
        let aws = fleet.crew.rotator.site.aws.clone();
        Ok(match to {
            Destination::Webhook { url, key, ca_file } => {
                let webhook = webhook::Webhook::new(to, url, key, ca_file.as_deref())?;
                Self::Webhook(Box::new(webhook))
            }
            Destination::Sns { topic_arn } => Self::Sns(sns::Sns::new(aws, topic_arn)),
            Destination::EventBridge { bus } => {
                Self::EventBridge(eventbridge::EventBridge::new(aws, bus))
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

    async fn deliver(&self, message: &Message, now: DateTime<Utc>) -> Result<(), Undelivered> {
        match self {
            Self::Webhook(webhook) => webhook.deliver(message, now).await,
            Self::Sns(sns) => sns.deliver(message).await,
            Self::EventBridge(bus) => bus.deliver(message).await,
        }
    }
}

/// The tasks that tell. They end when `closing` is cancelled and all that had happened by then was tried once.
///
/// # Errors
/// A receiver's key or roots cannot be read; then nobody is told anything.
pub fn start(
    notify: &[Notify],
    fleet: &Fleet,
    closing: &CancellationToken,
) -> Result<Vec<JoinHandle<()>>, NotifyError> {
    let mut posts = Vec::new();
    for one in notify {
        posts.push(Post {
            courier: Courier::new(&one.to, fleet)?,
            to: one.to.to_string(),
            teller: Teller::new(one.events.clone()),
            fleet: fleet.clone(),
            closing: closing.clone(),
        });
    }
    let events = &fleet.crew.rotator.events;
    Ok(posts
        .into_iter()
        .map(|post| tokio::spawn(post.work(events.subscribe())))
        .collect())
}

/// One receiver.
struct Post {
    courier: Courier,
    /// For the log.
    to: String,
    teller: Teller,
    fleet: Fleet,
    closing: CancellationToken,
}

impl Post {
    async fn work(mut self, mut events: Subscription) {
        loop {
            let heard = tokio::select! {
                biased;
                heard = events.recv() => heard,
                () = self.closing.cancelled() => return,
            };
            let happened = match heard {
                Heard::Event(happened) => happened,
                Heard::Gap(lost) => {
                    tracing::error!(to = %self.to, lost, "events came faster than this receiver takes them: some were not told");
                    continue;
                }
            };
            let secret = |rotation: &str| Some(self.fleet.rotation(rotation)?.secret.clone());
            if let Some(message) = self.teller.message(&happened, secret) {
                self.tell(&message).await;
            }
        }
    }

    async fn tell(&self, message: &Message) {
        let kind = self.courier.kind();
        for attempt in 1.. {
            let Err(undelivered) = self.courier.deliver(message, self.fleet.now()).await else {
                self.fleet.metrics.notified(kind, "delivered");
                return;
            };
            let Undelivered { why, again, after } = undelivered;
            let last = !again || attempt >= TRIES || self.closing.is_cancelled();
            if last {
                tracing::error!(to = %self.to, event = message.event.as_str(), rotation = %message.rotation, id = %message.id, attempt, %why, "a notification was given up");
                self.fleet.metrics.notified(kind, "given_up");
                return;
            }
            tracing::warn!(to = %self.to, event = message.event.as_str(), rotation = %message.rotation, id = %message.id, attempt, %why, "a notification was not taken");
            let pause = Backoff::RUNS.jittered(attempt);
            let pause = pause.max(after.unwrap_or_default().min(LONGEST_PAUSE));
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.closing.cancelled() => {}
            }
        }
    }
}
