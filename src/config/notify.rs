//! `[[notify]]`, and what is valid in it.
//!
//! What can go wrong: a report goes over the network in clear, or its address, which is often a secret itself, is
//! printed: plain HTTP is for this machine only, and an address is never quoted.

use std::net::IpAddr;

use reqwest::Url;

use super::known;
use super::raw::Table;
use super::rotation::Folder;
use super::sections::source;
use super::settings::{Destination, Notify, NotifyEvent};

/// Each notification's events, where it names none.
const DEFAULT: [NotifyEvent; 4] = [
    NotifyEvent::Failed,
    NotifyEvent::Missed,
    NotifyEvent::StandbyInUse,
    NotifyEvent::CurrentRefused,
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Webhook,
    Sns,
    EventBridge,
}

const KINDS: [(&str, Kind); 3] = [
    ("webhook", Kind::Webhook),
    ("sns", Kind::Sns),
    ("eventbridge", Kind::EventBridge),
];

/// The keys that only one kind has.
const OF_ONE: [(&str, Kind); 5] = [
    ("url", Kind::Webhook),
    ("key", Kind::Webhook),
    ("ca_file", Kind::Webhook),
    ("topic_arn", Kind::Sns),
    ("bus", Kind::EventBridge),
];

pub(super) fn notify(root: &Table<'_>, folder: Folder<'_>) -> Vec<Notify> {
    let tables = root.tables("notify", "notify");
    tables
        .iter()
        .filter_map(|table| one(table, folder))
        .collect()
}

fn one(table: &Table<'_>, folder: Folder<'_>) -> Option<Notify> {
    if !table.has("kind") {
        table.error(
            "kind",
            "is missing: \"webhook\", \"sns\" or \"eventbridge\"",
        );
    }
    let events = events(table);
    let kind = table.choice("kind", &KINDS)?;
    let name = KINDS.iter().find(|(_, k)| *k == kind).map_or("", |k| k.0);
    for (key, _) in OF_ONE
        .iter()
        .filter(|(key, of)| *of != kind && table.has(key))
    {
        table.error(key, format!("is not for kind = {name:?}"));
    }
    let to = match kind {
        Kind::Webhook => {
            for key in ["url", "key"].iter().filter(|key| !table.has(key)) {
                table.error(key, "is missing");
            }
            let url = table.text("url").and_then(|text| address(table, text));
            let key = table
                .text("key")
                .and_then(|text| source(table, "key", text, folder));
            let ca_file = table.text("ca_file").map(|path| folder.join(path));
            let (url, key) = (url?, key?);
            Destination::Webhook { url, key, ca_file }
        }
        Kind::Sns => {
            if !table.has("topic_arn") {
                table.error("topic_arn", "is missing");
            }
            let topic_arn = table.text("topic_arn")?.to_owned();
            if topic_arn.split(':').count() != 6 || !topic_arn.starts_with("arn:") {
                table.error(
                    "topic_arn",
                    "is no ARN of a topic: arn:aws:sns:REGION:ACCOUNT:NAME",
                );
                return None;
            }
            Destination::Sns { topic_arn }
        }
        Kind::EventBridge => Destination::EventBridge {
            bus: table.text("bus").unwrap_or("default").to_owned(),
        },
    };
    Some(Notify {
        events: events?,
        to,
    })
}

/// An address is never quoted: people put tokens into it.
fn address(table: &Table<'_>, text: &str) -> Option<Url> {
    let url = Url::parse(text).ok().filter(Url::has_host);
    let Some(url) = url.filter(|url| matches!(url.scheme(), "http" | "https")) else {
        table.error("url", "is no http:// or https:// address");
        return None;
    };
    let host = url.host_str().unwrap_or_default();
    let address: Result<IpAddr, _> = host.trim_matches(['[', ']']).parse();
    let here = address.map_or(host == "localhost", |address| address.is_loopback());
    if url.scheme() == "http" && !here {
        table.error("url", "must be https://: http:// is for this machine only");
        return None;
    }
    if !url.username().is_empty() || url.password().is_some() {
        table.error(
            "url",
            "must not hold a user: the receiver knows us by the signature",
        );
        return None;
    }
    Some(url)
}

fn events(table: &Table<'_>) -> Option<Vec<NotifyEvent>> {
    if !table.has("events") {
        return Some(DEFAULT.to_vec());
    }
    let names = table.texts("events")?;
    let mut events = Vec::new();
    for name in &names {
        let all = NotifyEvent::ALL;
        match all.into_iter().find(|event| event.as_str() == name) {
            Some(event) => events.push(event),
            None => {
                let known = all.map(NotifyEvent::as_str);
                let message = match known::nearest(name, known) {
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
