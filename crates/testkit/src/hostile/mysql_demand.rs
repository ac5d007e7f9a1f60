//! A MySQL server that requests too much of a client that signs in.

use std::io;

use tokio_rustls::TlsAcceptor;

use super::Client;
use super::mysql::{EOF, OK, column, greeting, packet, send};

const SSL: u32 = 0x800;
const NONCE: &[u8] = b"twenty bytes of it..";
const COM_QUIT: u8 = 1;
const COM_RESET_CONNECTION: u8 = 31;
/// The packet of `caching_sha2_password` that requests the password.
const FULL: [u8; 2] = [1, 4];
const ROW: usize = 1 << 20;

/// What the server does in place of a sign-in, or after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MysqlDemand {
    /// Requests this method.
    Method(&'static str),
    /// Requests the method of MySQL before version 4.1.
    OldPassword,
    /// Requests the password by `caching_sha2_password`.
    FullSha2,
    /// Sends an RSA key for `caching_sha2_password`.
    RsaKey,
    /// Requests another method this often.
    Switches(usize),
    /// Accepts the user without a request.
    NoProof,
    /// Announces a packet of 16 MiB.
    HugePacket,
    /// Sends packets until the client disconnects.
    Packets,
    /// Sends nothing after the greeting.
    Silence,
    /// Offers no TLS.
    NoTls,
    /// Answers the first statement with a request for `/etc/passwd`.
    LocalFile,
    /// Answers the first statement with a packet of 2 GiB, in parts of 16 MiB.
    HugePacketLater,
    /// Answers the first statement with rows until the client disconnects.
    Rows,
    /// Answers the first statement with a table of 2⁴⁰ columns.
    Columns,
}

pub(super) async fn serve(
    mut client: Client,
    demand: MysqlDemand,
    tls: Option<TlsAcceptor>,
) -> io::Result<()> {
    let tls = tls.filter(|_| demand != MysqlDemand::NoTls);
    let more = if tls.is_some() { SSL } else { 0 };
    let method = match demand {
        MysqlDemand::NoProof => "dialog",
        MysqlDemand::FullSha2 | MysqlDemand::RsaKey | MysqlDemand::Packets => {
            "caching_sha2_password"
        }
        _ => "mysql_native_password",
    };
    send(&mut client, 0, &[&greeting(more, NONCE, method)]).await?;
    let (mut number, mut request) = packet(&mut client).await?;
    let requested = u32::from_le_bytes(request[..4].try_into().unwrap());
    if let Some(acceptor) = tls.filter(|_| requested & SSL != 0) {
        client = client.protect(&acceptor).await?;
        (number, request) = packet(&mut client).await?;
    }
    drop(request);
    sign_in(&mut client, demand, number + 1).await?;
    loop {
        let (_, command) = packet(&mut client).await?;
        match command.first() {
            Some(&COM_QUIT) | None => return Ok(()),
            Some(&COM_RESET_CONNECTION) => send(&mut client, 1, &[OK]).await?,
            Some(_) => answer(&mut client, demand).await?,
        }
    }
}

async fn sign_in(client: &mut Client, demand: MysqlDemand, number: u8) -> io::Result<()> {
    let huge = [0xff, 0xff, 0xff, number];
    match demand {
        MysqlDemand::Method(name) => {
            let request = [&[0xfe], name.as_bytes(), b"\0", NONCE, b"\0"].concat();
            send(client, number, &[&request]).await?;
            record(client).await
        }
        MysqlDemand::OldPassword => {
            send(client, number, &[&[0xfe]]).await?;
            record(client).await
        }
        MysqlDemand::FullSha2 => {
            send(client, number, &[&FULL]).await?;
            record(client).await
        }
        MysqlDemand::RsaKey => {
            let key = b"\x01-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n";
            send(client, number, &[key]).await?;
            record(client).await
        }
        MysqlDemand::Switches(count) => {
            let request = [b"\xfemysql_native_password\0", NONCE, b"\0"].concat();
            for _ in 0..count {
                send(client, number, &[&request]).await?;
                packet(client).await?;
            }
            send(client, number, &[OK]).await
        }
        MysqlDemand::HugePacket => {
            client.write(&huge).await?;
            record(client).await
        }
        MysqlDemand::Packets => loop {
            send(client, number, &[&[1, 3]]).await?;
        },
        MysqlDemand::Silence | MysqlDemand::NoTls => record(client).await,
        _ => send(client, number, &[OK]).await,
    }
}

/// The answer to a statement.
async fn answer(client: &mut Client, demand: MysqlDemand) -> io::Result<()> {
    match demand {
        MysqlDemand::LocalFile => {
            send(client, 1, &[b"\xfb/etc/passwd"]).await?;
            record(client).await
        }
        MysqlDemand::HugePacketLater => {
            let part = [&[0xff, 0xff, 0xff, 1], vec![1; 0xff_ffff].as_slice()].concat();
            for _ in 0..128 {
                client.write(&part).await?;
            }
            record(client).await
        }
        MysqlDemand::Rows => {
            send(client, 1, &[&[1], &column("c"), EOF]).await?;
            // Its length has three bytes.
            let row = [&[0xfd, 0, 0, 0x10], vec![b'x'; ROW].as_slice()].concat();
            loop {
                send(client, 4, &[&row]).await?;
            }
        }
        MysqlDemand::Columns => {
            let count = [&[0xfe][..], &(1_u64 << 40).to_le_bytes()].concat();
            send(client, 1, &[&count]).await?;
            record(client).await
        }
        _ => send(client, 1, &[OK]).await,
    }
}

/// Records all that the client sends.
async fn record(client: &mut Client) -> io::Result<()> {
    loop {
        client.read(1).await?;
    }
}
