//! Messages of MongoDB's wire protocol, as far as commands and their answers need them: `OP_MSG`, and
//! `OP_QUERY` with `OP_REPLY`, in which a driver asks its first `hello`.
//!
//! A header of four little-endian `i32` (length, id, id of what is answered, kind), then the body.

use std::io;

use mongodb::bson::{Bson, Document};
use tokio::io::{AsyncRead, AsyncReadExt};

const OP_REPLY: i32 = 1;
const OP_QUERY: i32 = 2004;
const OP_MSG: i32 = 2013;
const HEADER: usize = 16;
/// As servers allow.
const LONGEST: usize = 48_000_000;
/// Of `OP_MSG`: the sender goes on without waiting for an answer.
const MORE_TO_COME: u32 = 1 << 1;

/// One message, whole.
pub struct Message(Vec<u8>);

impl Message {
    /// As `OP_MSG`.
    pub fn of(document: &Document, id: i32, answers: i32) -> Self {
        let mut body = vec![0; 5];
        body.extend(document.to_vec().unwrap());
        Self::framed(OP_MSG, id, answers, &body)
    }

    fn framed(kind: i32, id: i32, answers: i32, body: &[u8]) -> Self {
        let length = i32::try_from(HEADER + body.len()).unwrap();
        let header = [length, id, answers, kind].map(i32::to_le_bytes);
        let mut bytes = header.concat();
        bytes.extend(body);
        Self(bytes)
    }

    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        assert!(bytes.len() >= HEADER);
        Self(bytes)
    }

    /// The next one; `None` at the end of the stream.
    pub async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Self>> {
        let mut bytes = vec![0; HEADER];
        match from.read_exact(&mut bytes).await {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            other => other?,
        };
        let length = usize::try_from(number(&bytes, 0)).unwrap_or(0);
        if !(HEADER..=LONGEST).contains(&length) {
            return Err(io::Error::other("no message of MongoDB's"));
        }
        bytes.resize(length, 0);
        from.read_exact(&mut bytes[HEADER..]).await?;
        Ok(Some(Self(bytes)))
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub fn id(&self) -> i32 {
        number(&self.0, 4)
    }

    /// The id of the message that this one answers.
    pub fn answers(&self) -> i32 {
        number(&self.0, 8)
    }

    fn kind(&self) -> i32 {
        number(&self.0, 12)
    }

    /// Whether the sender waits for no answer.
    pub fn wants_no_answer(&self) -> bool {
        self.kind() == OP_MSG && number(&self.0, HEADER).cast_unsigned() & MORE_TO_COME != 0
    }

    /// What it says, the parts that were sent beside it put back where they belong, and `$db` in it.
    /// `None` if it cannot be read.
    pub fn document(&self) -> Option<Document> {
        let body = self.0.get(HEADER..)?;
        match self.kind() {
            OP_MSG => sections(body.get(4..)?),
            // Flags; the collection; two numbers.
            OP_QUERY => {
                let (collection, rest) = text(body.get(4..)?)?;
                let (mut document, _) = first_document(rest.get(8..)?)?;
                let database = collection.strip_suffix(".$cmd")?;
                document.insert("$db", database);
                Some(document)
            }
            _ => None,
        }
    }

    /// An answer to this one, of the kind that its sender expects.
    pub fn answered_with(&self, document: &Document) -> Self {
        if self.kind() == OP_MSG {
            return Self::of(document, 0, self.id());
        }
        // Flags, cursor, offset, one document.
        let mut body = vec![0; 16];
        body.extend(1_i32.to_le_bytes());
        body.extend(document.to_vec().unwrap());
        Self::framed(OP_REPLY, 0, self.id(), &body)
    }
}

fn number(bytes: &[u8], at: usize) -> i32 {
    i32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

/// Kind 0: the command. Kind 1: length, name and documents of one of its lists.
fn sections(mut rest: &[u8]) -> Option<Document> {
    let mut command = None;
    let mut lists = Vec::new();
    while let Some((kind, after)) = rest.split_first() {
        match kind {
            0 => {
                let (document, after) = first_document(after)?;
                command = Some(document);
                rest = after;
            }
            1 => {
                let length = usize::try_from(number(after.get(..4)?, 0)).ok()?;
                let (name, mut documents) = text(after.get(4..length)?)?;
                let mut list = Vec::new();
                while !documents.is_empty() {
                    let (document, more) = first_document(documents)?;
                    list.push(Bson::from(document));
                    documents = more;
                }
                lists.push((name.to_owned(), list));
                rest = after.get(length..)?;
            }
            // Among them a checksum, which no driver here sends.
            _ => return None,
        }
    }
    let mut command = command?;
    command.extend(lists.into_iter().map(|(name, list)| (name, list.into())));
    Some(command)
}

fn first_document(bytes: &[u8]) -> Option<(Document, &[u8])> {
    let length = usize::try_from(number(bytes.get(..4)?, 0)).ok()?;
    let document = Document::from_reader(bytes.get(..length)?).ok()?;
    Some((document, &bytes[length..]))
}

/// Up to the zero byte, and what follows it.
fn text(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    Some((std::str::from_utf8(&bytes[..end]).ok()?, &bytes[end + 1..]))
}
