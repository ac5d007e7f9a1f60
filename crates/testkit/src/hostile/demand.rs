//! A PostgreSQL server that requests too much of a client that signs in.

use std::io;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ServerConfig, crypto};

use super::Client;
use super::postgres::{SSL_REQUEST, greeting, message, number};

/// What the server does in place of a sign-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Demand {
    /// Requests the password in clear text.
    ClearText,
    /// Requests an md5 digest of the password.
    Md5,
    /// Requests this number of SCRAM rounds.
    Rounds(u32),
    /// Completes SCRAM without a valid signature.
    NoSignature,
    /// Completes the sign-in in the middle of SCRAM.
    NoProof,
    /// Announces a message of 2 GiB.
    HugeMessage,
    /// Announces a message of 2 GiB after the sign-in.
    HugeMessageLater,
    /// Sends notices until the client disconnects.
    Notices,
    /// Answers the request for TLS with plain text.
    NoTls,
    /// Reads, and never answers.
    Silent,
    /// Refuses the sign-in with this message.
    Error(&'static str),
}

pub(super) async fn serve(
    mut client: Client,
    demand: Demand,
    tls: Option<TlsAcceptor>,
) -> io::Result<()> {
    loop {
        let length = number(&client.read(4).await?);
        let startup = client.read(length.saturating_sub(4)).await?;
        if number(&startup) != SSL_REQUEST as usize {
            break;
        }
        match &tls {
            Some(acceptor) if demand != Demand::NoTls => {
                client.write(b"S").await?;
                client = client.protect(acceptor).await?;
            }
            _ => client.write(b"N").await?,
        }
    }
    request(&mut client, demand).await?;
    // Whatever the client sends is recorded.
    loop {
        client.read(1).await?;
    }
}

async fn request(client: &mut Client, demand: Demand) -> io::Result<()> {
    let huge = [b'E', 0x7f, 0xff, 0xff, 0xff];
    match demand {
        Demand::ClearText | Demand::NoTls => {
            client.write(&message(b'R', &3_u32.to_be_bytes())).await
        }
        Demand::Md5 => {
            let body = [5_u32.to_be_bytes(), *b"salt"].concat();
            client.write(&message(b'R', &body)).await
        }
        Demand::Rounds(rounds) => scram(client, rounds).await.map(drop),
        Demand::NoSignature => {
            scram(client, 4096).await?;
            read_message(client).await?;
            let signature = BASE64_STANDARD.encode([0_u8; 32]);
            let last = sasl(12, format!("v={signature}").as_bytes());
            client.write(&[last, greeting()].concat()).await
        }
        Demand::NoProof => {
            scram(client, 4096).await?;
            client.write(&greeting()).await
        }
        Demand::HugeMessage => client.write(&huge).await,
        Demand::HugeMessageLater => {
            client.write(&greeting()).await?;
            read_message(client).await?;
            client.write(&[b'D', 0x7f, 0xff, 0xff, 0xff]).await
        }
        Demand::Silent => Ok(()),
        Demand::Error(text) => {
            let fields = format!("SFATAL\0VFATAL\0C08004\0M{text}\0\0");
            client.write(&message(b'E', fields.as_bytes())).await
        }
        Demand::Notices => {
            let notice = message(b'N', b"SNOTICE\0C00000\0Mmore\0\0");
            loop {
                client.write(&notice).await?;
            }
        }
    }
}

/// Sends a challenge for SCRAM-SHA-256 with these rounds.
async fn scram(client: &mut Client, rounds: u32) -> io::Result<()> {
    client.write(&sasl(10, b"SCRAM-SHA-256\0\0")).await?;
    let first = read_message(client).await?;
    let first = String::from_utf8_lossy(&first).into_owned();
    let nonce = first.rsplit("r=").next().unwrap_or_default();
    let salt = BASE64_STANDARD.encode([7_u8; 16]);
    let challenge = format!("r={nonce}more,s={salt},i={rounds}");
    client.write(&sasl(11, challenge.as_bytes())).await
}

fn sasl(kind: u32, data: &[u8]) -> Vec<u8> {
    message(b'R', &[&kind.to_be_bytes(), data].concat())
}

async fn read_message(client: &mut Client) -> io::Result<Vec<u8>> {
    client.read(1).await?;
    let length = number(&client.read(4).await?);
    client.read(length.saturating_sub(4)).await
}

pub(super) fn acceptor((certificate, key): &(String, String)) -> TlsAcceptor {
    let chain = CertificateDer::pem_slice_iter(certificate.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .unwrap();
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let config =
        ServerConfig::builder_with_provider(Arc::new(crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
    TlsAcceptor::from(Arc::new(config))
}
