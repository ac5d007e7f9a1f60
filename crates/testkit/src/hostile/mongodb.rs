//! A MongoDB server that requests too much of a client that signs in.

use std::io;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, Document, doc};
use tokio_rustls::TlsAcceptor;

use super::Client;
use crate::mongo::wire::Message;

/// The first bytes of a TLS record with a handshake (RFC 8446, section 5.1).
const TLS_HANDSHAKE: [u8; 2] = [22, 3];

/// What the server does in place of a sign-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MongodbDemand {
    /// Requests this number of SCRAM rounds.
    Rounds(u32),
    /// Sends a shorter nonce than the client's.
    ShortNonce,
    /// Sends no field of a SCRAM challenge.
    NoChallenge,
    /// Supports only PLAIN, which sends the password in clear text.
    Plain,
    /// Calls itself an arbiter, to which drivers send commands without a sign-in.
    Arbiter,
    /// Completes SCRAM without a valid signature.
    NoSignature,
    /// Announces a message of 2 GiB.
    HugeMessage,
    /// Sends a document with this number of levels.
    Deep(usize),
    /// Sends responses until the client disconnects.
    Endless,
    /// Reads, and never responds.
    Silent,
    /// Refuses the sign-in with this message.
    Error(&'static str),
}

pub(super) async fn serve(
    mut client: Client,
    demand: MongodbDemand,
    tls: Option<TlsAcceptor>,
) -> io::Result<()> {
    if let Some(acceptor) = &tls {
        client = client.protect(acceptor).await?;
    }
    loop {
        let request = read(&mut client).await?;
        match demand {
            MongodbDemand::Silent => continue,
            MongodbDemand::HugeMessage => {
                let numbers = [i32::MAX, 1, request.id(), 2013].map(i32::to_le_bytes);
                client.write(&numbers.concat()).await?;
                continue;
            }
            MongodbDemand::Deep(levels) => {
                client.write(&raw(request.id(), &nested(levels))).await?;
                continue;
            }
            _ => {}
        }
        let command = request.document().unwrap_or_default();
        let name = command.keys().next().cloned().unwrap_or_default();
        let response = match name.to_ascii_lowercase().as_str() {
            "hello" | "ismaster" => hello(demand, &command),
            "saslstart" => start(demand, &command),
            "saslcontinue" => {
                scram_response(&format!("v={}", BASE64_STANDARD.encode([0; 32])), true)
            }
            _ => doc! { "ok": 1.0 },
        };
        let response = request.reply(&response);
        client.write(response.bytes()).await?;
        if demand == MongodbDemand::Endless {
            loop {
                client.write(response.bytes()).await?;
            }
        }
    }
}

async fn read(client: &mut Client) -> io::Result<Message> {
    let head = client.read(4).await?;
    if head.starts_with(&TLS_HANDSHAKE) {
        // As a MongoDB server without TLS, but with an orderly end of the connection.
        let rest = client.read(1).await?;
        let length = u16::from_be_bytes([head[3], rest[0]]);
        client.read(length.into()).await?;
        return Err(io::Error::other("a handshake of TLS"));
    }
    let length = i32::from_le_bytes([head[0], head[1], head[2], head[3]]);
    let length = usize::try_from(length).map_err(io::Error::other)?;
    let rest = client.read(length.saturating_sub(4)).await?;
    Ok(Message::from_bytes([head, rest].concat()))
}

fn hello(demand: MongodbDemand, command: &Document) -> Document {
    let arbiter = demand == MongodbDemand::Arbiter;
    let mechanisms = if demand == MongodbDemand::Plain {
        ["PLAIN"]
    } else {
        ["SCRAM-SHA-256"]
    };
    let mut hello = doc! {
        "ok": 1.0,
        "ismaster": !arbiter,
        "isWritablePrimary": !arbiter,
        "helloOk": true,
        "minWireVersion": 0,
        "maxWireVersion": 21,
        "maxBsonObjectSize": 16_777_216,
        "maxMessageSizeBytes": 48_000_000,
        "maxWriteBatchSize": 100_000,
        "saslSupportedMechs": &mechanisms[..],
    };
    if arbiter {
        hello.extend(doc! { "arbiterOnly": true, "setName": "rs0", "hosts": [] });
    }
    let is_speculative = !matches!(demand, MongodbDemand::Plain | MongodbDemand::Error(_));
    if let Ok(begin) = command.get_document("speculativeAuthenticate")
        && is_speculative
    {
        hello.insert("speculativeAuthenticate", start(demand, begin));
    }
    hello
}

fn start(demand: MongodbDemand, command: &Document) -> Document {
    let payload = command.get_binary_generic("payload");
    let payload = payload.map_or("", |bytes| std::str::from_utf8(bytes).unwrap_or_default());
    let nonce = payload.rsplit("r=").next().unwrap_or_default();
    let salt = BASE64_STANDARD.encode([7_u8; 16]);
    let challenge =
        |nonce: &str, rounds: u32| scram_response(&format!("r={nonce},s={salt},i={rounds}"), false);
    let complete = format!("{nonce}more");
    match demand {
        MongodbDemand::Error(message) => {
            doc! { "ok": 0.0, "code": 18, "codeName": "AuthenticationFailed", "errmsg": message }
        }
        MongodbDemand::Rounds(rounds) => challenge(&complete, rounds),
        MongodbDemand::ShortNonce => challenge("r", 4096),
        MongodbDemand::NoChallenge => scram_response("", false),
        MongodbDemand::Plain => scram_response("", true),
        _ => challenge(&complete, 4096),
    }
}

fn scram_response(payload: &str, done: bool) -> Document {
    let payload = Binary {
        subtype: BinarySubtype::Generic,
        bytes: payload.as_bytes().to_vec(),
    };
    doc! { "ok": 1.0, "conversationId": 1, "done": done, "payload": payload }
}

/// An `OP_MSG` with these bytes as its document.
fn raw(response_to: i32, document: &[u8]) -> Vec<u8> {
    let length = i32::try_from(16 + 5 + document.len()).unwrap();
    let header = [length, 1, response_to, 2013]
        .map(i32::to_le_bytes)
        .concat();
    [&header, &[0; 5][..], document].concat()
}

/// A document of nested documents.
pub fn nested(levels: usize) -> Vec<u8> {
    // A level has a length, the kind, an empty name with its zero byte, and the last zero byte.
    let mut bytes = Vec::new();
    for level in (1..=levels).rev() {
        let length = i32::try_from(7 * (level - 1) + 5).unwrap();
        bytes.extend(length.to_le_bytes());
        if level > 1 {
            bytes.extend([3, 0]);
        }
    }
    bytes.extend(std::iter::repeat_n(0, levels));
    bytes
}
