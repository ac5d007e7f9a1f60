//! Handshake of a connection, up to the sign-in (MariaDB's manual, "Connecting").

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::failure::Failure;
use super::wire::{Packet, Stream, Wire};
use crate::Credentials;
use twinkey_core::secret::verifier;

const METHOD: &str = "client_ed25519";
/// NONCE_BYTES in plugin/auth_ed25519/common.h of MariaDB.
const NONCE_LEN: usize = 32;

const LONG_PASSWORD: u32 = 1;
const CONNECT_WITH_DB: u32 = 1 << 3;
const PROTOCOL_41: u32 = 1 << 9;
const SSL: u32 = 1 << 11;
const TRANSACTIONS: u32 = 1 << 13;
const SECURE_CONNECTION: u32 = 1 << 15;
/// As with the driver, a probe may be several statements, and a procedure may have several results.
const MULTI_STATEMENTS: u32 = 1 << 16;
const MULTI_RESULTS: u32 = 1 << 17;
const PLUGIN_AUTH: u32 = 1 << 19;
const CAPABILITIES: u32 = LONG_PASSWORD
    | PROTOCOL_41
    | TRANSACTIONS
    | SECURE_CONNECTION
    | MULTI_STATEMENTS
    | MULTI_RESULTS
    | PLUGIN_AUTH;

/// The protocol's maximum packet length.
const LONGEST: u32 = 1 << 30;
const UTF8MB4_GENERAL_CI: u8 = 45;

/// Protects the connection with TLS if there is a `connector`, and signs in.
pub(super) async fn sign_in(
    tcp: TcpStream,
    connector: Option<&TlsConnector>,
    host: &str,
    dbname: Option<&str>,
    credentials: &Credentials,
) -> Result<Wire, Failure> {
    let mut wire = Wire {
        stream: tcp,
        sequence: 0,
    };
    let offered = capabilities(&wire.read().await?)?;
    if offered & (PROTOCOL_41 | PLUGIN_AUTH) != (PROTOCOL_41 | PLUGIN_AUTH) {
        return Err(Failure::Protocol("the server is too old for ed25519"));
    }
    let mut requested = CAPABILITIES;
    if dbname.is_some() {
        requested |= CONNECT_WITH_DB;
    }
    let mut wire = match connector {
        None => Wire {
            stream: Box::new(wire.stream) as Box<dyn Stream>,
            sequence: wire.sequence,
        },
        Some(_) if offered & SSL == 0 => {
            return Err(Failure::Tls("the server offers no TLS".into()));
        }
        Some(connector) => {
            requested |= SSL;
            let name = ServerName::try_from(host.to_owned())
                .map_err(|error| Failure::Tls(error.to_string()))?;
            wire.write(&preamble(requested)).await?;
            Wire {
                stream: Box::new(connector.connect(name, wire.stream).await?) as Box<dyn Stream>,
                sequence: wire.sequence,
            }
        }
    };
    wire.write(&login_request(requested, dbname, credentials))
        .await?;
    prove(&mut wire, credentials).await?;
    Ok(wire)
}

/// The server's capabilities, from its first packet.
fn capabilities(greeting: &Packet) -> Result<u32, Failure> {
    let mut fields = greeting.fields();
    if fields.take(1)? != [10] {
        return Err(Failure::Protocol("it is a handshake of version 10"));
    }
    fields.text()?; // The server's version.
    fields.take(4 + 8 + 1)?; // The connection's number, and a nonce of another method.
    let low = fields.u16()?;
    fields.take(1 + 2)?; // Character set, and status.
    let high = fields.u16()?;
    Ok(u32::from(high) << 16 | u32::from(low))
}

/// Start of the login request. Sent alone, it requests TLS.
fn preamble(requested: u32) -> Vec<u8> {
    let mut answer = Vec::new();
    answer.extend(requested.to_le_bytes());
    answer.extend(LONGEST.to_le_bytes());
    answer.push(UTF8MB4_GENERAL_CI);
    answer.extend([0; 23]);
    answer
}

/// The login request: user name, database and sign-in method, whose nonce comes later.
fn login_request(requested: u32, dbname: Option<&str>, credentials: &Credentials) -> Vec<u8> {
    let mut answer = preamble(requested);
    answer.extend(credentials.username.as_bytes());
    answer.push(0);
    answer.push(0); // No signature yet.
    for text in dbname.into_iter().chain([METHOD]) {
        answer.extend(text.as_bytes());
        answer.push(0);
    }
    answer
}

/// Signs the server's nonce.
async fn prove(wire: &mut Wire, credentials: &Credentials) -> Result<(), Failure> {
    let request = wire.read().await?;
    if request.is_ok() {
        return Err(Failure::NotProved("let the user in without a proof".into()));
    }
    let nonce = nonce(&request)?;
    let signature = verifier::mariadb_ed25519_signature(&credentials.password, nonce);
    wire.write(&signature).await?;
    let answer = wire.read().await?;
    if answer.is_ok() {
        return Ok(());
    }
    // An account may have several methods: after a wrong signature the server requests the next
    // one.
    Err(Failure::WrongSignature)
}

fn nonce(request: &Packet) -> Result<&[u8], Failure> {
    if !request.is_switch() {
        return Err(Failure::Protocol("a request for a sign-in method"));
    }
    let mut fields = request.fields();
    fields.take(1)?;
    let method = fields.text()?;
    if method != METHOD.as_bytes() {
        let method = String::from_utf8_lossy(method);
        return Err(Failure::NotProved(format!("requests {method:?}")));
    }
    match fields.0 {
        nonce if nonce.len() == NONCE_LEN => Ok(nonce),
        _ => Err(Failure::Protocol("its nonce has 32 bytes")),
    }
}
