//! Reader of `[[notify]]`.
//!
//! # Failure modes
//! - A notification crosses the network in plain text: plain HTTP is allowed for loopback only.
//! - An error reveals the URL, which often contains a secret: errors do not quote it.

use std::net::IpAddr;

use reqwest::Url;

use super::references::{Folder, token_source};
use crate::config::features;
use crate::config::settings::{Destination, Notify, NotifyEvent};
use crate::config::suggestion::nearest;
use crate::config::table::Table;

pub(super) const KEYS: &[&str] = &[
    "kind",
    "events",
    "url",
    "key",
    "ca_file",
    "topic_arn",
    "bus",
];

/// The events of a `[[notify]]` without `events`.
const DEFAULT_EVENTS: [NotifyEvent; 4] = [
    NotifyEvent::Failed,
    NotifyEvent::Missed,
    NotifyEvent::StandbyInUse,
    NotifyEvent::CurrentRefused,
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum NotifyKind {
    Webhook,
    Sns,
    EventBridge,
}

const KINDS: [(&str, NotifyKind); 3] = [
    ("webhook", NotifyKind::Webhook),
    ("sns", NotifyKind::Sns),
    ("eventbridge", NotifyKind::EventBridge),
];

/// The keys that belong to one kind.
const KEYS_OF_KIND: [(&str, NotifyKind); 5] = [
    ("url", NotifyKind::Webhook),
    ("key", NotifyKind::Webhook),
    ("ca_file", NotifyKind::Webhook),
    ("topic_arn", NotifyKind::Sns),
    ("bus", NotifyKind::EventBridge),
];

/// All `[[notify]]` tables.
pub(super) fn notify(root: &Table<'_>, folder: Folder<'_>) -> Vec<Notify> {
    let tables = root.tables("notify", KEYS);
    tables
        .iter()
        .filter_map(|table| one(table, table.folder(folder)))
        .collect()
}

fn one(table: &Table<'_>, folder: Folder<'_>) -> Option<Notify> {
    features::require(table, "kind", "notify", cfg!(feature = "notify"));
    if !table.has("kind") {
        table.error(
            "kind",
            "is missing: \"webhook\", \"sns\" or \"eventbridge\"",
        );
    }
    let events = events(table);
    let kind = table.choice("kind", &KINDS)?;
    let name = KINDS.iter().find(|(_, k)| *k == kind).map_or("", |k| k.0);
    for (key, _) in KEYS_OF_KIND
        .iter()
        .filter(|(key, of)| *of != kind && table.has(key))
    {
        table.error(key, format!("is not for kind = {name:?}"));
    }
    let to = match kind {
        NotifyKind::Webhook => {
            for key in ["url", "key"].iter().filter(|key| !table.has(key)) {
                table.error(key, "is missing");
            }
            let url = table.text("url").and_then(|text| webhook_url(table, text));
            let key = table
                .text("key")
                .and_then(|text| token_source(table, "key", text, folder));
            let ca_file = table.text("ca_file").map(|path| folder.join(path));
            let (url, key) = (url?, key?);
            Destination::Webhook { url, key, ca_file }
        }
        NotifyKind::Sns => {
            if !table.has("topic_arn") {
                table.error("topic_arn", "is missing");
            }
            let topic_arn = table.text("topic_arn")?.to_owned();
            if topic_arn.split(':').count() != 6 || !topic_arn.starts_with("arn:") {
                table.error(
                    "topic_arn",
                    "is not the ARN of a topic: arn:aws:sns:REGION:ACCOUNT:NAME",
                );
                return None;
            }
            Destination::Sns { topic_arn }
        }
        NotifyKind::EventBridge => Destination::EventBridge {
            bus: table.text("bus").unwrap_or("default").to_owned(),
        },
    };
    Some(Notify {
        events: events?,
        to,
    })
}

/// The URL; errors do not quote it, because it may contain a token.
fn webhook_url(table: &Table<'_>, text: &str) -> Option<Url> {
    let url = Url::parse(text).ok().filter(Url::has_host);
    let Some(url) = url.filter(|url| matches!(url.scheme(), "http" | "https")) else {
        table.error("url", "is not an http:// or https:// address");
        return None;
    };
    let host = url.host_str().unwrap_or_default();
    let address: Result<IpAddr, _> = host.trim_matches(['[', ']']).parse();
    let is_loopback = address.map_or(host == "localhost", |address| address.is_loopback());
    if url.scheme() == "http" && !is_loopback {
        table.error(
            "url",
            "must be https://: http:// is allowed for this machine only",
        );
        return None;
    }
    if !url.username().is_empty() || url.password().is_some() {
        table.error(
            "url",
            "must not contain a user: the signature authenticates the worker",
        );
        return None;
    }
    Some(url)
}

fn events(table: &Table<'_>) -> Option<Vec<NotifyEvent>> {
    if !table.has("events") {
        return Some(DEFAULT_EVENTS.to_vec());
    }
    let names = table.texts("events")?;
    let mut events = Vec::new();
    for name in &names {
        let all = NotifyEvent::ALL;
        match all.into_iter().find(|event| event.as_str() == name) {
            Some(event) => events.push(event),
            None => {
                let known = all.map(NotifyEvent::as_str);
                let message = match nearest(name, known) {
                    Some(near) => format!("{name:?} is not an event; did you mean {near:?}?"),
                    None => format!(
                        "{name:?} is not an event; the events are {}",
                        known.join(", ")
                    ),
                };
                table.error("events", message);
            }
        }
    }
    if names.is_empty() {
        table.error(
            "events",
            "must not be empty: leave out the whole [[notify]]",
        );
    }
    (events.len() == names.len() && !names.is_empty()).then_some(events)
}
