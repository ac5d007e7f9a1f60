//! A running worker, asked through its admin endpoint (`--server URL`).
//!
//! What can go wrong, and what prevents it:
//! - the token ends up in a list of processes or a shell's history: it comes from a file or a variable, never
//!   from the command line;
//! - an address that answers is no worker: what does not read as the contract's JSON is an error that says so;
//! - the worker sends the token on to elsewhere: redirects are not followed, and no proxy is asked.

use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, Method, RequestBuilder, StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use twinkey_core::code::{Code, Problem};
use twinkey_core::secret::Sensitive;
use twinkey_engines::tls::client_config;

use super::failure::Failure;

/// The variable that holds the token where no file is named.
const TOKEN: &str = "TWINKEY_TOKEN";
/// As long as the endpoint may take over a request, and the way there.
const TIME_LIMIT: Duration = Duration::from_secs(40);

/// Whom a command asks.
pub(super) enum Whom<'a> {
    /// This process does it, with this config.
    Here(Option<&'a Path>),
    /// A running worker does it.
    There(Remote),
}

/// A worker's endpoint.
pub(super) struct Remote {
    base: Url,
    token: Option<Sensitive>,
    client: Client,
}

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Ask a running worker at this address, instead of doing it here
    #[arg(long, global = true, value_name = "URL")]
    server: Option<String>,
    /// With --server: a file with the worker's admin token; else it is taken from TWINKEY_TOKEN
    #[arg(long, global = true, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// With --server: PEM file with roots that are trusted besides the system's
    #[arg(long, global = true, value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

impl Args {
    /// The worker, if one was named.
    pub(super) fn remote(&self) -> Result<Option<Remote>, Failure> {
        match &self.server {
            Some(server) => Remote::new(server, self).map(Some),
            None if self.token_file.is_some() || self.ca_file.is_some() => Err(Failure::usage(
                "--token-file and --ca-file say how to reach a worker, and none is named",
                "add --server URL",
            )),
            None => Ok(None),
        }
    }
}

impl Remote {
    fn new(server: &str, args: &Args) -> Result<Self, Failure> {
        let base = Url::parse(server)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .filter(|url| url.username().is_empty() && url.password().is_none())
            .ok_or_else(|| {
                Failure::usage(
                    "--server is not the address of a worker",
                    "give it like --server http://127.0.0.1:8321, without a user or a token in it",
                )
            })?;
        let token = match &args.token_file {
            Some(file) => Some(std::fs::read_to_string(file).map_err(|error| {
                Failure::usage(
                    format!("the token file {file:?} cannot be read: {error}"),
                    "name the file with the worker's admin token",
                )
            })?),
            None => std::env::var(TOKEN).ok(),
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

    /// Reads what is at a path, given in segments.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, String)],
    ) -> Result<T, Failure> {
        let mut url = self.url(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.answer(self.client.request(Method::GET, url)).await
    }

    /// Asks for something to be done.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &[&str],
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        let request = self.client.request(Method::POST, self.url(path));
        self.answer(request.json(body)).await
    }

    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push("v1").extend(path);
        }
        url
    }

    async fn answer<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, Failure> {
        let request = match &self.token {
            Some(token) => request.bearer_auth(token.expose_secret()),
            None => request,
        };
        let answer = request.send().await;
        let answer = answer.map_err(|error| unreachable_at(&self.base, &error))?;
        let status = answer.status();
        let body = answer.bytes().await;
        let body = body.map_err(|error| unreachable_at(&self.base, &error))?;
        if status.is_success() {
            serde_json::from_slice(&body).map_err(|_| self.no_worker(status))
        } else {
            Err(self.refused(status, &body))
        }
    }

    fn refused(&self, status: StatusCode, body: &[u8]) -> Failure {
        #[derive(Deserialize)]
        struct Told {
            code: Option<Code>,
            detail: String,
            hint: String,
        }
        let Ok(told) = serde_json::from_slice::<Told>(body) else {
            return self.no_worker(status);
        };
        match told.code {
            Some(code) => Failure::Problem(Problem {
                code,
                message: told.detail,
                hint: told.hint,
            }),
            None if status == StatusCode::UNAUTHORIZED => Failure::usage(
                told.detail,
                format!("set {TOKEN}, or name a file with --token-file"),
            ),
            None if status.is_client_error() => Failure::usage(told.detail, told.hint),
            None => Failure::problem(Code::Internal, told.detail, told.hint),
        }
    }

    fn no_worker(&self, status: StatusCode) -> Failure {
        Failure::problem(
            Code::Internal,
            format!("{} answers {status}, but not as a worker does", self.base),
            "name the address of the admin endpoint, of a worker of this version",
        )
    }
}

pub(super) fn unreachable_at(base: &Url, error: &reqwest::Error) -> Failure {
    // The innermost cause is what tells a closed port from a certificate that is not trusted.
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    Failure::problem(
        Code::Internal,
        format!("the worker at {base} cannot be reached: {cause}"),
        "is `twinkey serve` running there? see server.listen and server.tls in its config; --ca-file names a root of your own",
    )
}
