//! Endpoints of the masters that RDS manages, and readers of databases, as the RDS API reports them.
//!
//! A managed master secret holds only a user name and a password. `DescribeDBInstances` and
//! `DescribeDBClusters` report the secret of each instance and cluster, and so the host to which its
//! password belongs. Amazon DocumentDB's clusters are among them.
//!
//! # Failure modes
//! - A secret names another team's instance. Its identifier only selects what is described: the
//!   described instance must have this very master secret.
//! - Many runs ask at once. One listing answers for all masters, and is kept for [`KEPT_FOR`].
//! - Many rotations with `readers = "rds"` ask at each try. One listing answers for all, and is kept for
//!   [`READERS_KEPT_FOR`]; a failure is kept for [`FAILURE_KEPT_FOR`].
//! - An endpoint changes. An answer is used for at most [`KEPT_FOR`].

#[cfg(feature = "aws")]
mod client;
mod error;
#[cfg(feature = "aws")]
mod replicas;
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
use crate::rds::replicas::Listing;
#[cfg(feature = "aws")]
use crate::rds::response::{Database, endpoint_of};
use twinkey_core::aws::Aws;
use twinkey_core::telemetry::Clock;

pub use error::RdsError;

/// The lifetime of an answer.
const KEPT_FOR: Duration = Duration::from_secs(300);

/// The lifetime of a listing for readers: a new replica counts that long after it has an endpoint.
#[cfg(feature = "aws")]
const READERS_KEPT_FOR: Duration = Duration::from_secs(60);
/// The time after a failure before the readers are listed again.
#[cfg(feature = "aws")]
const FAILURE_KEPT_FOR: Duration = Duration::from_secs(5);

/// The last listing, or why there is none, and its time.
#[cfg(feature = "aws")]
type KeptListing = (Instant, Result<Arc<Listing>, RdsError>);

/// Endpoints by master secret, and the last listing. Cheap to clone; clones share the answers.
#[derive(Clone, Default)]
pub struct RdsEndpoints {
    masters: Arc<Mutex<HashMap<String, Answer>>>,
    #[cfg(feature = "aws")]
    listing: Arc<Mutex<Option<KeptListing>>>,
}

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
        let mut answers = self.masters.lock().await;
        answers.retain(|_, answer| answer.since.elapsed() < KEPT_FOR);
        if let Some(answer) = answers.get(master) {
            return Ok(Some(answer.endpoint.clone()));
        }
        ask(aws, clock, master, ids, &mut answers).await
    }

    /// The readers of the database with these identifiers, or else one of these hosts: replicas of an
    /// instance, or readers of a cluster with its reader endpoint. `None`: no database has them.
    ///
    /// Concurrent callers wait for one listing.
    ///
    /// # Errors
    /// [`RdsError`]
    #[cfg(feature = "aws")]
    pub async fn readers(
        &self,
        aws: &Aws,
        clock: &Clock,
        ids: DatabaseIds<'_>,
        hosts: &[&str],
    ) -> Result<Option<Vec<HostPort>>, RdsError> {
        let mut kept = self.listing.lock().await;
        let is_valid = |(since, listing): &&KeptListing| {
            let limit = if listing.is_ok() {
                READERS_KEPT_FOR
            } else {
                FAILURE_KEPT_FOR
            };
            since.elapsed() < limit
        };
        let listing = match kept.as_ref().filter(is_valid) {
            Some((_, listing)) => listing.clone(),
            None => {
                let listing = list(aws, clock).await.map(Arc::new);
                *kept = Some((Instant::now(), listing.clone()));
                listing
            }
        };
        drop(kept);
        Ok(listing?.readers(ids, hosts))
    }

    /// The config refuses the AWS store before.
    ///
    /// # Errors
    /// Always.
    #[cfg(not(feature = "aws"))]
    pub async fn readers(
        &self,
        _aws: &Aws,
        _clock: &Clock,
        _ids: DatabaseIds<'_>,
        _hosts: &[&str],
    ) -> Result<Option<Vec<HostPort>>, RdsError> {
        Err(RdsError::permanent(
            "this build lacks the Cargo feature `aws`",
        ))
    }
}

/// All instances and clusters.
#[cfg(feature = "aws")]
async fn list(aws: &Aws, clock: &Clock) -> Result<Listing, RdsError> {
    let client = RdsClient::new(aws, clock)?;
    let (instances, clusters) = tokio::join!(
        client.describe(Query::Instances),
        client.describe(Query::Clusters),
    );
    Ok(Listing {
        instances: instances?,
        clusters: clusters?,
    })
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
