//! An evaluator of IAM policies with Allow, named actions and resources with `*` and `?` ("IAM JSON
//! policy elements: Resource" in the IAM user guide), and the permissions that each call needs.

use serde_json::Value as Json;

use twinkey_testkit::aws::recorder::RecordedCall;
use twinkey_testkit::aws::redshift::{CLUSTER, WORKGROUP};

pub const ACCOUNT: &str = "123456789012";
pub const REGION: &str = "eu-west-1";
/// The prefix of the stand-in's ARNs.
const LOCAL: &str = "arn:aws:secretsmanager:local:000000000000:secret:";

/// An action on a resource.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Permission {
    pub action: String,
    pub resource: String,
}

fn permission(action: impl Into<String>, resource: impl Into<String>) -> Permission {
    Permission {
        action: action.into(),
        resource: resource.into(),
    }
}

fn arn(service: &str, rest: &str) -> String {
    format!("arn:aws:{service}:{REGION}:{ACCOUNT}:{rest}")
}

/// The ARN of a secret with this name or stand-in ARN.
fn secret(id: &str) -> String {
    match id.strip_prefix(LOCAL) {
        Some(name) => arn("secretsmanager", &format!("secret:{name}")),
        None if id.starts_with("arn:") => id.to_owned(),
        None => arn("secretsmanager", &format!("secret:{id}-AbCdEf")),
    }
}

/// The permissions of a call ("Actions, resources, and condition keys" of each service).
pub fn required_permissions(call: &RecordedCall) -> Vec<Permission> {
    let text = |name: &str| {
        call.parameters[name]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    let action = format!("{}:{}", call.service, call.action);
    match (call.service, call.action.as_str()) {
        ("secretsmanager", "ListSecrets" | "BatchGetSecretValue") => vec![permission(action, "*")],
        ("secretsmanager", "CreateSecret") => {
            let made = secret(&text("Name"));
            let mut all = vec![permission(action, &made)];
            if call.parameters["Tags"].is_array() {
                all.push(permission("secretsmanager:TagResource", made));
            }
            all
        }
        ("secretsmanager", _) => vec![permission(action, secret(&text("SecretId")))],
        ("redshift-data", "BatchExecuteStatement") => of_batch(call, action),
        // These calls name no resource.
        ("redshift-data", _) => vec![permission(action, "*")],
        ("rds", "DescribeDBInstances") => vec![permission(action, arn("rds", "db:*"))],
        ("rds", "DescribeDBClusters") => vec![permission(action, arn("rds", "cluster:*"))],
        ("sts", "AssumeRole") => vec![permission(action, text("RoleArn"))],
        ("sns", "Publish") => vec![permission(action, text("TopicArn"))],
        ("events", "PutEvents") => {
            let bus = call.parameters["Entries"][0]["EventBusName"]
                .as_str()
                .unwrap();
            vec![permission(
                action,
                arn("events", &format!("event-bus/{bus}")),
            )]
        }
        ("ecs", "UpdateService") => {
            let service = format!("service/{}/{}", text("cluster"), text("service"));
            vec![permission(action, arn("ecs", &service))]
        }
        other => panic!("unknown call {other:?}"),
    }
}

/// The permissions of a batch ("Configuring IAM permissions" for the Data API in the Redshift
/// management guide).
fn of_batch(call: &RecordedCall, action: String) -> Vec<Permission> {
    let text = |name: &str| call.parameters[name].as_str();
    let database = text("Database").unwrap();
    let of_cluster = text("ClusterIdentifier");
    let place = match of_cluster {
        Some(cluster) => arn("redshift", &format!("cluster:{cluster}")),
        None => {
            assert_eq!(text("WorkgroupName"), Some(WORKGROUP));
            arn("redshift-serverless", "workgroup/id-of-it")
        }
    };
    let database = arn("redshift", &format!("dbname:{CLUSTER}/{database}"));
    let mut all = vec![permission(action, &place)];
    match (text("SecretArn"), text("DbUser"), of_cluster) {
        (Some(id), _, _) => all.push(permission("secretsmanager:GetSecretValue", secret(id))),
        (None, Some(user), _) => {
            let user = arn("redshift", &format!("dbuser:{CLUSTER}/{user}"));
            all.push(permission("redshift:GetClusterCredentials", user));
            all.push(permission("redshift:GetClusterCredentials", database));
        }
        (None, None, Some(_)) => {
            all.push(permission(
                "redshift:GetClusterCredentialsWithIAM",
                database,
            ));
        }
        (None, None, None) => all.push(permission("redshift-serverless:GetCredentials", place)),
    }
    all
}

/// Each action on each resource that a policy allows.
pub fn allowed(policy: &Json) -> Vec<Permission> {
    assert_eq!(policy["Version"], "2012-10-17");
    let texts = |list: &Json| -> Vec<String> {
        let list = list.as_array().unwrap().iter();
        list.map(|text| text.as_str().unwrap().to_owned()).collect()
    };
    let mut all = Vec::new();
    for statement in policy["Statement"].as_array().unwrap() {
        assert_eq!(statement["Effect"], "Allow");
        for action in texts(&statement["Action"]) {
            assert!(!action.contains('*'), "{action}");
            for resource in texts(&statement["Resource"]) {
                all.push(permission(action.clone(), resource));
            }
        }
    }
    all
}

impl Permission {
    /// The permission in another account and region.
    pub fn in_account(self, account: &str, region: &str) -> Self {
        let own = format!(":{REGION}:{ACCOUNT}:");
        let resource = self
            .resource
            .replace(&own, &format!(":{region}:{account}:"));
        Self { resource, ..self }
    }

    /// Whether this permission covers another.
    pub fn covers(&self, other: &Self) -> bool {
        self.action == other.action && matches(self.resource.as_bytes(), other.resource.as_bytes())
    }
}

/// `*` matches any characters, and `?` matches one.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => (0..=text.len()).any(|at| matches(rest, &text[at..])),
        (Some((b'?', rest)), Some((_, tail))) => matches(rest, tail),
        (Some((p, rest)), Some((t, tail))) => p == t && matches(rest, tail),
        _ => false,
    }
}

#[test]
fn a_star_matches_any_text_and_a_question_mark_one_character() {
    let is = |pattern: &str, text: &str| matches(pattern.as_bytes(), text.as_bytes());
    assert!(is("secret:a-??????", "secret:a-AbCdEf"));
    assert!(!is("secret:a-??????", "secret:a-b-AbCdEf"));
    assert!(is(
        "secret:twinkey/probe/*",
        "secret:twinkey/probe/0f-AbCdEf"
    ));
    assert!(is("*", "") && is("a*c", "a/b/c") && !is("a*c", "a/b/d"));
}
