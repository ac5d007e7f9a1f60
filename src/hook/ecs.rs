//! `kind = "ecs-redeploy"`: the tasks of a service are replaced, and the new ones are given the new secret.
//!
//! ECS injects a secret's value into a container when it starts, and never again ("Pass Secrets Manager secrets
//! through Amazon ECS environment variables" in the ECS developer guide). `UpdateService` with
//! `forceNewDeployment` starts new tasks by the service's own rules.
//!
//! What can go wrong, and what prevents it:
//! - a call is throttled or its answer lost: it is made again until the hook's time is over. A second forced
//!   deployment replaces the first one, and harms nobody;
//! - one of several services is refused: the others are redeployed all the same.

use std::time::Duration;

use aws_config::{Region, SdkConfig};
use aws_sdk_sns::config::ProvideCredentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use reqwest::Client;
use reqwest::redirect::Policy;
use serde::Deserialize;
use serde_json::json;

use super::{HookError, Undone};
use crate::worker::backoff::Backoff;
use twinkey_core::aws::{Aws, arn};
use twinkey_core::telemetry::Clock;
use twinkey_engines::tls::client_config;

/// For one call, from the connection to the end of the answer.
const TIME_LIMIT: Duration = Duration::from_secs(10);
/// ECS's JSON protocol, version 1.1: the action.
const TARGET: &str = "AmazonEC2ContainerServiceV20141113.UpdateService";
const CONTENT_TYPE: &str = "application/x-amz-json-1.1";

pub(super) struct Ecs {
    aws: Aws,
    clock: Clock,
    cluster: String,
    services: Vec<String>,
    client: Client,
}

/// An answer that is an error.
#[derive(Deserialize)]
struct Refusal {
    #[serde(rename = "__type")]
    kind: String,
}

/// Why a call did not succeed.
struct Refused {
    why: String,
    /// Another call may.
    again: bool,
}

impl Refused {
    fn for_good(why: impl std::fmt::Display) -> Self {
        Self {
            why: why.to_string(),
            again: false,
        }
    }
}

impl Ecs {
    pub(super) fn new(
        aws: Aws,
        clock: Clock,
        cluster: &str,
        services: &[String],
    ) -> Result<Self, HookError> {
        let hook = || format!("ecs-redeploy {cluster}");
        let tls = client_config(None).map_err(|source| HookError::Roots {
            hook: hook(),
            source,
        })?;
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(Policy::none())
            .timeout(TIME_LIMIT)
            .build();
        Ok(Self {
            aws,
            clock,
            cluster: cluster.to_owned(),
            services: services.to_vec(),
            client: client.map_err(|source| HookError::Client {
                hook: hook(),
                source,
            })?,
        })
    }

    /// Each service. Goes on until all are done or refused for good; the caller has the time limit.
    pub(super) async fn redeploy(&self) -> Result<(), Undone> {
        let mut left: Vec<&String> = self.services.iter().collect();
        let mut refused = Vec::new();
        for attempt in 1.. {
            let mut again = Vec::new();
            for service in left {
                let Err(failed) = self.update(service).await else {
                    continue;
                };
                let why = &failed.why;
                if failed.again {
                    tracing::warn!(cluster = %self.cluster, %service, attempt, %why, "a service was not redeployed yet");
                    again.push(service);
                } else {
                    refused.push(format!("{service}: {why}"));
                }
            }
            if again.is_empty() {
                break;
            }
            left = again;
            tokio::time::sleep(Backoff::RUNS.jittered(attempt)).await;
        }
        if refused.is_empty() {
            return Ok(());
        }
        Err(Undone::Failed(refused.join("; ")))
    }

    async fn update(&self, service: &str) -> Result<(), Refused> {
        let config = self.aws.config().await;
        let body = json!({
            "cluster": self.cluster, "service": service, "forceNewDeployment": true,
        });
        let request = self.signed(config, body.to_string()).await?;
        let answer = self
            .client
            .execute(request)
            .await
            .map_err(|error| Refused {
                why: error.without_url().to_string(),
                again: true,
            })?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        // Of an error only its name is used.
        let refusal: Option<Refusal> = answer.json().await.ok();
        let name = refusal.map(|refusal| refusal.kind).unwrap_or_default();
        let name = name.rsplit('#').next().unwrap_or_default();
        Err(Refused {
            why: format!("ECS answers {name} (HTTP status {status})"),
            again: status.is_server_error() || name.contains("Throttl"),
        })
    }

    /// Signed as AWS documents it (Signature Version 4), with the worker's own credentials.
    async fn signed(&self, config: &SdkConfig, body: String) -> Result<reqwest::Request, Refused> {
        // An ARN says where the cluster is.
        let region = arn::region(&self.cluster).map(|region| Region::new(region.to_owned()));
        let region = region.or_else(|| config.region().cloned());
        let region = region
            .ok_or_else(|| Refused::for_good("no region is set (secrets.region, or AWS_REGION)"))?;
        let provider = config
            .credentials_provider()
            .ok_or_else(|| Refused::for_good("the worker has no credentials for AWS"))?;
        let credentials = provider.provide_credentials().await;
        let credentials = credentials.map_err(|_| Refused {
            why: "the worker got no credentials for AWS".into(),
            again: true,
        })?;
        let url = config.endpoint_url().map_or_else(
            || format!("https://ecs.{region}.{}/", arn::dns_suffix(region.as_ref())),
            str::to_owned,
        );
        let headers = [("content-type", CONTENT_TYPE), ("x-amz-target", TARGET)];
        let mut request = self.client.post(&url);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let identity = credentials.into();
        let params = SigningParams::builder()
            .identity(&identity)
            .region(region.as_ref())
            .name("ecs")
            .time(self.clock.now().into())
            .settings(SigningSettings::default())
            .build()
            .map_err(Refused::for_good)?
            .into();
        let bytes = SignableBody::Bytes(body.as_bytes());
        let signable = SignableRequest::new("POST", &url, headers.into_iter(), bytes);
        let signed = sign(signable.map_err(Refused::for_good)?, &params);
        let (instructions, _) = signed.map_err(Refused::for_good)?.into_parts();
        for (name, value) in instructions.headers() {
            request = request.header(name, value);
        }
        request
            .body(body)
            .build()
            .map_err(|error| Refused::for_good(error.without_url()))
    }
}
