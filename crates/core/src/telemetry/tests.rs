use std::io::Write;
use std::sync::Arc;

use parking_lot::Mutex;
use tracing::{Level, debug, info, trace, warn};

use super::*;

/// A log that a test reads.
#[derive(Clone, Default)]
struct LogBuffer(Arc<Mutex<Vec<u8>>>);

impl LogBuffer {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().clone()).unwrap()
    }
}

impl Write for LogBuffer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn logged(format: LogFormat, verbosity: u8, colour: bool, what: impl FnOnce()) -> String {
    let buffer = LogBuffer::default();
    let writer = buffer.clone();
    tracing::subscriber::with_default(
        subscriber(format, levels(verbosity), colour, move || writer.clone()),
        what,
    );
    buffer.text()
}

#[test]
fn each_verbosity_has_its_levels() {
    let all = [
        LevelFilter::ERROR,
        LevelFilter::WARN,
        LevelFilter::INFO,
        LevelFilter::DEBUG,
        LevelFilter::TRACE,
    ];
    let most = |verbosity: u8, target: &str| {
        let levels = levels(verbosity);
        all.into_iter()
            .rfind(|l| levels.would_enable(target, &l.into_level().unwrap()))
            .unwrap_or(LevelFilter::OFF)
    };
    for target in ["twinkey", "twinkey::journal::sqlite"] {
        assert_eq!(
            [0, 1, 2, 9].map(|v| most(v, target)),
            [
                LevelFilter::INFO,
                LevelFilter::DEBUG,
                LevelFilter::TRACE,
                LevelFilter::TRACE
            ]
        );
    }
    assert_eq!(
        [0, 1, 2, 9].map(|v| most(v, "tokio")),
        [
            LevelFilter::WARN,
            LevelFilter::WARN,
            LevelFilter::DEBUG,
            LevelFilter::DEBUG
        ]
    );
    for target in [
        "hyper::proto::h1",
        "rustls::client::hs",
        "aws_smithy_runtime::client",
    ] {
        assert_eq!(
            [0, 1, 2, 9].map(|v| most(v, target)),
            [
                LevelFilter::WARN,
                LevelFilter::WARN,
                LevelFilter::INFO,
                LevelFilter::INFO
            ],
            "{target}"
        );
    }
}

#[test]
fn statements_and_wire_contents_are_never_logged() {
    let log = logged(LogFormat::Text, u8::MAX, false, || {
        warn!(target: "sqlx::query", "ALTER ROLE app PASSWORD 'a-verifier'");
        info!(target: "sqlx::postgres::notice", "a-verifier");
        trace!(target: "aws_smithy_runtime::client::orchestrator::http", "a-verifier");
        debug!(target: "aws_smithy_runtime::client::orchestrator", "a-verifier");
        debug!(target: "hyper::proto::h1::conn", "a-verifier");
        debug!(target: "h2::codec::framed_read", "a-verifier");
        debug!(target: "elsewhere", "a plain word");
    });
    assert!(!log.contains("a-verifier"), "{log}");
    assert!(log.contains("a plain word"), "{log}");
}

#[test]
fn a_json_line_is_flat_with_utc_time() {
    let log = logged(LogFormat::Json, 0, true, || {
        info!(target: "twinkey::worker", rotation = "orders", attempt = 2, "run started");
    });
    let line: serde_json::Value = serde_json::from_str(&log).unwrap();
    assert_eq!(line["message"], "run started");
    assert_eq!(line["rotation"], "orders");
    assert_eq!(line["attempt"], 2);
    assert_eq!(line["level"], Level::INFO.as_str());
    let time = line["timestamp"].as_str().unwrap();
    assert!(time.ends_with('Z'), "{time}");
    chrono::DateTime::parse_from_rfc3339(time).unwrap();
}

#[test]
fn text_is_coloured_only_on_request() {
    let say = || info!(target: "twinkey", "hello");
    assert!(logged(LogFormat::Text, 0, true, say).contains('\u{1b}'));
    assert!(!logged(LogFormat::Text, 0, false, say).contains('\u{1b}'));
}

#[test]
fn a_text_cannot_forge_a_line_of_the_text_log() {
    let text = "no\r\n2026-11-29 INFO twinkey: forged\u{1b}[2J\u{202e}";
    for colour in [false, true] {
        let log = logged(LogFormat::Text, 0, colour, || {
            warn!(target: "twinkey", error = text, "run failed: {text}");
        });
        assert_eq!(log.matches('\n').count(), 1, "{log:?}");
        for part in ["\r", "\u{1b}[2J", "\u{202e}"] {
            assert!(!log.contains(part), "{log:?}");
        }
        assert!(log.contains("\\u{a}"), "{log:?}");
    }
    let log = logged(LogFormat::Json, 0, false, || {
        warn!(target: "twinkey", error = text, "run failed");
    });
    let event: serde_json::Value = serde_json::from_str(&log).unwrap();
    assert_eq!(event["error"], text);
}
