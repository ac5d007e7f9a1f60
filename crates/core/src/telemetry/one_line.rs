//! Writer of text logs: each event is one line.
//!
//! # Failure modes
//! - A library logs a text of a server with line breaks or control characters. They are escaped here
//!   too, because texts of this program are already safe ([`crate::printable`]).

use std::io::{self, Write};

use tracing_subscriber::fmt::MakeWriter;

use crate::printable::escaped;

const ESCAPE: char = '\u{1b}';

/// Makes [`LineWriter`]s.
pub(super) struct OneLine<M> {
    pub inner: M,
    /// Keeps the escape sequences of colours. The formatter escapes those of a text itself.
    pub colour: bool,
}

/// Writes one event, which the formatter passes in one call.
pub(super) struct LineWriter<W> {
    inner: W,
    colour: bool,
}

impl<'a, M: MakeWriter<'a>> MakeWriter<'a> for OneLine<M> {
    type Writer = LineWriter<M::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        LineWriter {
            inner: self.inner.make_writer(),
            colour: self.colour,
        }
    }
}

impl<W: Write> Write for LineWriter<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let line = text.strip_suffix('\n').unwrap_or(&text);
        let mut safe = if self.colour {
            let parts: Vec<_> = line.split(ESCAPE).map(escaped).collect();
            parts.join(&ESCAPE.to_string())
        } else {
            escaped(line).into_owned()
        };
        safe.push('\n');
        self.inner.write_all(safe.as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
