//! Hook `kind = "ecs-redeploy"`: a forced deployment, whose new tasks start with the new secret.
//!
//! ECS injects a secret's value only at container start ("Pass Secrets Manager secrets through Amazon ECS
//! environment variables" in the ECS developer guide). `UpdateService` with `forceNewDeployment` starts new
//! tasks by the service's own rules.
//!
//! # Failure modes
//! - A call is throttled, or its response is lost: it is repeated until the hook's timeout. A second forced
//!   deployment replaces the first one, which is harmless.
//! - One of several services is refused: the others are redeployed nevertheless.

use std::time::Duration;

use aws_config::Region;
use reqwest::Client;
use reqwest::redirect::Policy;
use serde::Deserialize;
use serde_json::json;

use super::{HookError, HookFailure};
use crate::aws_request::{AwsRequest, RequestError};
use twinkey_core::aws::{Aws, arn};
use twinkey_core::backoff::Backoff;
use twinkey_core::printable::{NAME, printable};
use twinkey_core::telemetry::Clock;
use twinkey_engines::tls::client_config;

/// The time limit of one call, from the connection to the end of the response.
const TIME_LIMIT: Duration = Duration::from_secs(10);
/// The action, as ECS's JSON protocol 1.1 names it.
const TARGET: &str = "AmazonEC2ContainerServiceV20141113.UpdateService";
const CONTENT_TYPE: &str = "application/x-amz-json-1.1";

pub(super) struct Ecs {
    clock: Clock,
    cluster: String,
    services: Vec<String>,
    client: Client,
}

/// An error response.
#[derive(Deserialize)]
struct ErrorResponse {
    #[serde(rename = "__type")]
    kind: String,
}

impl Ecs {
    pub(super) fn new(clock: Clock, cluster: &str, services: &[String]) -> Result<Self, HookError> {
        let hook = || format!("ecs-redeploy {cluster}");
        let tls = client_config(None).map_err(|source| HookError::Roots {
            hook: hook(),
            source: Box::new(source),
        })?;
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(Policy::none())
            .timeout(TIME_LIMIT)
            .build();
        Ok(Self {
            clock,
            cluster: cluster.to_owned(),
            services: services.to_vec(),
            client: client.map_err(|source| HookError::Client {
                hook: hook(),
                source,
            })?,
        })
    }

    /// The cluster, by name or ARN.
    pub(super) fn cluster(&self) -> &str {
        &self.cluster
    }

    /// Redeploys each service, with retries; the caller applies the time limit.
    pub(super) async fn redeploy(&self, aws: &Aws) -> Result<(), HookFailure> {
        let mut pending: Vec<&String> = self.services.iter().collect();
        let mut failures = Vec::new();
        for attempt in 1.. {
            let mut retry = Vec::new();
            for service in pending {
                let Err(failed) = self.update(aws, service).await else {
                    continue;
                };
                let reason = &failed.reason;
                if failed.retryable {
                    tracing::warn!(cluster = %self.cluster, %service, attempt, %reason, "ecs redeploy failed, retrying");
                    retry.push(service);
                } else {
                    failures.push(format!("{service}: {reason}"));
                }
            }
            if retry.is_empty() {
                break;
            }
            pending = retry;
            tokio::time::sleep(Backoff::RUNS.jittered(attempt)).await;
        }
        if failures.is_empty() {
            return Ok(());
        }
        Err(HookFailure::Failed(failures.join("; ")))
    }

    async fn update(&self, aws: &Aws, service: &str) -> Result<(), RequestError> {
        let config = aws.config().await;
        let body = json!({
            "cluster": self.cluster, "service": service, "forceNewDeployment": true,
        });
        // The region of a cluster ARN comes first.
        let region = arn::region(&self.cluster).map(|region| Region::new(region.to_owned()));
        let request = AwsRequest {
            service: "ecs",
            region,
            headers: &[("content-type", CONTENT_TYPE), ("x-amz-target", TARGET)],
            body: body.to_string(),
        };
        let request = request.signed(&self.client, config, self.clock.now());
        let response = self
            .client
            .execute(request.await?)
            .await
            .map_err(|error| RequestError {
                reason: error.without_url().to_string(),
                retryable: true,
            })?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        // Only the error's name is used; its message may quote the request.
        let error: Option<ErrorResponse> = response.json().await.ok();
        let name = error.map(|error| error.kind).unwrap_or_default();
        let name = printable(name.rsplit('#').next().unwrap_or_default(), NAME);
        Err(RequestError {
            reason: format!("ECS responds {name} (HTTP status {status})"),
            retryable: status.is_server_error() || name.contains("Throttl"),
        })
    }
}
