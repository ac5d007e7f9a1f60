//! Responses of the RDS API in XML, and what they say about master secrets. Pure.

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
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Database {
    /// `None` while it is being created.
    pub endpoint: Option<HostPort>,
    /// The ARN of its master secret, if RDS manages one.
    pub master_secret: Option<String>,
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
    endpoint: Option<Endpoint>,
    master_user_secret: Option<MasterUserSecret>,
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
        database(host, port, one.master_user_secret)
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
    let of_cluster = |one: Cluster| database(one.endpoint, one.port, one.master_user_secret);
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
        <VpcSecurityGroups><VpcSecurityGroupMembership><Status>active</Status></VpcSecurityGroupMembership></VpcSecurityGroups>
        <MasterUserSecret><SecretStatus>creating</SecretStatus><SecretArn>arn:c</SecretArn></MasterUserSecret>
      </DBInstance>
      <DBInstance>
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
    }

    #[test]
    fn a_master_belongs_to_the_writer_of_its_cluster() {
        let page = clusters(CLUSTERS).unwrap();
        assert_eq!(page.marker, None);
        let found = endpoint_of(&page.databases, "arn:w");
        assert_eq!(found, address("w.cluster-1.rds.amazonaws.com:5432"));
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
