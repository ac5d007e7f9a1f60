//! The hostile server in the protocol of PostgreSQL ("Message Formats" in its manual).

use std::io;

use super::{Client, text};

pub(super) const SSL_REQUEST: u32 = 80_877_103;
const TEXT: u32 = 25;
const BOOL: u32 = 16;

pub(super) async fn serve(mut client: Client, identity: String) -> io::Result<()> {
    let user = loop {
        let length = number(&client.read(4).await?);
        let startup = client.read(length.saturating_sub(4)).await?;
        if number(&startup) == SSL_REQUEST as usize {
            client.write(b"N").await?;
            continue;
        }
        let parameters: Vec<&[u8]> = startup[4..].split(|byte| *byte == 0).collect();
        let mut pairs = parameters.chunks(2);
        let user = pairs.find(|pair| pair[0] == b"user");
        break user.map(|pair| text(pair[1])).unwrap_or_default();
    };
    client.write(&greeting()).await?;
    loop {
        let kind = client.read(1).await?[0];
        let length = number(&client.read(4).await?);
        let body = client.read(length.saturating_sub(4)).await?;
        match kind {
            b'X' => return Ok(()),
            b'Q' => {
                let query = text(&body);
                let mut answer = if query.contains("session_user") {
                    row(TEXT, &user)
                } else if query.contains("has_function_privilege") {
                    row(BOOL, "t")
                } else if query.contains("system_identifier") {
                    row(TEXT, &identity)
                } else {
                    message(b'C', b"SELECT 0\0")
                };
                answer.extend(ready());
                client.write(&answer).await?;
            }
            b'S' => client.write(&ready()).await?,
            _ => {}
        }
    }
}

/// The end of a successful sign-in.
pub(super) fn greeting() -> Vec<u8> {
    let mut greeting = message(b'R', &0_u32.to_be_bytes());
    greeting.extend(message(b'S', b"server_version\x0017.2\0"));
    greeting.extend(message(b'K', &[0, 0, 0, 1, 0, 0, 0, 1]));
    greeting.extend(ready());
    greeting
}

pub(super) fn number(bytes: &[u8]) -> usize {
    let bytes: [u8; 4] = bytes[..4].try_into().unwrap();
    u32::from_be_bytes(bytes) as usize
}

pub(super) fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap();
    [&[kind], &length.to_be_bytes()[..], body].concat()
}

fn ready() -> Vec<u8> {
    message(b'Z', b"I")
}

/// A result of one row and one column.
fn row(kind: u32, value: &str) -> Vec<u8> {
    let column = [
        &1_u16.to_be_bytes()[..],
        b"value\0",
        &[0; 6],
        &kind.to_be_bytes(),
        &[0xff; 6],
        &[0; 2],
    ];
    let length = u32::try_from(value.len()).unwrap();
    let data = [
        &1_u16.to_be_bytes()[..],
        &length.to_be_bytes(),
        value.as_bytes(),
    ];
    let mut answer = message(b'T', &column.concat());
    answer.extend(message(b'D', &data.concat()));
    answer.extend(message(b'C', b"SELECT 1\0"));
    answer
}
