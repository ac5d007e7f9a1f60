//! `twinkey healthz`: a health check of the worker of this config, for containers.
//!
//! # Failure modes
//! - The image has neither curl nor a shell: the binary sends the request itself.
//! - The worker listens on the unspecified address: the request goes to loopback.
//! - The certificate is for another name, or was just renewed: it is not verified on the configured address,
//!   as in Kubernetes' probes. The request contains no secret, and only the liveness is used.
//! - The new config is not valid, and the worker refused it: only `[server]` is read here.
//! - The worker hangs: the check ends before the time limit of the container's check.
//! - Another program uses the port: a response that is not a worker's is an error.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode, Url};
use serde::Deserialize;

use crate::config::settings::Server;
use twinkey_core::code::{Code, Diagnostic};
use twinkey_engines::tls::client_config;

use crate::cli::failure::Failure;
use crate::cli::remote::unreachable_at;

/// Less than the five seconds of the image's HEALTHCHECK and of the ECS task.
const TIME_LIMIT: Duration = Duration::from_secs(4);

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// URL to check instead of the configured address; its certificate is verified
    #[arg(long, value_name = "URL")]
    url: Option<Url>,
}

pub(in crate::cli) async fn run(config: Option<&Path>, args: Args) -> Result<(), Failure> {
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
            (
                local_url(&server)?,
                client.tls_danger_accept_invalid_certs(true),
            )
        }
    };
    let client = client
        .build()
        .map_err(|error| unreachable_at(&url, &error))?;
    let response = client.get(url.clone()).send().await;
    let response = response.map_err(|error| unreachable_at(&url, &error))?;
    let status = response.status();
    let body = response
        .bytes()
        .await
        .map_err(|error| unreachable_at(&url, &error))?;
    anstream::println!("{}", parse_health(&url, status, &body)?);
    Ok(())
}

/// The local URL of the worker of this config.
fn local_url(server: &Server) -> Result<Url, Failure> {
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
            format!("{url} is not a URL: {error}"),
            "correct server.listen in the config",
        )
    })
}

/// The status in a response, or the reason why it is not healthy.
fn parse_health(url: &Url, status: StatusCode, body: &[u8]) -> Result<String, Failure> {
    #[derive(Deserialize)]
    struct Health {
        status: String,
        #[serde(default)]
        problems: Vec<String>,
    }
    let Ok(health) = serde_json::from_slice::<Health>(body) else {
        return Err(Failure::problem(
            Code::Internal,
            format!("{url} responds {status}, but not as a worker"),
            "check whether another program uses the port of server.listen",
        ));
    };
    if status.is_success() {
        return Ok(health.status);
    }
    let problems = health.problems.join("; ");
    Err(Failure::problem(
        Code::Internal,
        format!("{url} responds {status}: {} {problems}", health.status),
        "read the worker's log",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::settings::RotationSeries;
    use twinkey_stores::listener::ServerTls;

    #[test]
    fn an_unspecified_address_is_checked_on_loopback() {
        let tls = ServerTls {
            cert: "cert.pem".into(),
            key: "key.pem".into(),
        };
        for (listen, tls, url) in [
            ("127.0.0.1:8321", None, "http://127.0.0.1:8321/healthz"),
            ("0.0.0.0:8321", None, "http://127.0.0.1:8321/healthz"),
            ("[::]:8321", Some(tls), "https://[::1]:8321/healthz"),
            ("10.0.0.5:443", None, "http://10.0.0.5:443/healthz"),
        ] {
            let server = Server {
                listen: listen.parse().unwrap(),
                admin_token: None,
                tokens: Vec::new(),
                tls,
                metrics: RotationSeries::All,
            };
            assert_eq!(local_url(&server).unwrap().as_str(), url, "{listen}");
        }
    }

    #[test]
    fn only_a_successful_worker_response_is_healthy() {
        let url = Url::parse("http://127.0.0.1:8321/readyz").unwrap();
        let ok = br#"{"status":"ok"}"#;
        assert_eq!(parse_health(&url, StatusCode::OK, ok).unwrap(), "ok");
        assert!(parse_health(&url, StatusCode::SERVICE_UNAVAILABLE, ok).is_err());
        assert!(parse_health(&url, StatusCode::OK, b"<html>it works</html>").is_err());
    }
}
