//! Relay of a session, with limits for what the server sends.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, BufWriter};
use tokio::net::UnixStream;

use super::wire::{ERROR, NOTICE};
use crate::stream::{Stream, copy_exact};

/// The longest row. The driver allocates what a message announces.
const LONGEST: u32 = 16 * 1024 * 1024;
/// The longest error or notice, which may be logged.
const LONGEST_TEXT: u32 = 1024 * 1024;
/// All messages until the server is ready for the next statement. The driver collects them.
const LONGEST_ANSWER: u64 = 128 * 1024 * 1024;
const HEADER: usize = 5;
const PROCESS_ID: usize = 4;
const READY: u8 = b'Z';
/// `BackendKeyData`, once before the first answer is complete.
const KEY: u8 = b'K';
/// SQLSTATE of an error of this relay. No server has this class.
pub(in crate::postgres) const LIMIT_EXCEEDED: &str = "TWK01";

/// Relays until either side closes its connection. `announced` receives the session's process id.
pub(super) async fn relay(client: UnixStream, server: Box<dyn Stream>, announced: impl FnMut(i32)) {
    let (mut from_client, to_client) = client.into_split();
    let (from_server, mut to_server) = tokio::io::split(server);
    let up = async {
        tokio::io::copy(&mut from_client, &mut to_server).await?;
        to_server.shutdown().await
    };
    // An error ends both connections, which is all that the two sides need.
    tokio::select! {
        _ = up => {}
        _ = forward(from_server, to_client, announced) => {}
    }
}

/// Forwards the server's messages. One that is too long becomes an error for the driver.
pub(super) async fn forward(
    server: impl AsyncRead + Unpin,
    client: impl AsyncWrite + Unpin,
    mut announced: impl FnMut(i32),
) -> io::Result<()> {
    let mut server = BufReader::new(server);
    let mut client = BufWriter::new(client);
    let mut answer = 0;
    loop {
        let mut header = [0; HEADER];
        server.read_exact(&mut header).await?;
        let [kind, length @ ..] = header;
        let length = u32::from_be_bytes(length);
        answer += u64::from(length);
        if let Some(reason) = excess(kind, length, answer) {
            client.write_all(&error(&reason)).await?;
            return client.flush().await;
        }
        client.write_all(&header).await?;
        let mut rest = length as usize - 4;
        if kind == KEY && rest >= PROCESS_ID {
            let mut process = [0; PROCESS_ID];
            server.read_exact(&mut process).await?;
            announced(i32::from_be_bytes(process));
            client.write_all(&process).await?;
            rest -= PROCESS_ID;
        }
        copy_exact(&mut server, &mut client, rest).await?;
        if kind == READY {
            answer = 0;
        }
        if server.buffer().len() < HEADER {
            client.flush().await?;
        }
    }
}

/// The reason why a message is not forwarded.
fn excess(kind: u8, length: u32, answer: u64) -> Option<String> {
    let limit = match kind {
        ERROR | NOTICE => LONGEST_TEXT,
        _ => LONGEST,
    };
    if length < 4 || length > limit {
        return Some(format!(
            "the server announced a message of {length} bytes; the limit is {limit}"
        ));
    }
    (answer > LONGEST_ANSWER).then(|| {
        format!("the server sent more than {LONGEST_ANSWER} bytes in answer to one statement")
    })
}

/// An error message for the driver, which ends the session.
fn error(reason: &str) -> Vec<u8> {
    let fields = format!("SFATAL\0VFATAL\0C{LIMIT_EXCEEDED}\0M{reason}\0\0");
    // The reason is a short text of this module.
    let length = u32::try_from(fields.len() + 4).unwrap_or(u32::MAX);
    [&[ERROR], &length.to_be_bytes()[..], fields.as_bytes()].concat()
}
