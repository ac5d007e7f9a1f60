//! The config, as TOML with comments: pure.

use std::fmt::Write as _;
use std::time::Duration;

use super::carry::{Carried, Outcome, Rotation};

/// Where the secrets are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    pub region: String,
    pub account: Option<String>,
    /// Of a stand-in.
    pub endpoint_url: Option<String>,
}

/// How many are carried over, and how many are not.
#[must_use]
pub fn count(all: &[Carried]) -> (usize, usize) {
    let carried = all
        .iter()
        .filter(|one| matches!(one.outcome, Outcome::Rotation(_)));
    let carried = carried.count();
    (carried, all.len() - carried)
}

/// The whole config.
#[must_use]
pub fn config(source: &Source, all: &[Carried]) -> String {
    let (carried, left) = count(all);
    let account = source.account.as_deref().unwrap_or("?");
    let mut text = format!(
        "# What rotates in account {account}, {region}, as a config of twinkey.\n\
         # {carried} secrets are carried over; {left} are not, at the end, each with the reason.\n\
         #\n\
         # What AWS keeps in a rotation's function is not in it: the rules of its passwords (EXCLUDE_CHARACTERS,\n\
         # PASSWORD_LENGTH, ...), for which there is `password`. Those functions fall back to plain text where TLS\n\
         # fails; twinkey never does, so run `twinkey check` before you switch anything over.\n\n\
         [secrets]\nbackend = \"aws\"\nregion = {}\n",
        quoted(&source.region),
        region = source.region,
    );
    if let Some(url) = &source.endpoint_url {
        line(&mut text, "endpoint_url", &quoted(url));
    }
    for one in all {
        if let Outcome::Rotation(rotation) = &one.outcome {
            text.push('\n');
            block(&mut text, one, rotation);
        }
    }
    for one in all {
        if let Outcome::Left(left) = &one.outcome {
            let secret = plain(&one.secret);
            let _ = write!(
                text,
                "\n# NOT CARRIED OVER: {secret}\n# AWS: {}\n# Why: {}.\n# To do: {}.\n",
                plain(&one.aws),
                plain(&left.why),
                plain(&left.to_do)
            );
        }
    }
    text
}

fn block(text: &mut String, one: &Carried, rotation: &Rotation) {
    let _ = writeln!(text, "# AWS: {}", plain(&one.aws));
    if rotation.drifts {
        text.push_str("# AWS opens such a window at midnight, UTC; here it opens when the last success is so long ago, the\n# first time after the first run: rotate once by hand at the time of day that suits you, or write a cron.\n");
    }
    text.push_str("[[rotation]]\n");
    line(text, "name", &quoted(&one.name));
    line(text, "secret", &quoted(&one.secret));
    line(text, "schedule", &quoted(&rotation.schedule));
    line(text, "window", &quoted(&hours(rotation.window)));
    line(text, "master_secret", &quoted(&rotation.master_secret));
    line(text, "engine", &quoted(rotation.engine.as_str()));
    if rotation.plain_text {
        text.push_str(
            "# The secret says \"ssl\": false. Better: TLS on the server, and this line away.\n",
        );
        line(text, "tls", "{ mode = \"secret\" }");
    }
}

fn line(text: &mut String, key: &str, value: &str) {
    let _ = writeln!(text, "{key} = {value}");
}

/// A basic string of TOML, whose escapes are JSON's.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text)
        .to_string()
        .replace('\u{7f}', "\\u007f")
}

/// For a comment, which ends with its line.
fn plain(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

fn hours(window: Duration) -> String {
    format!("{}h", window.as_secs() / 3600)
}
