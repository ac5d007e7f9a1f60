//! Client of a running worker's admin endpoint (`--server URL`).
//!
//! # Failure modes
//! - The token appears in a process list or shell history: it is read from a file or a variable, never from
//!   the command line.
//! - The address is not a worker's: a response that is not the contract's JSON is an error.
//! - The token reaches another host: redirects are not followed, and no proxy is used.

use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, Method, RequestBuilder, StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use twinkey_core::code::{Code, Diagnostic, Problem};
use twinkey_core::printable::escaped;
use twinkey_core::secret::Sensitive;
use twinkey_engines::tls::client_config;

use super::failure::Failure;

/// The variable of the token, if no file is named.
const TOKEN_VARIABLE: &str = "TWINKEY_TOKEN";
/// The endpoint's limit for a request, plus time for the network.
const TIME_LIMIT: Duration = Duration::from_secs(40);

/// The target of a command.
pub(super) enum Target<'a> {
    /// This process, with this config.
    Local(Option<&'a Path>),
    /// A running worker.
    Worker(RemoteWorker),
}

/// The admin endpoint of a worker.
pub(super) struct RemoteWorker {
    base: Url,
    token: Option<Sensitive>,
    client: Client,
}

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Use a running worker at this address instead of this process
    #[arg(long, global = true, value_name = "URL")]
    server: Option<String>,
    /// With --server: file with the worker's admin token; by default TWINKEY_TOKEN
    #[arg(long, global = true, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// With --server: PEM file with additional trusted roots
    #[arg(long, global = true, value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

impl Args {
    /// The worker, if one is named.
    pub(super) fn remote(&self) -> Result<Option<RemoteWorker>, Failure> {
        match &self.server {
            Some(server) => RemoteWorker::new(server, self).map(Some),
            None if self.token_file.is_some() || self.ca_file.is_some() => Err(Failure::usage(
                "--token-file and --ca-file require --server",
                "add --server URL",
            )),
            None => Ok(None),
        }
    }
}

impl RemoteWorker {
    fn new(server: &str, args: &Args) -> Result<Self, Failure> {
        let base = Url::parse(server)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .filter(|url| url.username().is_empty() && url.password().is_none())
            .ok_or_else(|| {
                Failure::usage(
                    "--server is not the address of a worker",
                    "give it as --server http://127.0.0.1:8321, without a user or a token",
                )
            })?;
        let token = match &args.token_file {
            Some(file) => Some(std::fs::read_to_string(file).map_err(|error| {
                Failure::usage(
                    format!("the token file {file:?} cannot be read: {error}"),
                    "give the path of the file with the worker's admin token",
                )
            })?),
            None => std::env::var(TOKEN_VARIABLE).ok(),
        };
        let tls = client_config(args.ca_file.as_deref())
            .map_err(|error| Failure::usage(error.to_string(), error.hint()))?;
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(Policy::none())
            .no_proxy()
            .timeout(TIME_LIMIT)
            .build()
            .map_err(|error| unreachable_at(&base, &error))?;
        Ok(Self {
            base,
            token: token.map(|token| SecretString::from(token.trim())),
            client,
        })
    }

    /// Sends a GET request to a path, given in segments.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, String)],
    ) -> Result<T, Failure> {
        let mut url = self.url(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.send(self.client.request(Method::GET, url)).await
    }

    /// Sends a POST request to a path, given in segments.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &[&str],
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        let request = self.client.request(Method::POST, self.url(path));
        self.send(request.json(body)).await
    }

    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push("v1").extend(path);
        }
        url
    }

    async fn send<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, Failure> {
        let request = match &self.token {
            Some(token) => request.bearer_auth(token.expose_secret()),
            None => request,
        };
        let response = request.send().await;
        let response = response.map_err(|error| unreachable_at(&self.base, &error))?;
        let status = response.status();
        let body = response.bytes().await;
        let body = body.map_err(|error| unreachable_at(&self.base, &error))?;
        if status.is_success() {
            serde_json::from_slice(&body).map_err(|_| self.not_a_worker(status))
        } else {
            Err(self.error(status, &body))
        }
    }

    fn error(&self, status: StatusCode, body: &[u8]) -> Failure {
        #[derive(Deserialize)]
        struct ErrorBody {
            code: Option<Code>,
            detail: String,
            hint: String,
        }
        let Ok(mut error) = serde_json::from_slice::<ErrorBody>(body) else {
            return self.not_a_worker(status);
        };
        for text in [&mut error.detail, &mut error.hint] {
            *text = escaped(text).into_owned();
        }
        match error.code {
            Some(code) => Failure::Problem(Problem {
                code,
                message: error.detail,
                hint: error.hint,
            }),
            None if status == StatusCode::UNAUTHORIZED => Failure::usage(
                error.detail,
                format!("set {TOKEN_VARIABLE}, or give a file with --token-file"),
            ),
            None if status.is_client_error() => Failure::usage(error.detail, error.hint),
            None => Failure::problem(Code::Internal, error.detail, error.hint),
        }
    }

    fn not_a_worker(&self, status: StatusCode) -> Failure {
        Failure::problem(
            Code::Internal,
            format!("{} responds {status}, but not as a worker", self.base),
            "give the address of the admin endpoint of a worker of this version",
        )
    }
}

/// The failure of an unreachable worker.
pub(super) fn unreachable_at(base: &Url, error: &reqwest::Error) -> Failure {
    // The innermost cause distinguishes a closed port from an untrusted certificate.
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    Failure::problem(
        Code::Internal,
        format!("the worker at {base} cannot be reached: {cause}"),
        "check that `twinkey serve` runs there, with server.listen and server.tls of its config; give a private root with --ca-file",
    )
}
