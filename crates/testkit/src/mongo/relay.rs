//! One connection through the witness, message by message.
//!
//! What can go wrong, and what prevents it:
//! - "cut off after a command" is before it: the server's answer is awaited, and then kept back;
//! - an answer of our own gets into the middle of one of the server's: both are written whole, one
//!   after the other.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio::sync::Notify;

use super::wire::Message;
use super::witness::{Client, Fate, State};

/// Passes on one connection, until either side is gone.
pub(super) async fn relay(
    client: impl AsyncRead + AsyncWrite,
    server: u16,
    state: &State,
) -> io::Result<()> {
    let server = TcpStream::connect(("127.0.0.1", server)).await?;
    let (mut from_client, to_client) = tokio::io::split(client);
    let (from_server, mut to_server) = server.into_split();
    let to_client = tokio::sync::Mutex::new(to_client);
    // The answer to this message is kept back, and told of.
    let kept_back: Mutex<Option<(i32, Arc<Notify>)>> = Mutex::default();
    let commands = async {
        while let Some(message) = Message::read(&mut from_client).await? {
            let Some(command) = state.note(&message) else {
                return Ok(());
            };
            if let Some(answer) = state.played(&command) {
                let answer = message.answered_with(&answer);
                to_client.lock().await.write_all(answer.bytes()).await?;
                continue;
            }
            let Some(cut) = state.cut_at(&command) else {
                to_server.write_all(message.bytes()).await?;
                continue;
            };
            if cut.fate == Fate::CarriedOut {
                let answered = Arc::new(Notify::new());
                *kept_back.lock() = Some((message.id(), answered.clone()));
                to_server.write_all(message.bytes()).await?;
                answered.notified().await;
            }
            cut.reached.notify_one();
            if cut.client == Client::Held {
                // Until the client is gone.
                let _ = from_client.read_u8().await;
            }
            return Ok(());
        }
        Ok(())
    };
    tokio::select! {
        done = commands => done,
        done = answers(from_server, &to_client, &kept_back) => done,
    }
}

/// Passes on what the server answers, but for one message that is kept back.
async fn answers(
    mut from: OwnedReadHalf,
    to: &tokio::sync::Mutex<impl AsyncWrite + Unpin>,
    kept_back: &Mutex<Option<(i32, Arc<Notify>)>>,
) -> io::Result<()> {
    while let Some(message) = Message::read(&mut from).await? {
        let kept = kept_back.lock().clone();
        match kept {
            Some((id, answered)) if id == message.answers() => answered.notify_one(),
            _ => to.lock().await.write_all(message.bytes()).await?,
        }
    }
    Ok(())
}
