//! Packets and text queries (MariaDB's manual, "Client/Server Protocol").

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::failure::Failure;

/// Maximum payload of one packet; the next packet continues one of this length.
const LONGEST: usize = 0xFF_FFFF;
/// Bytes of a packet that are kept; handshakes, names and errors are far shorter.
const KEPT_BYTES: usize = 0xFFFF;

const OK: u8 = 0x00;
const ERROR: u8 = 0xFF;
const END: u8 = 0xFE;
const LOCAL_FILE: u8 = 0xFB;
const NULL: u8 = 0xFB;
const MORE_RESULTS: u16 = 0x0008;

/// Transport of packets.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A connection. Reads no byte beyond the requested packet.
pub(super) struct Wire<S = Box<dyn Stream>> {
    pub stream: S,
    /// The number of the next packet.
    pub sequence: u8,
}

/// The beginning of a packet's payload.
pub(super) struct Packet {
    kept: Vec<u8>,
    len: usize,
}

impl<S: Stream> Wire<S> {
    pub async fn read(&mut self) -> Result<Packet, Failure> {
        let mut packet = Packet {
            kept: Vec::new(),
            len: 0,
        };
        loop {
            let mut header = [0_u8; 4];
            self.stream.read_exact(&mut header).await?;
            let [a, b, c, sequence] = header;
            self.sequence = sequence.wrapping_add(1);
            let len = u32::from_le_bytes([a, b, c, 0]) as usize;
            packet.len += len;
            self.keep(&mut packet.kept, len).await?;
            if len < LONGEST {
                return packet.not_an_error();
            }
        }
    }

    async fn keep(&mut self, kept: &mut Vec<u8>, len: usize) -> io::Result<()> {
        let room = KEPT_BYTES - kept.len();
        let start = kept.len();
        kept.resize(start + len.min(room), 0);
        self.stream.read_exact(&mut kept[start..]).await?;
        let rest = len.saturating_sub(room) as u64;
        let mut skipped = (&mut self.stream).take(rest);
        if tokio::io::copy(&mut skipped, &mut tokio::io::sink()).await? < rest {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    pub async fn write(&mut self, payload: &[u8]) -> io::Result<()> {
        let mut rest = payload;
        loop {
            let (now, later) = rest.split_at(rest.len().min(LONGEST));
            let [a, b, c, _] = (now.len() as u32).to_le_bytes();
            self.stream.write_all(&[a, b, c, self.sequence]).await?;
            self.stream.write_all(now).await?;
            self.sequence = self.sequence.wrapping_add(1);
            if now.len() < LONGEST {
                return self.stream.flush().await;
            }
            rest = later;
        }
    }
}

impl Wire {
    /// Executes `text`, reads all results, and returns the first row.
    pub async fn query(&mut self, text: &str) -> Result<Option<Packet>, Failure> {
        const COM_QUERY: u8 = 3;
        self.sequence = 0;
        self.write(&[&[COM_QUERY], text.as_bytes()].concat())
            .await?;
        let mut first = None;
        loop {
            let packet = self.read().await?;
            let status = match packet.tag() {
                OK => packet.ok_status()?,
                LOCAL_FILE => return Err(Failure::Protocol("no request for a local file")),
                // The number of columns; then the columns, and the rows.
                _ => {
                    self.until_end(|_| ()).await?;
                    self.until_end(|row| {
                        first.get_or_insert(row);
                    })
                    .await?
                }
            };
            if status & MORE_RESULTS == 0 {
                return Ok(first);
            }
        }
    }

    /// Reads to the end of a list, and returns the server's status.
    async fn until_end(&mut self, mut handle: impl FnMut(Packet)) -> Result<u16, Failure> {
        loop {
            let packet = self.read().await?;
            if packet.is_end() {
                // The number of warnings, and the status.
                let mut fields = packet.fields();
                fields.take(3)?;
                return fields.u16();
            }
            handle(packet);
        }
    }

    pub async fn quit(&mut self) -> io::Result<()> {
        const COM_QUIT: u8 = 1;
        self.sequence = 0;
        self.write(&[COM_QUIT]).await?;
        self.stream.shutdown().await
    }
}

impl Packet {
    fn not_an_error(self) -> Result<Self, Failure> {
        if self.tag() != ERROR {
            return Ok(self);
        }
        let mut fields = self.fields();
        fields.take(1)?;
        let code = fields.u16()?;
        // `#` and five characters of SQLSTATE, which the first packet of a connection lacks.
        let message = match fields.0 {
            [b'#', rest @ ..] => rest.get(5..).unwrap_or_default(),
            message => message,
        };
        Err(Failure::Server {
            code,
            message: String::from_utf8_lossy(message).into_owned(),
        })
    }

    /// The first byte, which is the packet's type; an empty packet counts as [`NULL`].
    fn tag(&self) -> u8 {
        self.kept.first().copied().unwrap_or(NULL)
    }

    pub fn is_ok(&self) -> bool {
        self.tag() == OK
    }

    /// Whether it requests another sign-in method, if it arrives during a sign-in.
    pub fn is_switch(&self) -> bool {
        self.tag() == END
    }

    fn is_end(&self) -> bool {
        self.tag() == END && self.len < 9
    }

    fn ok_status(&self) -> Result<u16, Failure> {
        let mut fields = self.fields();
        fields.take(1)?;
        // Affected rows, and the last id.
        fields.number()?;
        fields.number()?;
        fields.u16()
    }

    /// The values of a row, as texts.
    pub fn texts(&self) -> Result<Vec<Option<String>>, Failure> {
        let mut fields = self.fields();
        let mut texts = Vec::new();
        while let Some(&tag) = fields.0.first() {
            if tag == NULL {
                fields.take(1)?;
                texts.push(None);
            } else {
                let len = fields.number()?;
                let text = String::from_utf8_lossy(fields.take(len)?).into_owned();
                texts.push(Some(text));
            }
        }
        Ok(texts)
    }

    pub fn fields(&self) -> Fields<'_> {
        Fields(&self.kept)
    }
}

/// The unread rest of a packet.
pub(super) struct Fields<'a>(pub &'a [u8]);

impl<'a> Fields<'a> {
    pub fn take(&mut self, len: usize) -> Result<&'a [u8], Failure> {
        let (taken, rest) = self
            .0
            .split_at_checked(len)
            .ok_or(Failure::Protocol("a packet ends too early"))?;
        self.0 = rest;
        Ok(taken)
    }

    pub fn u16(&mut self) -> Result<u16, Failure> {
        let mut bytes = [0_u8; 2];
        bytes.copy_from_slice(self.take(2)?);
        Ok(u16::from_le_bytes(bytes))
    }

    /// A text that ends with a NUL.
    pub fn text(&mut self) -> Result<&'a [u8], Failure> {
        let len = self.0.iter().take_while(|byte| **byte != 0).count();
        let text = self.take(len)?;
        self.take(1)?;
        Ok(text)
    }

    /// A number of one, two, three or eight bytes; the first byte gives the length.
    fn number(&mut self) -> Result<usize, Failure> {
        let width = match self.take(1)? {
            [0xFC] => 2,
            [0xFD] => 3,
            [0xFE] => 8,
            [small] => return Ok(usize::from(*small)),
            _ => 0,
        };
        let mut bytes = [0_u8; 8];
        let (low, _) = bytes.split_at_mut(width);
        low.copy_from_slice(self.take(width)?);
        usize::try_from(u64::from_le_bytes(bytes))
            .map_err(|_| Failure::Protocol("a number is too large"))
    }
}
