//! One connection through the relay, message by message.
//!
//! # Failure modes
//! - A command after which the client is interrupted is not executed yet. The relay waits for the
//!   server's response and withholds it.
//! - A response of the relay is written inside one of the server's. Each is written as a whole.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio::sync::Notify;

use super::documentdb_rules::RuledCommand;
use super::recording_relay::{ClientEnd, State};
use super::wire::Message;
use crate::interruption::Interruption;

/// Relays one connection until either side closes it.
pub(super) async fn relay_connection(
    client: impl AsyncRead + AsyncWrite,
    server: u16,
    state: &State,
) -> io::Result<()> {
    let server = TcpStream::connect(("127.0.0.1", server)).await?;
    let (mut from_client, to_client) = tokio::io::split(client);
    let (from_server, mut to_server) = server.into_split();
    let to_client = tokio::sync::Mutex::new(to_client);
    // The id of the message whose response is withheld, and its signal.
    let withheld: Mutex<Option<(i32, Arc<Notify>)>> = Mutex::default();
    let commands = async {
        while let Some(message) = Message::read(&mut from_client).await? {
            let Some(command) = state.record(&message) else {
                return Ok(());
            };
            if let Some(response) = state.fixed_response(&command) {
                let response = message.reply(&response);
                to_client.lock().await.write_all(response.bytes()).await?;
                continue;
            }
            let message = match state.ruled(&message) {
                RuledCommand::Unchanged => message,
                RuledCommand::Changed(command) => Message::new(&command, message.id(), 0),
                RuledCommand::Answered(response) => {
                    let response = message.reply(&response);
                    to_client.lock().await.write_all(response.bytes()).await?;
                    continue;
                }
            };
            let Some(interrupt) = state.interrupt_at(&command) else {
                to_server.write_all(message.bytes()).await?;
                continue;
            };
            if interrupt.interruption == Interruption::AfterExecution {
                let answered = Arc::new(Notify::new());
                *withheld.lock() = Some((message.id(), answered.clone()));
                to_server.write_all(message.bytes()).await?;
                answered.notified().await;
            }
            interrupt.reached.notify_one();
            if interrupt.client_end == ClientEnd::Waits {
                // Waits until the client closes the connection.
                let _ = from_client.read_u8().await;
            }
            return Ok(());
        }
        Ok(())
    };
    tokio::select! {
        done = commands => done,
        done = responses(from_server, &to_client, &withheld, state) => done,
    }
}

/// Relays the server's responses except the withheld one.
async fn responses(
    mut from: OwnedReadHalf,
    to: &tokio::sync::Mutex<impl AsyncWrite + Unpin>,
    withheld: &Mutex<Option<(i32, Arc<Notify>)>>,
    state: &State,
) -> io::Result<()> {
    while let Some(message) = Message::read(&mut from).await? {
        let current = withheld.lock().clone();
        match current {
            Some((id, answered)) if id == message.response_to() => answered.notify_one(),
            _ => {
                let message = state.ruled_response(message);
                to.lock().await.write_all(message.bytes()).await?;
            }
        }
    }
    Ok(())
}
