//! Messages of the MongoDB wire protocol: `OP_MSG` with one document.
//!
//! A header of four little-endian `i32` (length, id, id of the request, kind) precedes the body: the
//! flags, the kind of the section, and the document. The driver uses no other kind of message.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};
use zeroize::Zeroizing;

use super::{Remedy, Violation};

/// The longest response of the sign-in: `hello` with the members of a replica set, and SCRAM.
pub(super) const LONGEST_SIGN_IN: usize = 64 * 1024;
/// The longest message of the protocol (`maxMessageSizeBytes`).
pub(super) const LONGEST: usize = 48_000_000;

const OP_MSG: i32 = 2013;
const HEADER: usize = 16;
/// Header, flags and kind of the section.
const BEFORE_DOCUMENT: usize = HEADER + 5;
const EMPTY_DOCUMENT: usize = 5;
/// The free space that `read_to_end` keeps.
const SPARE: usize = 64;

/// The reason why a connection ended.
#[derive(Debug)]
pub(super) enum RelayError {
    Io,
    Violation(Violation),
}

impl From<io::Error> for RelayError {
    fn from(_: io::Error) -> Self {
        Self::Io
    }
}

impl RelayError {
    /// A message that no server of this protocol sends.
    pub(super) fn unexpected(reason: impl Into<String>) -> Self {
        Self::Violation(Violation {
            reason: reason.into(),
            remedy: Remedy::OtherServer,
        })
    }
}

/// The header of a message.
pub(super) struct Header {
    bytes: [u8; HEADER],
    length: usize,
}

/// A message with one document.
pub(super) struct Message(Zeroizing<Vec<u8>>);

impl Header {
    /// The next header. `None`: the connection was closed.
    pub(super) async fn read(
        from: &mut (impl AsyncRead + Unpin),
    ) -> Result<Option<Self>, RelayError> {
        let mut bytes = [0; HEADER];
        match from.read_exact(&mut bytes).await {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            read => read?,
        };
        let kind = number(&bytes, 12);
        if kind != OP_MSG {
            return Err(RelayError::unexpected(format!(
                "the server sent a message of the kind {kind}, not {OP_MSG} (OP_MSG)"
            )));
        }
        let announced = number(&bytes, 0);
        match usize::try_from(announced) {
            Ok(length) if length >= BEFORE_DOCUMENT + EMPTY_DOCUMENT => {
                Ok(Some(Self { bytes, length }))
            }
            _ => Err(too_long_or_short(announced, LONGEST)),
        }
    }

    /// The id of the request of this response.
    pub(super) fn response_to(&self) -> i32 {
        number(&self.bytes, 8)
    }

    /// The message of this header, and nothing of one that is longer than the limit.
    ///
    /// The memory grows with the bytes that arrive, not with the announced length.
    pub(super) async fn body(
        self,
        from: &mut (impl AsyncRead + Unpin),
        limit: usize,
    ) -> Result<Message, RelayError> {
        if self.length > limit {
            return Err(too_long_or_short(number(&self.bytes, 0), limit));
        }
        // A command with a password is not copied to a longer buffer, which would leave it in memory.
        let capacity = self.length.min(LONGEST_SIGN_IN) + SPARE;
        let mut bytes = Zeroizing::new(Vec::with_capacity(capacity));
        bytes.extend_from_slice(&self.bytes);
        let rest = (self.length - HEADER) as u64;
        from.take(rest).read_to_end(&mut bytes).await?;
        if bytes.len() < self.length {
            return Err(RelayError::Io);
        }
        let message = Message(bytes);
        // MORE_TO_COME and CHECKSUM_PRESENT are never requested.
        if number(&message.0, HEADER) & 0xffff != 0 || message.0[BEFORE_DOCUMENT - 1] != 0 {
            return Err(RelayError::unexpected(
                "the server sent a message with flags or sections that were not requested",
            ));
        }
        Ok(message)
    }
}

impl Message {
    pub(super) fn id(&self) -> i32 {
        number(&self.0, 4)
    }

    pub(super) fn document(&self) -> &[u8] {
        &self.0[BEFORE_DOCUMENT..]
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The same message with another document.
    pub(super) fn with_document(&self, document: &[u8]) -> Self {
        let mut bytes = Zeroizing::new(self.0[..BEFORE_DOCUMENT].to_vec());
        bytes.extend_from_slice(document);
        // A document of the sign-in is shorter than its limit.
        let length = i32::try_from(bytes.len()).unwrap_or(i32::MAX);
        bytes[..4].copy_from_slice(&length.to_le_bytes());
        Self(bytes)
    }
}

fn too_long_or_short(announced: i32, limit: usize) -> RelayError {
    RelayError::unexpected(format!(
        "the server announced a message of {announced} bytes; the limit is {limit}"
    ))
}

fn number(bytes: &[u8], at: usize) -> i32 {
    let mut number = [0; 4];
    number.copy_from_slice(&bytes[at..at + 4]);
    i32::from_le_bytes(number)
}
