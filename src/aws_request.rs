//! Requests to AWS APIs without an SDK client, signed with Signature Version 4 and the worker's
//! credentials.

use aws_config::{Region, SdkConfig};
use aws_sdk_secretsmanager::config::ProvideCredentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use chrono::{DateTime, Utc};
use reqwest::{Client, Request};

use twinkey_core::aws::arn;

/// A POST request to the endpoint of a service.
#[derive(Debug, Clone)]
pub(crate) struct AwsRequest<'a> {
    /// The name of the service in its host name and its signatures.
    pub service: &'static str,
    /// `None` for the worker's own region.
    pub region: Option<Region>,
    pub headers: &'a [(&'static str, &'static str)],
    pub body: String,
}

/// Why a request cannot be signed, or was not answered with success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RequestError {
    pub reason: String,
    /// Whether another attempt can succeed without a change by a person.
    pub retryable: bool,
}

impl RequestError {
    fn permanent(reason: impl std::fmt::Display) -> Self {
        Self {
            reason: reason.to_string(),
            retryable: false,
        }
    }
}

impl AwsRequest<'_> {
    /// The signed request.
    ///
    /// # Errors
    /// [`RequestError`] without a region or credentials.
    pub(crate) async fn signed(
        self,
        client: &Client,
        config: &SdkConfig,
        now: DateTime<Utc>,
    ) -> Result<Request, RequestError> {
        let region = self.region.or_else(|| config.region().cloned());
        let region = region.ok_or_else(|| {
            RequestError::permanent("no region is set (secrets.region, or AWS_REGION)")
        })?;
        let provider = config
            .credentials_provider()
            .ok_or_else(|| RequestError::permanent("the worker has no AWS credentials"))?;
        let credentials = provider.provide_credentials().await;
        let credentials = credentials.map_err(|_| RequestError {
            reason: "the AWS credentials of the worker cannot be loaded".into(),
            retryable: true,
        })?;
        let url = config.endpoint_url().map_or_else(
            || {
                let suffix = arn::dns_suffix(region.as_ref());
                format!("https://{}.{region}.{suffix}/", self.service)
            },
            str::to_owned,
        );
        let identity = credentials.into();
        let params = SigningParams::builder()
            .identity(&identity)
            .region(region.as_ref())
            .name(self.service)
            .time(now.into())
            .settings(SigningSettings::default())
            .build()
            .map_err(RequestError::permanent)?
            .into();
        let bytes = SignableBody::Bytes(self.body.as_bytes());
        let headers = self.headers.iter().copied();
        let signable = SignableRequest::new("POST", &url, headers, bytes);
        let signed = sign(signable.map_err(RequestError::permanent)?, &params);
        let (instructions, _) = signed.map_err(RequestError::permanent)?.into_parts();
        let mut request = client.post(&url);
        for (name, value) in self.headers.iter().copied().chain(instructions.headers()) {
            request = request.header(name, value);
        }
        request
            .body(self.body)
            .build()
            .map_err(|error| RequestError::permanent(error.without_url()))
    }
}
