//! Finding about an endpoint whose tokens cross the network in plain text.

use crate::config::settings::Server;
use twinkey_engines::{Finding, Severity};

/// The finding if the endpoint has a token, no TLS, and an address that other machines reach.
#[must_use]
pub fn plain_http(server: &Server) -> Option<Finding> {
    let exposed = server.needs_token() && server.tls.is_none() && !server.listen.ip().is_loopback();
    exposed.then(|| Finding {
        severity: Severity::Warning,
        code: None,
        what: format!(
            "the admin endpoint has no TLS: its tokens cross the network to {} in plain text",
            server.listen
        ),
        fix: Some(
            "set server.tls, or listen on loopback behind a proxy that terminates TLS".into(),
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::local;
    use twinkey_stores::listener::ServerTls;

    #[test]
    fn only_a_token_in_plain_text_beyond_loopback_is_reported() {
        let of = |server: &str| local(&format!("[server]\n{server}")).server;
        for (server, reported) in [
            ("listen = \"0.0.0.0:8321\"\nadmin_token = \"env:T\"", true),
            (
                "listen = \"10.0.0.1:8321\"\n[[token]]\nname = \"a\"\nrole = \"viewer\"\ntoken = \"env:T\"",
                true,
            ),
            (
                "listen = \"127.0.0.1:8321\"\nadmin_token = \"env:T\"",
                false,
            ),
            ("listen = \"[::1]:8321\"", false),
        ] {
            assert_eq!(plain_http(&of(server)).is_some(), reported, "{server}");
        }
        let mut encrypted = of("listen = \"0.0.0.0:8321\"\nadmin_token = \"env:T\"");
        encrypted.tls = Some(ServerTls {
            cert: "cert.pem".into(),
            key: "key.pem".into(),
        });
        assert!(plain_http(&encrypted).is_none());
    }
}
