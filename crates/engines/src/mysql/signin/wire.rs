//! Packets before the end of a sign-in (MariaDB's manual, "0-packet"; MySQL's, "Packets").

use std::io;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

use super::failure::Failure;
use crate::stream::Stream;

/// The longest packet before the end of a sign-in: a greeting, a request, or an error.
const LONGEST: usize = 64 * 1024;
/// The maximum of packets before the end of a sign-in. A server sends at most seven.
const MOST_PACKETS: usize = 64;

pub(super) const OK: u8 = 0x00;
pub(super) const MORE_DATA: u8 = 0x01;
pub(super) const SWITCH: u8 = 0xFE;
pub(super) const ERROR: u8 = 0xFF;

/// A connection before the end of its sign-in. Reads no byte beyond the requested packet.
pub(super) struct Wire {
    pub stream: Box<dyn Stream>,
    /// The number of the next packet.
    sequence: u8,
    received: usize,
}

impl Wire {
    pub fn new(stream: impl Stream + 'static) -> Self {
        Self {
            stream: Box::new(stream),
            sequence: 0,
            received: 0,
        }
    }

    /// The same connection over TLS.
    pub async fn protect(
        self,
        connector: &TlsConnector,
        name: ServerName<'static>,
    ) -> io::Result<Self> {
        Ok(Self {
            stream: Box::new(connector.connect(name, self.stream).await?),
            ..self
        })
    }

    /// Reads a packet, and nothing of one that is too long. An error packet is a failure.
    pub async fn read(&mut self) -> Result<Vec<u8>, Failure> {
        self.received += 1;
        if self.received > MOST_PACKETS {
            return Err(Failure::Protocol(format!(
                "the server sent {MOST_PACKETS} packets and did not complete the sign-in"
            )));
        }
        let mut header = [0_u8; 4];
        self.stream.read_exact(&mut header).await?;
        let [a, b, c, sequence] = header;
        self.sequence = sequence.wrapping_add(1);
        let length = u32::from_le_bytes([a, b, c, 0]) as usize;
        if length > LONGEST {
            return Err(Failure::Protocol(format!(
                "the server announced a packet of {length} bytes before the end of the sign-in; the limit is {LONGEST}"
            )));
        }
        let mut packet = vec![0; length];
        self.stream.read_exact(&mut packet).await?;
        if packet.first() == Some(&ERROR) {
            return Err(error(&packet)?);
        }
        Ok(packet)
    }

    /// Sends a packet, which is shorter than 16 MiB: a secret has at most 64 KiB.
    pub async fn write(&mut self, payload: &[u8]) -> io::Result<()> {
        let packet = packet(self.sequence, payload);
        self.sequence = self.sequence.wrapping_add(1);
        self.stream.write_all(&packet).await?;
        self.stream.flush().await
    }

    /// Sends a command, whose packets are numbered from zero.
    pub async fn command(&mut self, command: u8) -> io::Result<()> {
        self.sequence = 0;
        self.write(&[command]).await
    }
}

/// A packet with its header.
pub(super) fn packet(sequence: u8, payload: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut packet = Zeroizing::new(Vec::with_capacity(payload.len() + 4));
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let [a, b, c, _] = length.to_le_bytes();
    packet.extend_from_slice(&[a, b, c, sequence]);
    packet.extend_from_slice(payload);
    packet
}

/// The server's error in an error packet.
fn error(packet: &[u8]) -> Result<Failure, Failure> {
    let mut fields = Fields(packet);
    fields.take(1)?;
    let code = fields.u16()?;
    // `#` and five characters of SQLSTATE, which the first packet of a connection lacks.
    let message = match fields.0 {
        [b'#', rest @ ..] => rest.get(5..).unwrap_or_default(),
        message => message,
    };
    Ok(Failure::Server {
        code,
        message: String::from_utf8_lossy(message).into_owned(),
    })
}

/// The unread rest of a packet.
pub(super) struct Fields<'a>(pub &'a [u8]);

impl<'a> Fields<'a> {
    pub fn take(&mut self, len: usize) -> Result<&'a [u8], Failure> {
        let (taken, rest) = self
            .0
            .split_at_checked(len)
            .ok_or_else(|| Failure::Protocol("a packet of the server ends too early".into()))?;
        self.0 = rest;
        Ok(taken)
    }

    pub fn byte(&mut self) -> Result<u8, Failure> {
        Ok(self.take(1)?.first().copied().unwrap_or_default())
    }

    pub fn u16(&mut self) -> Result<u16, Failure> {
        let mut bytes = [0_u8; 2];
        bytes.copy_from_slice(self.take(2)?);
        Ok(u16::from_le_bytes(bytes))
    }

    /// A text up to a NUL, or up to the end: some servers omit the last NUL.
    pub fn text(&mut self) -> &'a [u8] {
        let mut parts = self.0.splitn(2, |byte| *byte == 0);
        let text = parts.next().unwrap_or_default();
        self.0 = parts.next().unwrap_or_default();
        text
    }
}
