//! The first packets of a connection: the server's greeting, TLS, and the login request (MariaDB's
//! manual, "Connecting"; MySQL's, "Connection Phase").

use rustls::pki_types::ServerName;
use tokio::net::UnixStream;
use zeroize::Zeroizing;

use super::Login;
use super::authentication::{self, Method};
use super::failure::Failure;
use super::wire::{Fields, OK, Wire};
use crate::stream::{self, Stream};

const FOUND_ROWS: u32 = 1 << 1;
const CONNECT_WITH_DB: u32 = 1 << 3;
const IGNORE_SPACE: u32 = 1 << 8;
const PROTOCOL_41: u32 = 1 << 9;
const SSL: u32 = 1 << 11;
const TRANSACTIONS: u32 = 1 << 13;
const SECURE_CONNECTION: u32 = 1 << 15;
const MULTI_STATEMENTS: u32 = 1 << 16;
const MULTI_RESULTS: u32 = 1 << 17;
const PS_MULTI_RESULTS: u32 = 1 << 18;
const PLUGIN_AUTH: u32 = 1 << 19;
const DEPRECATE_EOF: u32 = 1 << 24;

/// The capabilities that a session has after the sign-in, which are those of the driver. Local
/// files (`CLIENT_LOCAL_FILES`) are not among them.
const OF_SESSION: u32 = FOUND_ROWS
    | IGNORE_SPACE
    | PROTOCOL_41
    | TRANSACTIONS
    | MULTI_STATEMENTS
    | MULTI_RESULTS
    | PS_MULTI_RESULTS
    | DEPRECATE_EOF;
const REQUIRED: u32 = PROTOCOL_41 | SECURE_CONNECTION | PLUGIN_AUTH;

/// The driver's maximum of a packet.
const LONGEST_PACKET: u32 = 1 << 30;
const UTF8MB4_GENERAL_CI: u8 = 45;
/// Length of the random bytes in a greeting.
const NONCE_LEN: usize = 20;

/// A session after its sign-in.
pub(in crate::mysql) struct SignedInSession {
    pub(super) server: Box<dyn Stream>,
    /// What both sides agreed on.
    pub(super) capabilities: u32,
    /// The lower 32 bits of the session's number, as the greeting has it.
    pub number: u32,
}

/// Connects, protects the connection with TLS if configured, and signs in.
pub(in crate::mysql) async fn sign_in(login: &Login) -> Result<SignedInSession, Failure> {
    if login.host.starts_with('/') {
        let socket = UnixStream::connect(&login.host).await?;
        return greet(login, socket).await;
    }
    let tcp = stream::connect(&login.host, login.address, login.port).await?;
    tcp.set_nodelay(true)?;
    greet(login, tcp).await
}

async fn greet(login: &Login, stream: impl Stream + 'static) -> Result<SignedInSession, Failure> {
    let mut wire = Wire::new(stream);
    let greeting = wire.read().await?;
    let offered = capabilities(&greeting)?;
    if login.master
        && let Some(version) = version_of_pooler(&greeting)?
    {
        return Err(Failure::Pooler { version });
    }
    let number = number(&greeting)?;
    let mut requested = OF_SESSION & offered | REQUIRED;
    if login.database.is_some() {
        requested |= CONNECT_WITH_DB;
    }
    if let Some(connector) = &login.connector {
        if offered & SSL == 0 {
            let (_, method) = challenge(&greeting)?;
            return Err(Failure::NoTls { method });
        }
        requested |= SSL;
        let name = ServerName::try_from(login.host.clone())
            .map_err(|_| Failure::Tls("the host name cannot be in a certificate".into()))?;
        wire.write(&preamble(requested)).await?;
        wire = wire.protect(connector, name).await?;
    }
    if offered & REQUIRED != REQUIRED {
        return Err(Failure::Protocol(
            "the server's protocol has no exchangeable sign-in methods".into(),
        ));
    }
    let (nonce, method) = challenge(&greeting)?;
    let (method, answer) = Method::first_answer(&method, login, &nonce)?;
    wire.write(&login_request(requested, login, method, &answer))
        .await?;
    authentication::authenticate(&mut wire, login, method, !answer.is_empty()).await?;
    if login.master {
        authentication::reset(&mut wire).await?;
    }
    Ok(SignedInSession {
        server: wire.stream,
        capabilities: requested & OF_SESSION,
        number,
    })
}

/// The server's capabilities.
fn capabilities(greeting: &[u8]) -> Result<u32, Failure> {
    let mut fields = after_version(greeting)?;
    fields.take(4 + 8 + 1)?; // The connection's number, and the first part of the nonce.
    let low = fields.u16()?;
    fields.take(1 + 2)?; // Character set, and status.
    let high = fields.u16()?;
    Ok(u32::from(high) << 16 | u32::from(low))
}

/// The nonce, and the name of the server's default method.
fn challenge(greeting: &[u8]) -> Result<(Vec<u8>, String), Failure> {
    let mut fields = after_version(greeting)?;
    fields.take(4)?;
    let mut nonce = fields.take(8)?.to_vec();
    fields.take(1 + 2 + 1 + 2 + 2)?;
    let length = usize::from(fields.byte()?);
    fields.take(10)?;
    nonce.extend(fields.take(length.saturating_sub(8).max(NONCE_LEN - 8 + 1))?);
    let method = String::from_utf8_lossy(fields.text()).into_owned();
    Ok((nonce, method))
}

/// The lower 32 bits of the session's number.
fn number(greeting: &[u8]) -> Result<u32, Failure> {
    let mut fields = after_version(greeting)?;
    let low = fields.u16()?;
    Ok(u32::from(fields.u16()?) << 16 | u32::from(low))
}

/// The version in the greeting of a pooler that names itself there.
fn version_of_pooler(greeting: &[u8]) -> Result<Option<String>, Failure> {
    let mut fields = Fields(greeting);
    fields.byte()?;
    let version = String::from_utf8_lossy(fields.text()).into_owned();
    let lower = version.to_lowercase();
    let is_pooler = ["proxysql", "maxscale"]
        .iter()
        .any(|name| lower.contains(name));
    Ok(is_pooler.then_some(version))
}

fn after_version(greeting: &[u8]) -> Result<Fields<'_>, Failure> {
    let mut fields = Fields(greeting);
    if fields.byte()? != 10 {
        return Err(Failure::Protocol(
            "the server's greeting is not of protocol version 10".into(),
        ));
    }
    fields.text(); // The server's version.
    Ok(fields)
}

/// Start of the login request. Sent alone, it requests TLS.
fn preamble(requested: u32) -> Vec<u8> {
    let mut preamble = Vec::with_capacity(32);
    preamble.extend(requested.to_le_bytes());
    preamble.extend(LONGEST_PACKET.to_le_bytes());
    preamble.push(UTF8MB4_GENERAL_CI);
    preamble.extend([0; 23]);
    preamble
}

/// The login request: user name, answer, database and method.
fn login_request(
    requested: u32,
    login: &Login,
    method: Method,
    answer: &[u8],
) -> Zeroizing<Vec<u8>> {
    let mut request = Zeroizing::new(preamble(requested));
    request.extend(login.user.as_bytes());
    request.push(0);
    // The answer to a greeting is a digest of at most 32 bytes.
    request.push(u8::try_from(answer.len()).unwrap_or_default());
    request.extend(answer);
    for text in login.database.as_deref().into_iter().chain([method.name()]) {
        request.extend(text.as_bytes());
        request.push(0);
    }
    request
}

/// The driver's side of a sign-in that is complete: a greeting, its login request, and OK.
pub(super) async fn admit(
    driver: impl Stream + 'static,
    capabilities: u32,
) -> Result<Box<dyn Stream>, Failure> {
    let mut wire = Wire::new(driver);
    let [low, high] = [capabilities & 0xFFFF, capabilities >> 16];
    let greeting = [
        &[10, 0][..],
        &[0; 4 + 8 + 1],
        &low.to_le_bytes()[..2],
        &[UTF8MB4_GENERAL_CI, 2, 0],
        &high.to_le_bytes()[..2],
        &[0; 1 + 10],
    ];
    wire.write(&greeting.concat()).await?;
    let request = wire.read().await?;
    let (chosen, _) = request
        .split_first_chunk()
        .ok_or_else(|| Failure::Protocol("the driver's login request is too short".into()))?;
    if u32::from_le_bytes(*chosen) != capabilities {
        return Err(Failure::Protocol(
            "the driver does not use the session's capabilities".into(),
        ));
    }
    // No rows, no id; autocommit; no warnings.
    wire.write(&[OK, 0, 0, 2, 0, 0, 0]).await?;
    Ok(wire.stream)
}
