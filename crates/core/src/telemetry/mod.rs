//! How the program tells what it does (logs, on standard error), and the one clock.
//! `docs/logging.md` says how to write a message.
//!
//! What can go wrong, and what prevents it:
//! - a library prints a secret once somebody turns the log up: what may do so is capped in
//!   `CAPS`, in code; no flag and no environment variable lifts a cap;
//! - a log file fills with colour codes: colour only where standard error is a terminal.

pub mod clock;
pub mod metrics;
#[cfg(test)]
mod tests;

use std::io::IsTerminal;

use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;

pub use clock::{Clock, Hand};

use crate::code::Code;

/// `--log-format`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One object a line, flat: for machines.
    Json,
}

/// How runs end: what the commands print themselves.
pub const OUTCOME: &str = "twinkey::outcome";
/// What somebody did by hand, and why: always logged.
pub const AUDIT: &str = "twinkey::audit";

/// The most that a target may log, whatever the verbosity, and why.
const CAPS: [(&str, LevelFilter); 12] = [
    // Requests, responses and signing material, `SecretString` included.
    ("aws_smithy_runtime", LevelFilter::INFO),
    ("aws_smithy_runtime_api", LevelFilter::INFO),
    ("aws_smithy_http_client", LevelFilter::INFO),
    ("aws_sdk_secretsmanager", LevelFilter::INFO),
    ("aws_sigv4", LevelFilter::INFO),
    ("aws_runtime", LevelFilter::INFO),
    // The statements, verifiers included; slow ones at WARN.
    ("sqlx::query", LevelFilter::OFF),
    // What the server says back, which may quote a statement.
    ("sqlx::postgres::notice", LevelFilter::OFF),
    // Headers, bearer tokens included.
    ("hyper", LevelFilter::INFO),
    ("hyper_util", LevelFilter::INFO),
    ("h2", LevelFilter::INFO),
    // Handshakes and tickets.
    ("rustls", LevelFilter::INFO),
];

/// Logs to standard error from now on. `verbosity` is how often `-v` was given: 0 is `info` from
/// twinkey and `warn` from others, 1 `debug` from twinkey, 2 `trace` from twinkey and `debug` from
/// others. `quiet` is for commands whose own output tells what happens: 0 is then `error` from all,
/// nothing of [`OUTCOME`], and all of [`AUDIT`].
///
/// # Errors
/// [`TelemetryError`] when it was called before in this process.
pub fn init(format: LogFormat, verbosity: u8, quiet: bool) -> Result<(), TelemetryError> {
    let colour = std::io::stderr().is_terminal()
        // https://no-color.org: present and not empty.
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let levels = if quiet && verbosity == 0 {
        Targets::new()
            .with_default(LevelFilter::ERROR)
            .with_target(OUTCOME, LevelFilter::OFF)
            .with_target(AUDIT, LevelFilter::INFO)
    } else {
        levels(verbosity)
    };
    tracing::subscriber::set_global_default(subscriber(format, levels, colour, std::io::stderr))
        .map_err(|_| TelemetryError)
}

fn subscriber<W>(
    format: LogFormat,
    levels: Targets,
    colour: bool,
    writer: W,
) -> impl Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let layer = tracing_subscriber::fmt::layer().with_writer(writer);
    let layer = match format {
        LogFormat::Text => layer.with_ansi(colour).boxed(),
        LogFormat::Json => layer
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .boxed(),
    };
    tracing_subscriber::registry().with(layer.with_filter(levels))
}

/// Which target may log what. The longest matching name counts, so that a cap holds for all below.
fn levels(verbosity: u8) -> Targets {
    let (own, others) = match verbosity {
        0 => (LevelFilter::INFO, LevelFilter::WARN),
        1 => (LevelFilter::DEBUG, LevelFilter::WARN),
        _ => (LevelFilter::TRACE, LevelFilter::DEBUG),
    };
    let capped = CAPS
        .iter()
        .map(|&(target, most)| (target, most.min(others)));
    Targets::new()
        .with_default(others)
        .with_targets(capped)
        .with_target("twinkey", own)
}

/// Something logs in this process already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("logging was set up twice in one process")]
pub struct TelemetryError;

impl TelemetryError {
    /// Always `internal`.
    #[must_use]
    pub const fn code(&self) -> Code {
        Code::Internal
    }

    /// What to do now.
    #[must_use]
    pub fn hint(&self) -> String {
        "this is a bug in twinkey: please report it with the command that was run".into()
    }
}
