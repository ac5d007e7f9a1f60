//! Client of the two calls of the RDS API, in its Query protocol.
//!
//! # Failure modes
//! - A call is throttled or its response is lost. It is read-only, and is repeated
//!   [`ATTEMPTS`] times.
//! - Pages repeat without end. At most [`MAX_PAGES`] are read.

use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Client;
use reqwest::redirect::Policy;

use crate::aws_request::AwsRequest;
use crate::rds::RdsError;
use crate::rds::response::{self, Database, Page};
use twinkey_core::aws::Aws;
use twinkey_core::backoff::Backoff;
use twinkey_core::telemetry::Clock;
use twinkey_engines::tls::client_config;

/// The time limit of one call, from the connection to the end of the response.
const TIME_LIMIT: Duration = Duration::from_secs(10);
const ATTEMPTS: u32 = 3;
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(2));
/// 100 databases each, which is the API's limit.
const MAX_PAGES: usize = 100;
const PAGE_SIZE: &str = "100";
const VERSION: &str = "2014-10-31";
const CONTENT_TYPE: &str = "application/x-www-form-urlencoded; charset=utf-8";
/// As the SDK's clients do, so that CloudTrail shows whose call it is.
const USER_AGENT: &str = concat!("twinkey/", env!("CARGO_PKG_VERSION"), " app/twinkey");
/// The unreserved characters of RFC 3986.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// What is described.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Query<'a> {
    /// One instance, by its identifier.
    Instance(&'a str),
    /// One cluster, by its identifier.
    Cluster(&'a str),
    /// All instances of the account and region.
    Instances,
    /// All clusters of the account and region.
    Clusters,
}

impl Query<'_> {
    const fn action(self) -> &'static str {
        match self {
            Self::Instance(_) | Self::Instances => "DescribeDBInstances",
            Self::Cluster(_) | Self::Clusters => "DescribeDBClusters",
        }
    }

    /// The body of a request for the page that `marker` begins.
    fn body(self, marker: Option<&str>) -> String {
        let identifier = match self {
            Self::Instance(id) => Some(("DBInstanceIdentifier", id)),
            Self::Cluster(id) => Some(("DBClusterIdentifier", id)),
            Self::Instances | Self::Clusters => None,
        };
        let size = identifier.is_none().then_some(("MaxRecords", PAGE_SIZE));
        let fields = [
            Some(("Action", self.action())),
            Some(("Version", VERSION)),
            identifier,
            size,
            marker.map(|marker| ("Marker", marker)),
        ];
        let encoded = fields
            .into_iter()
            .flatten()
            .map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, UNRESERVED)));
        encoded.collect::<Vec<_>>().join("&")
    }

    fn parse(self, xml: &str) -> Result<Page, RdsError> {
        let page = match self {
            Self::Instance(_) | Self::Instances => response::instances(xml),
            Self::Cluster(_) | Self::Clusters => response::clusters(xml),
        };
        page.map_err(|error| {
            RdsError::permanent(format_args!(
                "the response to {} is not understood: {error}",
                self.action()
            ))
        })
    }

    /// Whether an error says that the identifier names nothing here.
    fn is_missing(self, code: &str) -> bool {
        matches!(
            (self, code),
            (
                Self::Instance(_),
                "DBInstanceNotFound" | "InvalidParameterValue"
            ) | (
                Self::Cluster(_),
                "DBClusterNotFoundFault" | "InvalidParameterValue"
            )
        )
    }
}

pub(super) struct RdsClient<'a> {
    aws: &'a Aws,
    clock: &'a Clock,
    client: Client,
}

impl<'a> RdsClient<'a> {
    /// # Errors
    /// [`RdsError`] if the TLS roots cannot be read.
    pub(super) fn new(aws: &'a Aws, clock: &'a Clock) -> Result<Self, RdsError> {
        let tls = client_config(None).map_err(RdsError::permanent)?;
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(Policy::none())
            .user_agent(USER_AGENT)
            .timeout(TIME_LIMIT)
            .build()
            .map_err(RdsError::permanent)?;
        Ok(Self { aws, clock, client })
    }

    /// The databases of a query, all pages.
    ///
    /// # Errors
    /// [`RdsError`]
    pub(super) async fn describe(&self, query: Query<'_>) -> Result<Vec<Database>, RdsError> {
        let mut databases = Vec::new();
        let mut marker = None;
        for _ in 0..MAX_PAGES {
            let body = query.body(marker.as_deref());
            let Some(page) = self.page_with_retries(query, &body).await? else {
                break;
            };
            databases.extend(page.databases);
            marker = page.marker;
            if marker.is_none() {
                break;
            }
        }
        Ok(databases)
    }

    async fn page_with_retries(
        &self,
        query: Query<'_>,
        body: &str,
    ) -> Result<Option<Page>, RdsError> {
        let mut attempt = 1;
        loop {
            match self.page(query, body).await {
                Err(error) if error.retryable && attempt < ATTEMPTS => {
                    tokio::time::sleep(BACKOFF.jittered(attempt)).await;
                    attempt += 1;
                }
                result => return result,
            }
        }
    }

    /// One page; `None` if the identifier names nothing.
    async fn page(&self, query: Query<'_>, body: &str) -> Result<Option<Page>, RdsError> {
        let request = AwsRequest {
            service: "rds",
            region: None,
            headers: &[("content-type", CONTENT_TYPE)],
            body: body.to_owned(),
        };
        let config = self.aws.config().await;
        let request = request.signed(&self.client, config, self.clock.now());
        let request = request.await?;
        let unreachable = |error: reqwest::Error| {
            let error = error.without_url();
            RdsError::temporary(format_args!("the RDS API cannot be reached: {error}"))
        };
        let response = self.client.execute(request).await.map_err(unreachable)?;
        let status = response.status();
        let text = response.text().await.map_err(unreachable)?;
        if status.is_success() {
            return query.parse(&text).map(Some);
        }
        // Only the error's code is used; its message may quote the request.
        let code = response::error_code(&text).unwrap_or_else(|| "no error code".into());
        if query.is_missing(&code) {
            return Ok(None);
        }
        Err(RdsError {
            reason: format!("{} responds {code} (HTTP status {status})", query.action()),
            retryable: status.is_server_error() || code.contains("Throttl"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_has_the_parameters_of_its_call() {
        for (query, marker, body) in [
            (
                Query::Instance("a b&c"),
                None,
                "Action=DescribeDBInstances&Version=2014-10-31&DBInstanceIdentifier=a%20b%26c",
            ),
            (
                Query::Cluster("c-1"),
                None,
                "Action=DescribeDBClusters&Version=2014-10-31&DBClusterIdentifier=c-1",
            ),
            (
                Query::Instances,
                None,
                "Action=DescribeDBInstances&Version=2014-10-31&MaxRecords=100",
            ),
            (
                Query::Clusters,
                Some("x=/+"),
                "Action=DescribeDBClusters&Version=2014-10-31&MaxRecords=100&Marker=x%3D%2F%2B",
            ),
        ] {
            assert_eq!(query.body(marker), body);
        }
    }
}
