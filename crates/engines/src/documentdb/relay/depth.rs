//! Depth and structure of BSON documents (bsonspec.org), without recursion.
//!
//! The driver parses documents recursively, so that a deep one would exhaust the stack.

/// The maximum of nested documents and arrays. MongoDB stores at most 100.
pub(super) const DEEPEST: usize = 200;

/// Checks that the bytes are one document of at most [`DEEPEST`] levels.
///
/// # Errors
/// The reason.
pub(super) fn check(bytes: &[u8]) -> Result<(), String> {
    let mut scan = Scan { bytes, at: 0 };
    match scan.document(bytes.len()) {
        Some(true) => Ok(()),
        Some(false) => Err(format!(
            "the server sent a document of more than {DEEPEST} levels"
        )),
        None => Err("the server sent a malformed document".into()),
    }
}

struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Scan<'_> {
    /// Whether the document is shallow enough. `None`: it is malformed.
    fn document(&mut self, length: usize) -> Option<bool> {
        let end = self.begin()?;
        if end != length {
            return None;
        }
        let mut ends = vec![end];
        while let Some(&end) = ends.last() {
            let kind = self.byte()?;
            if kind == 0 {
                if self.at != end {
                    return None;
                }
                ends.pop();
                continue;
            }
            self.text()?;
            match kind {
                // Double, date, timestamp, 64-bit integer.
                0x01 | 0x09 | 0x11 | 0x12 => self.skip(8)?,
                // String, code, symbol.
                0x02 | 0x0d | 0x0e => self.string()?,
                // Document, array.
                0x03 | 0x04 => ends.push(self.begin()?),
                0x05 => {
                    let length = self.number()?;
                    self.skip(length.checked_add(1)?)?;
                }
                // Undefined, null, the least and the greatest key.
                0x06 | 0x0a | 0x7f | 0xff => {}
                // Object id.
                0x07 => self.skip(12)?,
                0x08 => self.skip(1)?,
                // Regular expression.
                0x0b => {
                    self.text()?;
                    self.text()?;
                }
                // Pointer.
                0x0c => {
                    self.string()?;
                    self.skip(12)?;
                }
                // Code with a document.
                0x0f => {
                    self.skip(4)?;
                    self.string()?;
                    ends.push(self.begin()?);
                }
                0x10 => self.skip(4)?,
                // Decimal number.
                0x13 => self.skip(16)?,
                _ => return None,
            }
            if ends.len() > DEEPEST {
                return Some(false);
            }
        }
        Some(true)
    }

    /// The end of the document that begins here.
    fn begin(&mut self) -> Option<usize> {
        let start = self.at;
        let length = self.number()?;
        start
            .checked_add(length)
            .filter(|end| *end <= self.bytes.len())
    }

    fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn number(&mut self) -> Option<usize> {
        let bytes = self.bytes.get(self.at..self.at.checked_add(4)?)?;
        self.at += 4;
        usize::try_from(i32::from_le_bytes(bytes.try_into().ok()?)).ok()
    }

    fn skip(&mut self, length: usize) -> Option<()> {
        self.at = self.at.checked_add(length)?;
        (self.at <= self.bytes.len()).then_some(())
    }

    fn string(&mut self) -> Option<()> {
        let length = self.number()?;
        self.skip(length)
    }

    /// The bytes up to the next zero byte.
    fn text(&mut self) -> Option<()> {
        let rest = self.bytes.get(self.at..)?;
        let length = rest.iter().position(|byte| *byte == 0)?;
        self.skip(length + 1)
    }
}
