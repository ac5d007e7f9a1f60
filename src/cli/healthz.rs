//! `twinkey healthz`: whether the worker of this config answers, for the health checks of containers.
//!
//! What can go wrong, and what prevents it:
//! - the image has neither curl nor a shell: the binary asks by itself;
//! - the worker listens on every address, to which nobody can connect: loopback is asked instead;
//! - a healthy worker is ended over its certificate, which is for the name that others use, or was just renewed and
//!   not yet taken up: on the worker's own address it is not asked whose the certificate is, as Kubernetes' probes do
//!   not either. Nothing secret is sent there, and nothing is believed but "alive";
//! - a healthy worker is ended over a bad new config, which it has refused: of the config, only `[server]` counts here;
//! - the check hangs with the worker: it gives up before a container's time limit does;
//! - another program has the port: what does not answer as a worker does is an error.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode, Url};
use serde::Deserialize;

use crate::config::settings::Server;
use twinkey_core::code::Code;
use twinkey_engines::tls::client_config;

use super::failure::Failure;
use super::remote::unreachable_at;

/// Less than the five seconds that the image's HEALTHCHECK and the ECS task give it.
const TIME_LIMIT: Duration = Duration::from_secs(4);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Ask at this address instead of the configured one; its certificate is verified
    #[arg(long, value_name = "URL")]
    url: Option<Url>,
}

pub(super) async fn run(config: Option<&Path>, args: Args) -> Result<(), Failure> {
    let client = Client::builder()
        .redirect(Policy::none())
        .no_proxy()
        .timeout(TIME_LIMIT);
    let (url, client) = match args.url {
        Some(url) => {
            let tls = client_config(None)
                .map_err(|error| Failure::usage(error.to_string(), error.hint()))?;
            (url, client.tls_backend_preconfigured(tls))
        }
        None => {
            let environment = crate::config::process_environment()?;
            let server = crate::config::load_server(config, &environment)?;
            (own(&server)?, client.tls_danger_accept_invalid_certs(true))
        }
    };
    let client = client
        .build()
        .map_err(|error| unreachable_at(&url, &error))?;
    let answer = client.get(url.clone()).send().await;
    let answer = answer.map_err(|error| unreachable_at(&url, &error))?;
    let status = answer.status();
    let body = answer
        .bytes()
        .await
        .map_err(|error| unreachable_at(&url, &error))?;
    anstream::println!("{}", judge(&url, status, &body)?);
    Ok(())
}

/// Where the worker of this config answers on this machine.
fn own(server: &Server) -> Result<Url, Failure> {
    let mut address = server.listen;
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    let scheme = if server.tls.is_some() {
        "https"
    } else {
        "http"
    };
    let url = format!("{scheme}://{address}/healthz");
    Url::parse(&url).map_err(|error| {
        Failure::usage(
            format!("nobody can ask at {url}: {error}"),
            "see server.listen in the config",
        )
    })
}

/// What the answer says: the worker's word, or why it is none.
fn judge(url: &Url, status: StatusCode, body: &[u8]) -> Result<String, Failure> {
    #[derive(Deserialize)]
    struct Health {
        status: String,
        #[serde(default)]
        problems: Vec<String>,
    }
    let Ok(health) = serde_json::from_slice::<Health>(body) else {
        return Err(Failure::problem(
            Code::Internal,
            format!("{url} answers {status}, but not as a worker does"),
            "another program may have the port; see server.listen in the config",
        ));
    };
    if status.is_success() {
        return Ok(health.status);
    }
    let problems = health.problems.join("; ");
    Err(Failure::problem(
        Code::Internal,
        format!("{url} answers {status}: {} {problems}", health.status),
        "the worker's log says more",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use twinkey_stores::listener::ServerTls;

    #[test]
    fn a_worker_that_listens_everywhere_is_asked_on_loopback_and_any_other_where_it_listens() {
        let tls = ServerTls {
            cert: "cert.pem".into(),
            key: "key.pem".into(),
        };
        for (listen, tls, asked) in [
            ("127.0.0.1:8321", None, "http://127.0.0.1:8321/healthz"),
            ("0.0.0.0:8321", None, "http://127.0.0.1:8321/healthz"),
            ("[::]:8321", Some(tls), "https://[::1]:8321/healthz"),
            ("10.0.0.5:443", None, "http://10.0.0.5:443/healthz"),
        ] {
            let server = Server {
                listen: listen.parse().unwrap(),
                admin_token: None,
                tls,
            };
            assert_eq!(own(&server).unwrap().as_str(), asked, "{listen}");
        }
    }

    #[test]
    fn only_a_worker_that_says_it_is_well_is_well() {
        let url = Url::parse("http://127.0.0.1:8321/readyz").unwrap();
        let ok = br#"{"status":"ok"}"#;
        assert_eq!(judge(&url, StatusCode::OK, ok).unwrap(), "ok");
        assert!(judge(&url, StatusCode::SERVICE_UNAVAILABLE, ok).is_err());
        assert!(judge(&url, StatusCode::OK, b"<html>it works</html>").is_err());
    }
}
