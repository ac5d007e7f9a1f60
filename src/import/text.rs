//! The config as TOML with comments.

use std::fmt::Write as _;
use std::time::Duration;

use super::convert::{Conversion, Outcome, Rotation};

/// The location of the secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    pub region: String,
    pub account: Option<String>,
    /// The endpoint of an emulator.
    pub endpoint_url: Option<String>,
}

/// The numbers of converted and skipped secrets.
#[must_use]
pub fn count(all: &[Conversion]) -> (usize, usize) {
    let converted = all
        .iter()
        .filter(|one| matches!(one.outcome, Outcome::Rotation(_)));
    let converted = converted.count();
    (converted, all.len() - converted)
}

/// The complete config.
#[must_use]
pub fn config(source: &Source, all: &[Conversion]) -> String {
    let (converted, skipped) = count(all);
    let account = source.account.as_deref().unwrap_or("?");
    let mut text = format!(
        "# The rotations of account {account} in {region}, as a config of twinkey.\n\
         # {converted} secrets are converted; {skipped} are not, and are listed at the end with the reason.\n\
         #\n\
         # It does not include the password rules of the rotation functions (EXCLUDE_CHARACTERS, PASSWORD_LENGTH,\n\
         # ...); set `password` instead. Those functions fall back to plain text if TLS fails. twinkey never\n\
         # does, so run `twinkey check` before you switch a rotation over.\n\n\
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
        if let Outcome::Skipped(skipped) = &one.outcome {
            let secret = plain(&one.secret);
            let _ = write!(
                text,
                "\n# NOT CONVERTED: {secret}\n# AWS: {}\n# Why: {}.\n# To do: {}.\n",
                plain(&one.aws),
                plain(&skipped.why),
                plain(&skipped.to_do)
            );
        }
    }
    text
}

fn block(text: &mut String, one: &Conversion, rotation: &Rotation) {
    let _ = writeln!(text, "# AWS: {}", plain(&one.aws));
    if rotation.drifts {
        text.push_str("# AWS opens such a window at midnight, UTC. twinkey opens it this interval after the last success, which\n# needs a first run: run `twinkey rotate` once at a suitable time of day, or use a cron expression.\n");
    }
    if rotation.proxied {
        text.push_str("# The host is an RDS Proxy. It accepts only users whose own secret is registered at it, so that it refuses\n# the replaced user after a flip: see \"RDS Proxy\" in docs/moving.md before you rotate this secret. The\n# master needs the host of the database itself (master_host).\n");
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
            "# The secret has \"ssl\": false. Enable TLS on the server and remove this line. Until then the master\n# secret needs \"ssl\": false too.\n",
        );
        line(text, "tls", "{ mode = \"secret\" }");
    }
}

fn line(text: &mut String, key: &str, value: &str) {
    let _ = writeln!(text, "{key} = {value}");
}

/// A basic string of TOML, which uses JSON's escapes.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text)
        .to_string()
        .replace('\u{7f}', "\\u007f")
}

/// A text for a comment, without control characters.
fn plain(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

fn hours(window: Duration) -> String {
    format!("{}h", window.as_secs() / 3600)
}
