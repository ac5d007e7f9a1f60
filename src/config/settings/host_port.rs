//! Database addresses in the config: `host`, `host:port`, `[IPv6 address]` or `[IPv6 address]:port`.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

/// A host, and the port if the text has one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// A name or an IP address; an IPv6 address without brackets.
    pub host: String,
    pub port: Option<u16>,
}

/// Why a text is no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HostPortError {
    #[error("must be a host name or an IP address, or one with a port (\"db.internal:5432\")")]
    Host,
    #[error("must have brackets around an IPv6 address (\"[::1]:5432\")")]
    Brackets,
    #[error("must have a port from 1 to 65535 after the colon")]
    Port,
}

impl FromStr for HostPort {
    type Err = HostPortError;

    fn from_str(text: &str) -> Result<Self, HostPortError> {
        if let Some(rest) = text.strip_prefix('[') {
            let (address, rest) = rest.split_once(']').ok_or(HostPortError::Brackets)?;
            let address: Ipv6Addr = address.parse().map_err(|_| HostPortError::Host)?;
            let port = match rest.strip_prefix(':') {
                Some(port) => Some(parse_port(port)?),
                None if rest.is_empty() => None,
                None => return Err(HostPortError::Port),
            };
            return Ok(Self {
                host: address.to_string(),
                port,
            });
        }
        let (host, port) = match text.split_once(':') {
            Some((_, rest)) if rest.contains([':', '/']) => {
                let is_address = text.parse::<Ipv6Addr>().is_ok();
                return Err(if is_address {
                    HostPortError::Brackets
                } else {
                    HostPortError::Host
                });
            }
            Some((host, port)) if is_host(host) => (host, Some(parse_port(port)?)),
            Some((host, _)) => (host, None),
            None => (text, None),
        };
        if !is_host(host) {
            return Err(HostPortError::Host);
        }
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}

fn parse_port(text: &str) -> Result<u16, HostPortError> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let port = text.parse().ok().filter(|port| digits && *port != 0);
    port.ok_or(HostPortError::Port)
}

/// Whether a text is a host name or an IPv4 address. Underscores occur in internal names.
fn is_host(text: &str) -> bool {
    let name = text.strip_suffix('.').unwrap_or(text);
    let labels = name.split('.').all(|label| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    });
    labels && name.len() <= 253
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]", self.host)?;
        } else {
            f.write_str(&self.host)?;
        }
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_with_and_without_a_port_are_read() {
        for (text, host, port) in [
            ("db.internal", "db.internal", None),
            ("db.internal:5432", "db.internal", Some(5432)),
            ("db.internal.", "db.internal.", None),
            ("10.0.0.7:5433", "10.0.0.7", Some(5433)),
            ("db_1", "db_1", None),
            ("[::1]", "::1", None),
            ("[fd00::7]:3306", "fd00::7", Some(3306)),
        ] {
            let address: HostPort = text.parse().unwrap();
            assert_eq!((&*address.host, address.port), (host, port), "{text}");
            assert_eq!(address.to_string(), text);
        }
    }

    #[test]
    fn other_texts_are_refused() {
        use HostPortError::{Brackets, Host, Port};
        for (text, error) in [
            ("", Host),
            ("db internal", Host),
            ("postgres://db", Host),
            ("user@db:5432", Host),
            ("a,b", Host),
            ("a..b", Host),
            ("a:b:c", Host),
            ("::1", Brackets),
            ("[::1", Brackets),
            ("[db]:1", Host),
            ("[::1]5432", Port),
            ("db:", Port),
            ("db:0", Port),
            ("db:65536", Port),
            ("db:+5", Port),
        ] {
            assert_eq!(text.parse::<HostPort>(), Err(error), "{text:?}");
        }
    }
}
