//! Messages of the protocol before the end of a sign-in ("Message Formats" in PostgreSQL's manual).

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::Login;
use crate::EngineError;

/// The longest message before the end of a sign-in: requests, notices and one error.
const LONGEST: u32 = 64 * 1024;
pub(super) const AUTHENTICATION: u8 = b'R';
pub(super) const ERROR: u8 = b'E';
pub(super) const NOTICE: u8 = b'N';
pub(super) const NEGOTIATE_VERSION: u8 = b'v';
pub(super) const AUTHENTICATION_OK: [u8; 9] = [AUTHENTICATION, 0, 0, 0, 8, 0, 0, 0, 0];

/// A message of the server.
pub(super) struct Message {
    pub kind: u8,
    pub body: Vec<u8>,
}

/// The reason why a sign-in ended without an answer of the server to the credentials.
pub(super) enum Failure {
    Io(io::Error),
    /// The server requests something that is not given, with the remedy.
    Requested {
        what: String,
        hint: String,
    },
    /// The server does not follow the protocol.
    Protocol(String),
    /// The server's signature is not one of this password.
    WrongSignature,
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Failure {
    pub(super) fn explain(self, login: &Login) -> EngineError {
        let refused = |reason: String, hint: String| EngineError::Refused {
            what: format!("the sign-in of {:?}", login.user),
            reason,
            hint,
        };
        match self {
            Self::Io(error) => EngineError::Unreachable {
                host: login.host.clone(),
                port: login.port,
                reason: format!("{error}, before the sign-in was complete"),
            },
            Self::Requested { what, hint } => refused(what, hint),
            Self::Protocol(reason) => refused(
                reason,
                format!(
                    "check which server listens at {}:{}: PostgreSQL gives no such answer",
                    login.host, login.port
                ),
            ),
            Self::WrongSignature => refused(
                "the server accepted the password but could not prove that it stores it".into(),
                format!(
                    "check which server listens at {}:{}: its answer is not that of the user's own server",
                    login.host, login.port
                ),
            ),
        }
    }
}

/// The driver's first message, with its length.
pub(super) async fn read_startup(client: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let length = client.read_u32().await?;
    let Some(rest) = length.checked_sub(4).filter(|_| length <= LONGEST) else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    let mut message = vec![0; rest as usize];
    client.read_exact(&mut message).await?;
    Ok([&length.to_be_bytes(), message.as_slice()].concat())
}

pub(super) async fn send(server: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    server.write_all(bytes).await?;
    server.flush().await
}

/// The password message, which carries every answer of a sign-in.
pub(super) fn answer(body: &[u8]) -> zeroize::Zeroizing<Vec<u8>> {
    let mut message = zeroize::Zeroizing::new(Vec::with_capacity(body.len() + 5));
    message.push(b'p');
    // A longer body than 4 GiB is impossible: secrets have at most 64 KiB.
    let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX);
    message.extend_from_slice(&length.to_be_bytes());
    message.extend_from_slice(body);
    message
}

/// Reads a message, and nothing of one that is too long.
pub(super) async fn read(server: &mut (impl AsyncRead + Unpin)) -> Result<Message, Failure> {
    let kind = server.read_u8().await?;
    let length = server.read_u32().await?;
    let Some(rest) = length.checked_sub(4).filter(|_| length <= LONGEST) else {
        return Err(Failure::Protocol(format!(
            "the server announced a message of {length} bytes before the sign-in; the limit is {LONGEST}"
        )));
    };
    let mut body = vec![0; rest as usize];
    server.read_exact(&mut body).await?;
    Ok(Message { kind, body })
}

impl Message {
    /// The message as it was received.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        let length = u32::try_from(self.body.len() + 4).unwrap_or(u32::MAX);
        [&[self.kind], &length.to_be_bytes()[..], &self.body].concat()
    }

    /// The number of an authentication request, and its data.
    pub(super) fn request(&self) -> Result<(u32, &[u8]), Failure> {
        let short = || Failure::Protocol("an authentication request is too short".into());
        let (number, data) = self.body.split_first_chunk().ok_or_else(short)?;
        Ok((u32::from_be_bytes(*number), data))
    }
}
