//! Responses of the RDS API in XML, and what they say about master secrets and replicas. Pure.

use serde::Deserialize;

use crate::config::settings::HostPort;

/// One page of `DescribeDBInstances` or `DescribeDBClusters`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page {
    pub databases: Vec<Database>,
    /// The start of the next page.
    pub marker: Option<String>,
}

/// An instance or a cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Database {
    pub identifier: String,
    pub replication: Replication,
    /// `None` while it is being created.
    pub endpoint: Option<HostPort>,
    /// The ARN of its master secret, if RDS manages one.
    pub master_secret: Option<String>,
}

/// What an instance or a cluster says about its copies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Replication {
    /// Of an instance: its cluster.
    pub cluster: Option<String>,
    /// Of a replica: its source.
    pub source: Option<String>,
    /// Identifiers of replicas; an ARN for one in another region.
    pub replicas: Vec<String>,
    /// Of a cluster: its instances, without the writer.
    pub readers: Vec<String>,
    /// Of a cluster: the host that stands for its readers.
    pub reader_host: Option<String>,
}

impl Database {
    /// The ARN of the master secret, and the endpoint to which its password belongs.
    pub(super) fn master_endpoint(self) -> Option<(String, HostPort)> {
        self.master_secret.zip(self.endpoint)
    }
}

/// The endpoint of the database whose master secret has this ARN.
pub(super) fn endpoint_of(databases: &[Database], master: &str) -> Option<HostPort> {
    let owns = |one: &&Database| one.master_secret.as_deref() == Some(master);
    databases
        .iter()
        .filter(owns)
        .find_map(|one| one.endpoint.clone())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct InstancesResponse {
    #[serde(rename = "DescribeDBInstancesResult")]
    result: InstancesResult,
}

#[derive(Deserialize)]
struct InstancesResult {
    #[serde(rename = "Marker")]
    marker: Option<String>,
    #[serde(rename = "DBInstances", default)]
    instances: Instances,
}

#[derive(Default, Deserialize)]
struct Instances {
    #[serde(rename = "DBInstance", default)]
    all: Vec<Instance>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Instance {
    #[serde(rename = "DBInstanceIdentifier", default)]
    identifier: String,
    #[serde(rename = "DBClusterIdentifier")]
    cluster: Option<String>,
    #[serde(rename = "ReadReplicaSourceDBInstanceIdentifier")]
    source: Option<String>,
    #[serde(rename = "ReadReplicaDBInstanceIdentifiers", default)]
    replicas: Replicas,
    endpoint: Option<Endpoint>,
    master_user_secret: Option<MasterUserSecret>,
}

#[derive(Default, Deserialize)]
struct Replicas {
    #[serde(rename = "ReadReplicaDBInstanceIdentifier", default)]
    all: Vec<String>,
}

#[derive(Default, Deserialize)]
struct Members {
    #[serde(rename = "DBClusterMember", default)]
    all: Vec<Member>,
}

#[derive(Deserialize)]
struct Member {
    #[serde(rename = "DBInstanceIdentifier", default)]
    identifier: String,
    #[serde(rename = "IsClusterWriter", default)]
    is_writer: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Endpoint {
    address: Option<String>,
    port: Option<u16>,
}

#[derive(Deserialize)]
struct ClustersResponse {
    #[serde(rename = "DescribeDBClustersResult")]
    result: ClustersResult,
}

#[derive(Deserialize)]
struct ClustersResult {
    #[serde(rename = "Marker")]
    marker: Option<String>,
    #[serde(rename = "DBClusters", default)]
    clusters: Clusters,
}

#[derive(Default, Deserialize)]
struct Clusters {
    #[serde(rename = "DBCluster", default)]
    all: Vec<Cluster>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Cluster {
    #[serde(rename = "DBClusterIdentifier", default)]
    identifier: String,
    #[serde(rename = "DBClusterMembers", default)]
    members: Members,
    reader_endpoint: Option<String>,
    /// The writer's host.
    endpoint: Option<String>,
    port: Option<u16>,
    master_user_secret: Option<MasterUserSecret>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct MasterUserSecret {
    secret_arn: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ErrorResponse {
    error: ErrorBody,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ErrorBody {
    code: String,
}

fn database(host: Option<String>, port: Option<u16>, secret: Option<MasterUserSecret>) -> Database {
    let host = host.filter(|host| !host.is_empty());
    Database {
        endpoint: host.map(|host| HostPort { host, port }),
        master_secret: secret.and_then(|secret| secret.secret_arn),
        ..Database::default()
    }
}

/// A page of `DescribeDBInstances`.
///
/// # Errors
/// A description of what is not understood.
pub(super) fn instances(xml: &str) -> Result<Page, String> {
    let response: InstancesResponse = parse(xml)?;
    let InstancesResult { marker, instances } = response.result;
    let of_instance = |one: Instance| {
        let (host, port) = one
            .endpoint
            .map_or((None, None), |at| (at.address, at.port));
        Database {
            identifier: one.identifier,
            replication: Replication {
                cluster: one.cluster.filter(|id| !id.is_empty()),
                source: one.source.filter(|id| !id.is_empty()),
                replicas: one.replicas.all,
                ..Replication::default()
            },
            ..database(host, port, one.master_user_secret)
        }
    };
    Ok(Page {
        databases: instances.all.into_iter().map(of_instance).collect(),
        marker: marker.filter(|marker| !marker.is_empty()),
    })
}

/// A page of `DescribeDBClusters`.
///
/// # Errors
/// A description of what is not understood.
pub(super) fn clusters(xml: &str) -> Result<Page, String> {
    let response: ClustersResponse = parse(xml)?;
    let ClustersResult { marker, clusters } = response.result;
    let of_cluster = |one: Cluster| {
        let members = one.members.all.into_iter();
        let readers = members.filter(|member| !member.is_writer);
        Database {
            identifier: one.identifier,
            replication: Replication {
                readers: readers.map(|member| member.identifier).collect(),
                reader_host: one.reader_endpoint.filter(|host| !host.is_empty()),
                ..Replication::default()
            },
            ..database(one.endpoint, one.port, one.master_user_secret)
        }
    };
    Ok(Page {
        databases: clusters.all.into_iter().map(of_cluster).collect(),
        marker: marker.filter(|marker| !marker.is_empty()),
    })
}

/// The code of an error response, such as `AccessDenied`.
pub(super) fn error_code(xml: &str) -> Option<String> {
    let response: ErrorResponse = parse(xml).ok()?;
    Some(response.error.code)
}

fn parse<'de, T: Deserialize<'de>>(xml: &'de str) -> Result<T, String> {
    quick_xml::de::from_str(xml).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Abridged from "DescribeDBInstances" in the Amazon RDS API reference.
    const INSTANCES: &str = r#"<DescribeDBInstancesResponse xmlns="http://rds.amazonaws.com/doc/2014-10-31/">
  <DescribeDBInstancesResult>
    <Marker>next</Marker>
    <DBInstances>
      <DBInstance>
        <DBInstanceIdentifier>creating</DBInstanceIdentifier>
        <ReadReplicaSourceDBInstanceIdentifier>a</ReadReplicaSourceDBInstanceIdentifier>
        <VpcSecurityGroups><VpcSecurityGroupMembership><Status>active</Status></VpcSecurityGroupMembership></VpcSecurityGroups>
        <MasterUserSecret><SecretStatus>creating</SecretStatus><SecretArn>arn:c</SecretArn></MasterUserSecret>
      </DBInstance>
      <DBInstance>
        <DBInstanceIdentifier>a</DBInstanceIdentifier>
        <ReadReplicaDBInstanceIdentifiers><ReadReplicaDBInstanceIdentifier>creating</ReadReplicaDBInstanceIdentifier></ReadReplicaDBInstanceIdentifiers>
        <Endpoint><HostedZoneId>Z1</HostedZoneId><Address>a.rds.amazonaws.com</Address><Port>5433</Port></Endpoint>
        <MasterUserSecret>
          <SecretStatus>active</SecretStatus><KmsKeyId>k</KmsKeyId><SecretArn>arn:a</SecretArn>
        </MasterUserSecret>
      </DBInstance>
      <DBInstance>
        <Endpoint><Address>b.rds.amazonaws.com</Address><Port>3306</Port></Endpoint>
      </DBInstance>
    </DBInstances>
  </DescribeDBInstancesResult>
  <ResponseMetadata><RequestId>1</RequestId></ResponseMetadata>
</DescribeDBInstancesResponse>"#;

    /// Abridged from "DescribeDBClusters" in the Amazon RDS API reference.
    const CLUSTERS: &str = r#"<DescribeDBClustersResponse xmlns="http://rds.amazonaws.com/doc/2014-10-31/">
  <DescribeDBClustersResult>
    <DBClusters>
      <DBCluster>
        <Port>5432</Port><Endpoint>w.cluster-1.rds.amazonaws.com</Endpoint>
        <ReaderEndpoint>w.cluster-ro-1.rds.amazonaws.com</ReaderEndpoint>
        <DBClusterMembers>
          <DBClusterMember><DBInstanceIdentifier>w-1</DBInstanceIdentifier><IsClusterWriter>true</IsClusterWriter><PromotionTier>1</PromotionTier></DBClusterMember>
          <DBClusterMember><DBInstanceIdentifier>w-2</DBInstanceIdentifier><IsClusterWriter>false</IsClusterWriter></DBClusterMember>
        </DBClusterMembers>
        <MasterUserSecret><SecretArn>arn:w</SecretArn></MasterUserSecret>
      </DBCluster>
    </DBClusters>
  </DescribeDBClustersResult>
</DescribeDBClustersResponse>"#;

    fn address(text: &str) -> Option<HostPort> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn a_master_belongs_to_the_instance_that_has_its_secret() {
        let page = instances(INSTANCES).unwrap();
        assert_eq!(page.marker.as_deref(), Some("next"));
        let of = |master| endpoint_of(&page.databases, master);
        assert_eq!(of("arn:a"), address("a.rds.amazonaws.com:5433"));
        assert_eq!(of("arn:c"), None, "it has no endpoint yet");
        assert_eq!(of("arn:b"), None);
        assert_eq!(of(""), None, "an instance without a managed master");
        let replication = |n: usize| &page.databases[n].replication;
        assert_eq!(replication(0).source.as_deref(), Some("a"));
        assert_eq!(replication(1).replicas, ["creating"]);
    }

    #[test]
    fn a_master_belongs_to_the_writer_of_its_cluster() {
        let page = clusters(CLUSTERS).unwrap();
        assert_eq!(page.marker, None);
        let found = endpoint_of(&page.databases, "arn:w");
        assert_eq!(found, address("w.cluster-1.rds.amazonaws.com:5432"));
        let replication = &page.databases[0].replication;
        assert_eq!(replication.readers, ["w-2"]);
        let host = replication.reader_host.as_deref();
        assert_eq!(host, Some("w.cluster-ro-1.rds.amazonaws.com"));
    }

    #[test]
    fn empty_lists_and_errors_are_read() {
        let empty = "<DescribeDBInstancesResponse><DescribeDBInstancesResult><DBInstances/>\
            </DescribeDBInstancesResult></DescribeDBInstancesResponse>";
        assert_eq!(instances(empty).unwrap().databases, []);
        let denied = "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code>\
            <Message>User is not authorized</Message></Error></ErrorResponse>";
        assert_eq!(error_code(denied).as_deref(), Some("AccessDenied"));
        assert_eq!(error_code("<html>"), None);
        assert!(instances("<html></html>").is_err());
    }
}
