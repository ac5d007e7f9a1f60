//! TCP ports that a test process reserves until it exits.
//!
//! # Failure modes
//! - Two processes choose the same free port before either listens: each port has a lock, which is
//!   an abstract Unix socket. The kernel releases it when the process exits.
//! - The kernel assigns the port to an outgoing connection: the range ends below the range of
//!   ephemeral ports (`net.ipv4.ip_local_port_range`, from 32768 by default).

use std::io;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use parking_lot::Mutex;

const FIRST: u32 = 12_000;
const COUNT: u32 = 20_000;

/// The next offset to try, and the locks of this process.
static RESERVED: Mutex<(u32, Vec<UnixDatagram>)> = Mutex::new((0, Vec::new()));

/// A port on 127.0.0.1 that no process uses, and that no other test process reserves.
///
/// # Errors
/// Every port of the range is in use.
pub fn reserve() -> io::Result<u16> {
    // Processes start at different offsets, so that they seldom try the same port.
    let start = std::process::id().wrapping_mul(101);
    let (offset, locks) = &mut *RESERVED.lock();
    while *offset < COUNT {
        let port = FIRST + start.wrapping_add(*offset) % COUNT;
        *offset += 1;
        let name = format!("twinkey-test-port-{port}");
        let Ok(lock) = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(name)?) else {
            continue;
        };
        let port = u16::try_from(port).map_err(io::Error::other)?;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            locks.push(lock);
            return Ok(port);
        }
    }
    Err(io::ErrorKind::AddrInUse.into())
}

/// A reserved port as `127.0.0.1:port`.
///
/// # Panics
/// Every port of the range is in use.
pub fn free_address() -> String {
    let port = reserve().unwrap_or_else(|error| panic!("no port is free: {error}"));
    format!("127.0.0.1:{port}")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_reserved_port_is_free_locked_and_not_given_twice() {
        let ports: BTreeSet<u16> = (0..20).map(|_| reserve().unwrap()).collect();
        assert_eq!(ports.len(), 20);
        for port in ports {
            TcpListener::bind(("127.0.0.1", port)).unwrap();
            let name = format!("twinkey-test-port-{port}");
            let name = SocketAddr::from_abstract_name(name).unwrap();
            UnixDatagram::bind_addr(&name).unwrap_err();
        }
    }
}
