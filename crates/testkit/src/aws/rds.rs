//! Stand-in of two calls of the RDS API, `DescribeDBInstances` and `DescribeDBClusters`, in the Query
//! protocol. It refuses parameters that the API does not have, and unsigned requests.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use reqwest::Url;

const VERSION: &str = "2014-10-31";
const NAMESPACE: &str = "http://rds.amazonaws.com/doc/2014-10-31/";
/// The limits of `MaxRecords`, of which the upper one is the default.
const PAGE: std::ops::RangeInclusive<usize> = 20..=100;

/// The databases of the account, by identifier.
#[derive(Default)]
pub struct Rds {
    instances: Mutex<BTreeMap<String, RdsDatabase>>,
    clusters: Mutex<BTreeMap<String, RdsDatabase>>,
}

/// An instance or a cluster.
#[derive(Debug, Clone)]
pub struct RdsDatabase {
    /// `None` while it is being created.
    pub endpoint: Option<(String, u16)>,
    /// Of a cluster: the host of its reader endpoint; `None`: `reader.` before that of its endpoint.
    pub reader: Option<String>,
    /// The ARN of the master secret that RDS manages.
    pub master_secret: Option<String>,
    /// Of an instance: the identifiers of its replicas. Of a cluster: its instances, the writer first.
    pub copies: Vec<String>,
}

impl Rds {
    pub fn add_instance(&self, identifier: &str, database: RdsDatabase) {
        self.instances
            .lock()
            .insert(identifier.to_owned(), database);
    }

    pub fn add_cluster(&self, identifier: &str, database: RdsDatabase) {
        self.clusters.lock().insert(identifier.to_owned(), database);
    }

    /// The action of a request body.
    pub(super) fn action(body: &[u8]) -> String {
        let parameters = parameters(body);
        parameters.get("Action").cloned().unwrap_or_default()
    }

    /// Handles a call and returns HTTP status and XML.
    pub(super) fn answer(
        &self,
        authorization: &str,
        content_type: &str,
        body: &[u8],
    ) -> (u16, String) {
        let answer = if !authorization.contains("/rds/aws4_request") {
            Err((
                403,
                "IncompleteSignature",
                "the request is not signed for rds".to_owned(),
            ))
        } else if !content_type.starts_with("application/x-www-form-urlencoded") {
            let why = format!("{content_type:?} is no form");
            Err((400, "MalformedQueryString", why))
        } else {
            self.dispatch(parameters(body))
        };
        match answer {
            Ok(xml) => (200, xml),
            Err((status, code, why)) => (status, error(code, &why)),
        }
    }

    fn dispatch(&self, mut asked: BTreeMap<String, String>) -> Result<String, Refusal> {
        let action = asked.remove("Action").unwrap_or_default();
        let (databases, identifier, missing) = match action.as_str() {
            "DescribeDBInstances" => (
                &self.instances,
                "DBInstanceIdentifier",
                "DBInstanceNotFound",
            ),
            "DescribeDBClusters" => (
                &self.clusters,
                "DBClusterIdentifier",
                "DBClusterNotFoundFault",
            ),
            _ => return Err((400, "InvalidAction", format!("no action {action:?}"))),
        };
        if asked.remove("Version").as_deref() != Some(VERSION) {
            return Err((
                400,
                "InvalidAction",
                format!("the version is not {VERSION}"),
            ));
        }
        let id = asked.remove(identifier);
        let size = match asked.remove("MaxRecords").map(|size| size.parse()) {
            None => *PAGE.end(),
            Some(Ok(size)) if PAGE.contains(&size) => size,
            Some(_) => return Err(invalid("MaxRecords must be from 20 to 100".into())),
        };
        let from = match asked.remove("Marker") {
            None => 0,
            Some(marker) => (marker.strip_prefix("+/="))
                .and_then(|from| from.parse().ok())
                .ok_or_else(|| invalid(format!("the marker {marker:?} is not valid")))?,
        };
        if let Some(name) = asked.keys().next() {
            return Err(invalid(format!("{action} has no parameter {name}")));
        }
        let all = databases.lock().clone();
        let selected: Vec<(String, RdsDatabase)> = match &id {
            // Identifiers are not case-sensitive.
            Some(id) => (all
                .into_iter()
                .filter(|(name, _)| name.eq_ignore_ascii_case(id)))
            .collect(),
            None => all.into_iter().collect(),
        };
        if let (Some(id), true) = (&id, selected.is_empty()) {
            return Err((404, missing, format!("{id} not found")));
        }
        let of_instances = action == "DescribeDBInstances";
        let page: String = (selected.iter().skip(from).take(size))
            .map(|(name, database)| database.xml(name, of_instances))
            .collect();
        let marker = if selected.len() > from + size {
            format!("<Marker>+/={}</Marker>", from + size)
        } else {
            String::new()
        };
        let list = if of_instances {
            "DBInstances"
        } else {
            "DBClusters"
        };
        Ok(format!(
            "<{action}Response xmlns=\"{NAMESPACE}\"><{action}Result>{marker}<{list}>{page}</{list}></{action}Result>\
             <ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></{action}Response>"
        ))
    }
}

impl RdsDatabase {
    fn xml(&self, name: &str, is_instance: bool) -> String {
        let secret = self.master_secret.as_ref().map(|arn| {
            format!(
                "<MasterUserSecret><SecretStatus>active</SecretStatus><SecretArn>{arn}</SecretArn></MasterUserSecret>"
            )
        });
        let secret = secret.unwrap_or_default();
        let endpoint = self.endpoint.as_ref().map(|(host, port)| {
            if is_instance {
                format!("<Endpoint><HostedZoneId>Z1</HostedZoneId><Address>{host}</Address><Port>{port}</Port></Endpoint>")
            } else {
                let default = format!("reader.{host}");
                let reader = self.reader.as_ref().unwrap_or(&default);
                format!("<Endpoint>{host}</Endpoint><ReaderEndpoint>{reader}</ReaderEndpoint><Port>{port}</Port>")
            }
        });
        let endpoint = endpoint.unwrap_or_default();
        let copies: String = (self.copies.iter().enumerate())
            .map(|(n, id)| {
                if is_instance {
                    format!("<ReadReplicaDBInstanceIdentifier>{id}</ReadReplicaDBInstanceIdentifier>")
                } else {
                    format!("<DBClusterMember><DBInstanceIdentifier>{id}</DBInstanceIdentifier><IsClusterWriter>{}</IsClusterWriter></DBClusterMember>", n == 0)
                }
            })
            .collect();
        let list = if is_instance {
            "ReadReplicaDBInstanceIdentifiers"
        } else {
            "DBClusterMembers"
        };
        let endpoint = format!("{endpoint}<{list}>{copies}</{list}>");
        let kind = if is_instance {
            "DBInstance"
        } else {
            "DBCluster"
        };
        format!(
            "<{kind}><{kind}Identifier>{name}</{kind}Identifier><VpcSecurityGroups><VpcSecurityGroupMembership>\
             <Status>active</Status></VpcSecurityGroupMembership></VpcSecurityGroups>{endpoint}{secret}</{kind}>"
        )
    }
}

type Refusal = (u16, &'static str, String);

fn invalid(why: String) -> Refusal {
    (400, "InvalidParameterValue", why)
}

pub(super) fn parameters(body: &[u8]) -> BTreeMap<String, String> {
    let body = String::from_utf8_lossy(body);
    let form = Url::parse(&format!("http://form/?{body}")).unwrap();
    let pairs = form.query_pairs();
    pairs
        .map(|(name, value)| (name.into(), value.into()))
        .collect()
}

/// An error in the Query protocol.
pub(super) fn error(code: &str, why: &str) -> String {
    format!(
        "<ErrorResponse xmlns=\"{NAMESPACE}\"><Error><Type>Sender</Type><Code>{code}</Code><Message>{why}</Message></Error>\
         <RequestId>1</RequestId></ErrorResponse>"
    )
}
