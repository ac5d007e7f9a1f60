//! The hostile server in the protocol of MariaDB and MySQL ("Client/Server Protocol" in their
//! documentation).

use std::io;

use super::{Client, text};

/// LONG_PASSWORD, FOUND_ROWS, LONG_FLAG, CONNECT_WITH_DB, PROTOCOL_41, TRANSACTIONS,
/// SECURE_CONNECTION, MULTI_RESULTS and PLUGIN_AUTH.
const CAPABILITIES: u32 = 0xf | 0x200 | 0x2000 | 0x8000 | 0x2_0000 | 0x8_0000;
const UTF8MB4: u8 = 45;
const VAR_STRING: u8 = 0xfd;
const LONGLONG: u8 = 8;
/// UNSIGNED_FLAG
const UNSIGNED: u8 = 0x20;
/// The number of every connection, in the greeting and in [`NUMBER`].
const CONNECTION: u32 = 7;
/// The column with the number of the connection; the others are texts.
const NUMBER: &str = "number";
pub(super) const OK: &[u8] = &[0, 0, 0, 2, 0, 0, 0];
pub(super) const EOF: &[u8] = &[0xfe, 0, 0, 2, 0];

/// A result set: names of columns, and rows.
type Table = (Vec<&'static str>, Vec<Vec<String>>);

pub(super) async fn serve(mut client: Client, identity: String) -> io::Result<()> {
    let greeting = greeting(0, b"abcdefghijklmnopqrst", "mysql_native_password");
    send(&mut client, 0, &[&greeting]).await?;
    let (number, response) = packet(&mut client).await?;
    let user = text(&response[32..]);
    send(&mut client, number + 1, &[OK]).await?;
    let mut prepared = String::new();
    loop {
        let (_, command) = packet(&mut client).await?;
        let statement = String::from_utf8_lossy(&command[1..]).into_owned();
        match command[0] {
            // COM_QUIT
            1 => return Ok(()),
            // COM_QUERY
            3 => match answer(&statement, &user, &identity) {
                Some(table) => send_table(&mut client, &table, false).await?,
                None => send(&mut client, 1, &[OK]).await?,
            },
            // COM_STMT_PREPARE
            0x16 => {
                let columns =
                    answer(&statement, &user, &identity).map_or(vec![], |(names, _)| names);
                let count = u16::try_from(columns.len()).unwrap().to_le_bytes();
                let head = [&[0, 1, 0, 0, 0][..], &count, &[0; 5]].concat();
                let definitions: Vec<Vec<u8>> = columns.iter().map(|name| column(name)).collect();
                let mut packets: Vec<&[u8]> = vec![&head];
                packets.extend(definitions.iter().map(Vec::as_slice));
                if !columns.is_empty() {
                    packets.push(EOF);
                }
                send(&mut client, 1, &packets).await?;
                prepared = statement;
            }
            // COM_STMT_EXECUTE
            0x17 => match answer(&prepared, &user, &identity) {
                Some(table) => send_table(&mut client, &table, true).await?,
                None => send(&mut client, 1, &[OK]).await?,
            },
            // COM_STMT_CLOSE has no answer.
            0x19 => {}
            _ => send(&mut client, 1, &[OK]).await?,
        }
    }
}

/// The first packet of the server, with `more` capabilities.
pub(super) fn greeting(more: u32, nonce: &[u8], method: &str) -> Vec<u8> {
    let capabilities = CAPABILITIES | more;
    let [low, high] = [capabilities & 0xffff, capabilities >> 16];
    [
        b"\x0a11.4.3-MariaDB\0",
        &CONNECTION.to_le_bytes()[..],
        &nonce[..8],
        b"\0",
        &low.to_le_bytes()[..2],
        &[UTF8MB4, 2, 0],
        &high.to_le_bytes()[..2],
        &[21],
        &[0; 10],
        &nonce[8..],
        b"\0",
        method.as_bytes(),
        b"\0",
    ]
    .concat()
}

/// Sends an error in place of the greeting, as a server with too many connections.
pub(super) async fn refuse(mut client: Client, text: &str) -> io::Result<()> {
    let error = [&b"\xff\x10\x04#08004"[..], text.as_bytes()].concat();
    send(&mut client, 0, &[&error]).await
}

fn answer(statement: &str, user: &str, identity: &str) -> Option<Table> {
    if statement.contains("USER()") {
        let row = vec![format!("{user}@%"), CONNECTION.to_string()];
        Some((vec!["user", NUMBER], vec![row]))
    } else if statement.contains("server_uid") {
        let row = vec!["server_uid".to_owned(), identity.to_owned()];
        Some((vec!["Variable_name", "Value"], vec![row]))
    } else {
        None
    }
}

pub(super) async fn packet(client: &mut Client) -> io::Result<(u8, Vec<u8>)> {
    let head = client.read(4).await?;
    let length = u32::from_le_bytes([head[0], head[1], head[2], 0]);
    Ok((head[3], client.read(length as usize).await?))
}

/// Sends packets, numbered from `first`.
pub(super) async fn send(client: &mut Client, first: u8, packets: &[&[u8]]) -> io::Result<()> {
    let mut bytes = Vec::new();
    for (number, packet) in (first..).zip(packets) {
        let length = u32::try_from(packet.len()).unwrap().to_le_bytes();
        bytes.extend_from_slice(&length[..3]);
        bytes.push(number);
        bytes.extend_from_slice(packet);
    }
    client.write(&bytes).await
}

async fn send_table(client: &mut Client, (names, rows): &Table, binary: bool) -> io::Result<()> {
    let mut packets = vec![vec![u8::try_from(names.len()).unwrap()]];
    packets.extend(names.iter().map(|name| column(name)));
    packets.push(EOF.to_vec());
    for row in rows {
        // A binary row begins with a zero and a bitmap of NULLs.
        let mut packet = if binary { vec![0, 0] } else { vec![] };
        for (name, value) in names.iter().zip(row) {
            packet.extend(match value.parse::<u64>() {
                Ok(number) if binary && *name == NUMBER => number.to_le_bytes().to_vec(),
                _ => sized(value),
            });
        }
        packets.push(packet);
    }
    packets.push(EOF.to_vec());
    let packets: Vec<&[u8]> = packets.iter().map(Vec::as_slice).collect();
    send(client, 1, &packets).await
}

/// A column definition.
pub(super) fn column(name: &str) -> Vec<u8> {
    let mut packet = sized("def");
    for text in ["", "", "", name, name] {
        packet.extend(sized(text));
    }
    let (kind, flags) = if name == NUMBER {
        (LONGLONG, UNSIGNED)
    } else {
        (VAR_STRING, 0)
    };
    packet.extend([12, UTF8MB4, 0, 0, 4, 0, 0, kind, flags, 0, 0, 0, 0]);
    packet
}

/// A text of at most 250 bytes with its length.
fn sized(text: &str) -> Vec<u8> {
    let mut bytes = vec![u8::try_from(text.len()).unwrap()];
    bytes.extend_from_slice(text.as_bytes());
    bytes
}
