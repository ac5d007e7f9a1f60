//! Messages of the MongoDB wire protocol: `OP_MSG`, and `OP_QUERY` with `OP_REPLY` for the first
//! `hello`.
//!
//! A header of four little-endian `i32` (length, id, id of the request, kind) precedes the body.

use std::io;

use mongodb::bson::{Bson, Document};
use tokio::io::{AsyncRead, AsyncReadExt};

const OP_REPLY: i32 = 1;
const OP_QUERY: i32 = 2004;
const OP_MSG: i32 = 2013;
const HEADER: usize = 16;
/// The limit of servers.
const MAX_LENGTH: usize = 48_000_000;

/// One message.
pub struct Message(Vec<u8>);

impl Message {
    /// A message of the kind `OP_MSG`.
    pub fn new(document: &Document, id: i32, response_to: i32) -> Self {
        let mut body = vec![0; 5];
        body.extend(document.to_vec().unwrap());
        Self::framed(OP_MSG, id, response_to, &body)
    }

    fn framed(kind: i32, id: i32, response_to: i32, body: &[u8]) -> Self {
        let length = i32::try_from(HEADER + body.len()).unwrap();
        let header = [length, id, response_to, kind].map(i32::to_le_bytes);
        let mut bytes = header.concat();
        bytes.extend(body);
        Self(bytes)
    }

    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        assert!(bytes.len() >= HEADER);
        Self(bytes)
    }

    /// The next message; `None` at the end of the stream.
    ///
    /// # Errors
    /// The error of the connection.
    pub async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Self>> {
        let mut bytes = vec![0; HEADER];
        match from.read_exact(&mut bytes).await {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            other => other?,
        };
        let length = usize::try_from(number(&bytes, 0)).unwrap_or(0);
        if !(HEADER..=MAX_LENGTH).contains(&length) {
            return Err(io::Error::other("not a MongoDB message"));
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

    /// The id of the request of this response.
    pub fn response_to(&self) -> i32 {
        number(&self.0, 8)
    }

    fn kind(&self) -> i32 {
        number(&self.0, 12)
    }

    /// The document with its document sequences and `$db`; `None` if it cannot be parsed.
    pub fn document(&self) -> Option<Document> {
        let body = self.0.get(HEADER..)?;
        match self.kind() {
            OP_MSG => sections(body.get(4..)?),
            // The body has flags, the collection and two numbers.
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

    /// A response to this message, of the kind that its sender expects.
    pub fn reply(&self, document: &Document) -> Self {
        if self.kind() == OP_MSG {
            return Self::new(document, 0, self.id());
        }
        // The body has flags, cursor, offset, count and documents.
        let mut body = vec![0; 16];
        body.extend(1_i32.to_le_bytes());
        body.extend(document.to_vec().unwrap());
        Self::framed(OP_REPLY, 0, self.id(), &body)
    }
}

fn number(bytes: &[u8], at: usize) -> i32 {
    i32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

/// Parses sections: kind 0 is the command, kind 1 a document sequence with length and name.
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
            // Other kinds are not supported.
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

/// The text up to the zero byte, and the rest.
fn text(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    Some((std::str::from_utf8(&bytes[..end]).ok()?, &bytes[end + 1..]))
}
