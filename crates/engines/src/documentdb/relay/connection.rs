//! One connection: each request of the driver, and its response.

use mongodb::bson::Document;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::depth;
use super::sign_in::{self, Request};
use super::wire::{Header, LONGEST, LONGEST_SIGN_IN, Message, RelayError};

/// The request that has no response yet.
type Pending = Mutex<Option<(i32, Request)>>;

/// Relays until either side closes its connection.
pub(super) async fn relay(
    client: impl AsyncRead + AsyncWrite,
    server: impl AsyncRead + AsyncWrite,
) -> Result<(), RelayError> {
    let (from_client, to_client) = tokio::io::split(client);
    let (from_server, to_server) = tokio::io::split(server);
    let pending = Pending::default();
    tokio::select! {
        // A refused message is reported, also if the driver closes the connection then.
        biased;
        ended = responses(from_server, to_client, &pending) => ended,
        ended = requests(from_client, to_server, &pending) => ended,
    }
}

async fn requests(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    pending: &Pending,
) -> Result<(), RelayError> {
    let mut has_proof = false;
    while let Some(header) = Header::read(&mut from).await? {
        let message = header.body(&mut from, LONGEST).await?;
        let request = Request::parse(message.document())?;
        match request {
            // The driver does not sign in to a server that calls itself an arbiter.
            Request::Command if !has_proof => {
                return Err(RelayError::unexpected(
                    "the server permits commands without a sign-in",
                ));
            }
            Request::Proof => has_proof = true,
            _ => {}
        }
        *pending.lock() = Some((message.id(), request));
        to.write_all(message.bytes()).await?;
        to.flush().await?;
    }
    Ok(())
}

async fn responses(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    pending: &Pending,
) -> Result<(), RelayError> {
    while let Some(header) = Header::read(&mut from).await? {
        let request = match pending.lock().take() {
            Some((id, request)) if id == header.response_to() => request,
            _ => {
                return Err(RelayError::unexpected(
                    "the server sent a message that is no response to a request",
                ));
            }
        };
        let limit = match request {
            Request::Command => LONGEST,
            _ => LONGEST_SIGN_IN,
        };
        let message = header.body(&mut from, limit).await?;
        depth::check(message.document()).map_err(RelayError::unexpected)?;
        let message = match request {
            Request::Command => message,
            _ => checked_sign_in(&request, &message)?,
        };
        to.write_all(message.bytes()).await?;
        to.flush().await?;
    }
    Ok(())
}

/// The response in the form in which it was checked, so that the driver reads nothing else.
fn checked_sign_in(request: &Request, message: &Message) -> Result<Message, RelayError> {
    let malformed = || RelayError::unexpected("the server sent a malformed document");
    let response = Document::from_reader(message.document()).map_err(|_| malformed())?;
    sign_in::check(request, &response)?;
    let document = response.to_vec().map_err(|_| malformed())?;
    Ok(message.with_document(&document))
}
