//! Endpoints of the masters that RDS manages, as the RDS API reports them.
//!
//! A managed master secret holds only a user name and a password. `DescribeDBInstances` and
//! `DescribeDBClusters` report the secret of each instance and cluster, and so the host to which its
//! password belongs. Amazon DocumentDB's clusters are among them.
//!
//! # Failure modes
//! - A secret names another team's instance. Its identifier only selects what is described: the
//!   described instance must have this very master secret.
//! - Many runs ask at once. One listing answers for all masters, and is kept for [`KEPT_FOR`].
//! - An endpoint changes. An answer is used for at most [`KEPT_FOR`].

#[cfg(feature = "aws")]
mod client;
mod error;
#[cfg(feature = "aws")]
mod response;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::config::settings::HostPort;
#[cfg(feature = "aws")]
use crate::rds::client::{Query, RdsClient};
#[cfg(feature = "aws")]
use crate::rds::response::{Database, endpoint_of};
use twinkey_core::aws::Aws;
use twinkey_core::telemetry::Clock;

pub use error::RdsError;

/// The lifetime of an answer.
const KEPT_FOR: Duration = Duration::from_secs(300);

/// Endpoints by master secret. Cheap to clone; clones share the answers.
#[derive(Clone, Default)]
pub struct RdsEndpoints(Arc<Mutex<HashMap<String, Answer>>>);

struct Answer {
    endpoint: HostPort,
    since: Instant,
}

/// The database that a rotated secret names; it limits what is described, and permits nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct DatabaseIds<'a> {
    /// `dbInstanceIdentifier`
    pub instance: Option<&'a str>,
    /// `dbClusterIdentifier`
    pub cluster: Option<&'a str>,
}

impl RdsEndpoints {
    /// The endpoint of the instance or cluster whose master secret has this ARN.
    ///
    /// Failures are not kept. Concurrent callers wait for one request.
    ///
    /// # Errors
    /// [`RdsError`], if the endpoint is not among what the API reported.
    pub async fn endpoint(
        &self,
        aws: &Aws,
        clock: &Clock,
        master: &str,
        ids: DatabaseIds<'_>,
    ) -> Result<Option<HostPort>, RdsError> {
        let mut answers = self.0.lock().await;
        answers.retain(|_, answer| answer.since.elapsed() < KEPT_FOR);
        if let Some(answer) = answers.get(master) {
            return Ok(Some(answer.endpoint.clone()));
        }
        ask(aws, clock, master, ids, &mut answers).await
    }
}

/// Asks for the identifiers first, then lists instances and clusters until the master is found.
#[cfg(feature = "aws")]
async fn ask(
    aws: &Aws,
    clock: &Clock,
    master: &str,
    ids: DatabaseIds<'_>,
    answers: &mut HashMap<String, Answer>,
) -> Result<Option<HostPort>, RdsError> {
    let client = RdsClient::new(aws, clock)?;
    let by_id = [
        ids.instance.map(Query::Instance),
        ids.cluster.map(Query::Cluster),
    ];
    let lists = [Query::Instances, Query::Clusters];
    let mut failed = None;
    for query in by_id.into_iter().flatten().chain(lists) {
        let since = Instant::now();
        let databases = match client.describe(query).await {
            Ok(databases) => databases,
            Err(error) => {
                failed = Some(error);
                continue;
            }
        };
        let found = endpoint_of(&databases, master);
        for (secret, endpoint) in databases.into_iter().filter_map(Database::master_endpoint) {
            answers.insert(secret, Answer { endpoint, since });
        }
        if found.is_some() {
            return Ok(found);
        }
    }
    failed.map_or(Ok(None), Err)
}

/// The config refuses the AWS store before.
#[cfg(not(feature = "aws"))]
async fn ask(
    _aws: &Aws,
    _clock: &Clock,
    _master: &str,
    _ids: DatabaseIds<'_>,
    _answers: &mut HashMap<String, Answer>,
) -> Result<Option<HostPort>, RdsError> {
    Err(RdsError::permanent(
        "this build lacks the Cargo feature `aws`",
    ))
}
