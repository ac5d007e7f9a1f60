//! Logs on standard error, metrics and the clock. `docs/logging.md` describes the style of
//! messages.
//!
//! # Failure modes
//! - A library logs a secret at a high verbosity. `CAPS` limits such targets in code; no flag and
//!   no environment variable lifts a cap.
//! - Colour codes fill a log file. Colour is used only if standard error is a terminal.
//! - A text forges a line of the text log. Each event is one line ([`one_line`]).

pub mod clock;
pub mod metrics;
mod one_line;
#[cfg(test)]
mod tests;

use std::io::IsTerminal;

use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;

pub use clock::{Clock, ClockControl};

use self::one_line::OneLine;
use crate::code::{Code, Diagnostic};

/// `--log-format`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// Coloured text.
    #[default]
    Text,
    /// One flat JSON object a line.
    Json,
}

/// Target of the outcomes of runs, which commands print themselves.
pub const OUTCOME: &str = "twinkey::outcome";
/// Target of manual actions and their reasons: always logged.
pub const AUDIT: &str = "twinkey::audit";

/// The highest level of a target at any verbosity, with the reason.
const CAPS: [(&str, LevelFilter); 12] = [
    // Requests, responses and signing material, `SecretString` included.
    ("aws_smithy_runtime", LevelFilter::INFO),
    ("aws_smithy_runtime_api", LevelFilter::INFO),
    ("aws_smithy_http_client", LevelFilter::INFO),
    ("aws_sdk_secretsmanager", LevelFilter::INFO),
    ("aws_sigv4", LevelFilter::INFO),
    ("aws_runtime", LevelFilter::INFO),
    // Statements, verifiers included; slow statements at WARN.
    ("sqlx::query", LevelFilter::OFF),
    // Notices of the server, which may quote a statement.
    ("sqlx::postgres::notice", LevelFilter::OFF),
    // Headers, bearer tokens included.
    ("hyper", LevelFilter::INFO),
    ("hyper_util", LevelFilter::INFO),
    ("h2", LevelFilter::INFO),
    // Handshakes and tickets.
    ("rustls", LevelFilter::INFO),
];

/// Starts logging to standard error.
///
/// `verbosity` is the number of `-v` flags: 0 is `info` from twinkey and `warn` from others, 1
/// `debug` from twinkey, 2 `trace` from twinkey and `debug` from others. `quiet` is for commands
/// that print their own output: 0 is then `error` from all, nothing of [`OUTCOME`], and all of
/// [`AUDIT`].
///
/// # Errors
/// [`TelemetryError`] on a second call in one process.
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
    let layer = tracing_subscriber::fmt::layer();
    let layer = match format {
        LogFormat::Text => layer
            .with_ansi(colour)
            .with_writer(OneLine {
                inner: writer,
                colour,
            })
            .boxed(),
        LogFormat::Json => layer
            .with_writer(writer)
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .boxed(),
    };
    tracing_subscriber::registry().with(layer.with_filter(levels))
}

/// The level of each target. The longest matching name counts, so a cap covers all targets below
/// it.
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

/// Logging was started before in this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("logging was set up twice in one process")]
pub struct TelemetryError;

impl Diagnostic for TelemetryError {
    fn code(&self) -> Code {
        Code::Internal
    }

    fn hint(&self) -> String {
        "this is a bug in twinkey: please report it with the command that was run".into()
    }
}
