use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::accounts::{assume_roles, merged, settings_of, trust_policy};
use super::known::{Known, SecretFacts};
use super::network::paths;
use super::{AccountScope, Policy, Statement, policy};
use crate::config::settings::{Settings, StoreSettings};
use crate::config::testing::parse_toml;
use twinkey_engines::EngineKind;

const AWS: &str = "[secrets]\nbackend = \"aws\"\nregion = \"eu-west-1\"\n";

fn scope() -> AccountScope {
    AccountScope {
        partition: "aws".into(),
        region: "eu-west-1".into(),
        account: "123456789012".into(),
    }
}

fn policy_of(text: &str, known: &Known) -> Policy {
    policy(&parse_toml(&format!("{AWS}{text}")), &scope(), known)
}

/// Each statement's actions and resources, by its Sid.
fn read(policy: &Policy) -> BTreeMap<String, (Json, Json)> {
    let json = serde_json::to_value(policy).unwrap();
    let statements = json["Statement"].as_array().unwrap().iter();
    statements
        .map(|one| {
            assert_eq!(one["Effect"], "Allow");
            let sid = one["Sid"].as_str().unwrap().to_owned();
            (sid, (one["Action"].clone(), one["Resource"].clone()))
        })
        .collect()
}

fn resources(policy: &Policy, sid: &str) -> Json {
    read(policy)
        .remove(sid)
        .map(|(_, resources)| resources)
        .unwrap_or_default()
}

#[test]
fn heartbeats_may_read_in_batches() {
    assert_eq!(
        resources(&policy_of(ORDERS, &Known::default()), "Heartbeats"),
        Json::Null
    );
    let text = format!("{ORDERS}heartbeat = \"5m\"\n");
    let with = policy_of(&text, &Known::default());
    assert_eq!(resources(&with, "Heartbeats"), json!(["*"]));
}

const ORDERS: &str = "[[rotation]]\nname = \"orders\"\nsecret = \"prod/orders\"\nmaster_secret = \"prod/master\"\nengine = \"postgres\"\n";

#[test]
fn a_rotation_allows_its_secret_and_its_master() {
    let policy = policy_of(ORDERS, &Known::default());
    let arn = |name| {
        json!([format!(
            "arn:aws:secretsmanager:eu-west-1:123456789012:secret:{name}-??????"
        )])
    };
    let all = read(&policy);
    let expected = [
        (
            "MasterSecrets",
            (json!(["secretsmanager:GetSecretValue"]), arn("prod/master")),
        ),
        (
            "Readiness",
            (json!(["secretsmanager:ListSecrets"]), json!(["*"])),
        ),
        (
            "RotatedSecrets",
            (
                json!([
                    "secretsmanager:DescribeSecret",
                    "secretsmanager:GetSecretValue",
                    "secretsmanager:ListSecretVersionIds",
                    "secretsmanager:PutSecretValue",
                    "secretsmanager:UpdateSecretVersionStage"
                ]),
                arn("prod/orders"),
            ),
        ),
    ];
    assert_eq!(
        all,
        expected.map(|(sid, rest)| (sid.to_owned(), rest)).into()
    );
}

#[test]
fn a_managed_master_without_a_host_allows_the_calls_to_rds() {
    let rotation = |more: &str| {
        format!("[[rotation]]\nname = \"a\"\nsecret = \"a\"\nengine = \"postgres\"\n{more}\n")
    };
    let arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:rds!cluster-1-AbCdEf";
    for (more, asks) in [
        ("master_secret = \"rds!db-1\"".to_owned(), true),
        (format!("master_secret = \"{arn}\""), true),
        ("masters = [\"rds!*\"]".to_owned(), true),
        (
            "master_secret = \"rds!db-1\"\nmaster_host = \"db\"".to_owned(),
            false,
        ),
        ("master_secret = \"prod/master\"".to_owned(), false),
        (
            "master_secret = \"prod/master\"\nmasters = [\"rds!*\"]".to_owned(),
            false,
        ),
        (String::new(), false),
    ] {
        let text = rotation(&more);
        let all = read(&policy_of(&text, &Known::default()));
        let expected = |action: &str, resource: &str| {
            let resource = format!("arn:aws:rds:eu-west-1:123456789012:{resource}");
            asks.then(|| (json!([action]), json!([resource])))
        };
        assert_eq!(
            all.get("HostsOfManagedMasters").cloned(),
            expected("rds:DescribeDBInstances", "db:*"),
            "{more}"
        );
        assert_eq!(
            all.get("HostsOfManagedClusters").cloned(),
            expected("rds:DescribeDBClusters", "cluster:*"),
            "{more}"
        );
        let settings = parse_toml(&format!("{AWS}{text}"));
        let paths = paths(&settings, "eu-west-1", &Known::default());
        let has = |host: &str| paths.iter().any(|path| path.host == host);
        assert_eq!(has("rds.eu-west-1.amazonaws.com"), asks, "{more}");
        assert_eq!(has("db"), more.contains("master_host"), "{more}");
    }
}

#[test]
fn a_partial_arn_gets_a_wildcard_suffix() {
    let whole = "arn:aws:secretsmanager:eu-west-1:210987654321:secret:prod/orders-AbC123";
    let partial = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/ord-ers";
    let text = format!(
        "[[rotation]]\nname = \"a\"\nsecret = \"{whole}\"\n[[rotation]]\nname = \"b\"\nsecret = \"{partial}\"\n"
    );
    let policy = policy_of(&text, &Known::default());
    assert_eq!(
        resources(&policy, "RotatedSecrets"),
        json!([format!("{partial}-??????"), whole])
    );
    // A name that ends like an ARN's suffix is still a name.
    let text = "[[rotation]]\nname = \"a\"\nsecret = \"prod-orders\"\n";
    let policy = policy_of(text, &Known::default());
    assert_eq!(
        resources(&policy, "RotatedSecrets"),
        json!(["arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod-orders-??????"])
    );
}

#[test]
fn known_facts_are_used_and_unknown_ones_are_notes() {
    let text = "[[rotation]]\nname = \"orders\"\nsecret = \"prod/orders\"\n";
    let blind = policy_of(text, &Known::default());
    assert_eq!(blind.notes.len(), 3, "{:?}", blind.notes);
    assert!(blind.notes.iter().all(|note| note.contains("--ask")));
    let orders = SecretFacts {
        arn: Some("arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/orders-AbCdEf".into()),
        kms_key: Some("key-of-orders".into()),
        master: Some("arn:aws:secretsmanager:eu-west-1:123456789012:secret:m-AbCdEf".into()),
        engine: Some(EngineKind::Mysql),
        ..SecretFacts::default()
    };
    let master = SecretFacts {
        kms_key: Some("arn:aws:kms:eu-west-1:123456789012:key/of-master".into()),
        ..SecretFacts::default()
    };
    let secrets = [
        ("prod/orders".to_owned(), orders.clone()),
        (orders.master.clone().unwrap(), master),
    ];
    let known = Known {
        secrets: secrets.into(),
        complete: true,
        ..Known::default()
    };
    let policy = policy_of(text, &known);
    assert_eq!(policy.notes, [""; 0]);
    assert_eq!(resources(&policy, "RotatedSecrets"), json!([orders.arn]));
    assert_eq!(resources(&policy, "MasterSecrets"), json!([orders.master]));
    assert_eq!(
        resources(&policy, "KeysOfRotatedSecrets"),
        json!(["arn:aws:kms:eu-west-1:123456789012:key/key-of-orders"])
    );
    let key = policy
        .statements
        .iter()
        .find(|one| one.sid == "KeysOfMasterSecrets")
        .unwrap();
    assert_eq!(key.actions, ["kms:Decrypt"]);
    assert_eq!(
        key.condition,
        Some(json!({"StringEquals": {"kms:ViaService": "secretsmanager.eu-west-1.amazonaws.com"}}))
    );
}

#[test]
fn a_key_alias_is_a_note() {
    let known = Known {
        kms_keys: vec!["arn:aws:kms:eu-west-1:123456789012:alias/mine".into()],
        ..Known::default()
    };
    let policy = policy_of(ORDERS, &known);
    assert_eq!(resources(&policy, "KeysOfRotatedSecrets"), Json::Null);
    assert!(policy.notes.iter().any(|note| note.contains("alias/mine")));
}

fn warehouse(keys: &str, redshift: &str) -> String {
    format!(
        "[[rotation]]\nname = \"w\"\nsecret = \"w\"\nengine = \"redshift\"\n{keys}\nredshift = {{ {redshift} }}\n"
    )
}

#[test]
fn each_redshift_sign_in_allows_only_its_own_calls() {
    let known = Known {
        workgroup_ids: [("wg".to_owned(), "id-1".to_owned())].into(),
        ..Known::default()
    };
    let master = "master_secret = \"m\"";
    let cases = [
        (master, "cluster = \"c\"", None, true),
        (
            master,
            "cluster = \"c\", db_user = \"admin\"",
            Some("DatabaseUsers"),
            false,
        ),
        ("", "cluster = \"c\"", Some("ClusterIdentity"), false),
        (master, "workgroup = \"wg\"", None, true),
        ("", "workgroup = \"wg\"", Some("WorkgroupIdentity"), false),
    ];
    for (keys, redshift, sid, reads_master) in cases {
        let policy = policy_of(&warehouse(keys, redshift), &known);
        let all = read(&policy);
        for other in ["DatabaseUsers", "ClusterIdentity", "WorkgroupIdentity"] {
            assert_eq!(
                all.contains_key(other),
                sid == Some(other),
                "{redshift}: {other}"
            );
        }
        assert_eq!(
            all.contains_key("MasterSecrets"),
            reads_master,
            "{redshift}"
        );
        assert!(all.contains_key("ProbeSecrets") && all.contains_key("OwnStatements"));
        let scope = if redshift.contains("wg") {
            "arn:aws:redshift-serverless:eu-west-1:123456789012:workgroup/id-1"
        } else {
            "arn:aws:redshift:eu-west-1:123456789012:cluster:c"
        };
        assert_eq!(all["Statements"].1, json!([scope]));
    }
    let user = policy_of(
        &warehouse("", "cluster = \"c\", db_user = \"admin\""),
        &known,
    );
    assert_eq!(
        resources(&user, "DatabaseUsers"),
        json!([
            "arn:aws:redshift:eu-west-1:123456789012:dbname:c/*",
            "arn:aws:redshift:eu-west-1:123456789012:dbuser:c/admin"
        ])
    );
    let wire = policy_of(
        &warehouse(master, "cluster = \"c\", probe = \"wire\""),
        &known,
    );
    assert!(!read(&wire).contains_key("ProbeSecrets"));
    let unknown = policy_of(
        &warehouse(master, "workgroup = \"other\""),
        &Known::default(),
    );
    assert!(
        unknown
            .notes
            .iter()
            .any(|note| note.contains("--workgroup-id other=ID"))
    );
}

const RECEIVERS: &str = "[[notify]]\nkind = \"sns\"\ntopic_arn = \"arn:aws:sns:us-east-1:123456789012:t\"\n\
    [[notify]]\nkind = \"eventbridge\"\nbus = \"ours\"\n\
    [[hook]]\nkind = \"ecs-redeploy\"\ncluster = \"prod\"\nservices = [\"orders\"]\n\
    [[hook]]\nkind = \"ecs-redeploy\"\ncluster = \"arn:aws:ecs:us-east-1:123456789012:cluster/us\"\nservices = [\"a\", \"arn:aws:ecs:us-east-1:123456789012:service/us/b\"]\n\
    [[hook]]\nkind = \"exec\"\ncommand = [\"/bin/true\"]\n";

#[test]
fn notifications_and_hooks_are_allowed_by_name() {
    let policy = policy_of(&format!("{ORDERS}{RECEIVERS}"), &Known::default());
    let all = read(&policy);
    assert_eq!(
        all["Topics"].1,
        json!(["arn:aws:sns:us-east-1:123456789012:t"])
    );
    assert_eq!(
        all["Buses"].1,
        json!(["arn:aws:events:eu-west-1:123456789012:event-bus/ours"])
    );
    assert_eq!(all["Services"].0, json!(["ecs:UpdateService"]));
    assert_eq!(
        all["Services"].1,
        json!([
            "arn:aws:ecs:eu-west-1:123456789012:service/prod/orders",
            "arn:aws:ecs:us-east-1:123456789012:service/us/a",
            "arn:aws:ecs:us-east-1:123456789012:service/us/b"
        ])
    );
}

#[test]
fn the_embedded_store_needs_aws_only_for_redshift() {
    let local = "[secrets]\nbackend = \"local\"\n";
    let none = policy(
        &parse_toml(&format!("{local}{ORDERS}")),
        &scope(),
        &Known::default(),
    );
    assert_eq!(none.statements, []);
    let text = format!(
        "{local}{}",
        warehouse("master_secret = \"m\"", "cluster = \"c\"")
    );
    let some = read(&policy(&parse_toml(&text), &scope(), &Known::default()));
    let sids: Vec<&String> = some.keys().collect();
    assert_eq!(
        sids,
        [
            "ClusterIdentity",
            "LeftoverProbeSecrets",
            "OwnStatements",
            "ProbeSecrets",
            "Statements"
        ]
    );
}

#[test]
fn network_paths_are_distinct() {
    let listen = "[server]\nlisten = \"10.0.0.1:8321\"\nadmin_token = \"env:T\"\n";
    let hook =
        "[[notify]]\nkind = \"webhook\"\nurl = \"https://hooks.example.com/x\"\nkey = \"env:K\"\n";
    let text = format!(
        "{listen}{AWS}{ORDERS}{}{RECEIVERS}{hook}",
        warehouse("", "cluster = \"c\"")
    );
    let facts = SecretFacts {
        host: Some("db.internal".into()),
        ..SecretFacts::default()
    };
    let known = Known {
        secrets: [("prod/orders".to_owned(), facts)].into(),
        ..Known::default()
    };
    let all = paths(&parse_toml(&text), "eu-west-1", &known);
    let listed: Vec<String> = all
        .iter()
        .map(|path| {
            format!(
                "{} {}:{}",
                path.direction,
                path.host,
                path.port.unwrap_or(0)
            )
        })
        .collect();
    assert_eq!(
        listed,
        [
            "in 10.0.0.1:8321",
            "out db.internal:5432",
            "out ecs.eu-west-1.amazonaws.com:443",
            "out ecs.us-east-1.amazonaws.com:443",
            "out events.eu-west-1.amazonaws.com:443",
            "out hooks.example.com:443",
            "out redshift-data.eu-west-1.amazonaws.com:443",
            "out secretsmanager.eu-west-1.amazonaws.com:443",
            "out sns.us-east-1.amazonaws.com:443",
        ]
    );
    let blind = paths(
        &parse_toml(&format!("{AWS}{ORDERS}")),
        "eu-west-1",
        &Known::default(),
    );
    assert_eq!(blind[1].host, "the host in prod/orders, and its master's");
}

#[test]
fn discovered_secrets_are_allowed_by_names_and_tags() {
    let text = "[[discover]]\ntags = { twinkey = \"rotate\" }\nnames = [\"prod/*/db\"]\n\
        master_secret = \"rds/{tag:cluster}/master\"\nmasters = [\"rds/*\"]\n\
        [[discover]]\nnames = [\"x\"]\n";
    let policy = policy_of(text, &Known::default());
    let arn = |name: &str| {
        json!([format!(
            "arn:aws:secretsmanager:eu-west-1:123456789012:secret:{name}-??????"
        )])
    };
    assert_eq!(resources(&policy, "DiscoveredSecrets1"), arn("prod/*/db"));
    assert_eq!(
        resources(&policy, "MastersOfDiscoveredSecrets1"),
        arn("rds/*/master")
    );
    let first = policy.statements.iter();
    let mut first = first.filter(|one| one.sid == "DiscoveredSecrets1");
    let condition = first.next().unwrap().condition.clone().unwrap();
    let tag = "secretsmanager:ResourceTag/twinkey";
    assert_eq!(condition, json!({ "StringEquals": { tag: "rotate" } }));
    assert_eq!(resources(&policy, "DiscoveredSecrets2"), arn("x"));
    assert_eq!(
        resources(&policy, "MastersOfDiscoveredSecrets2"),
        Json::Null
    );
    assert!(
        policy
            .notes
            .iter()
            .any(|note| note.contains("#2 names no masters"))
    );
}

const ROLE: &str = "arn:aws:iam::111122223333:role/twinkey";
const WORKER: &str = "arn:aws:iam::999988887777:role/worker";

/// Two regions with one role, whose rotations are `names`.
fn two_regions(names: [&str; 2], ids: [&str; 2]) -> Settings {
    let mut text = AWS.to_owned();
    for (region, id) in ["us-east-1", "us-west-2"].iter().zip(ids) {
        text += &format!(
            "[[store]]\nname = \"{region}\"\nbackend = \"aws\"\nregion = \"{region}\"\nassume_role = {{ arn = \"{ROLE}\"{id} }}\n"
        );
    }
    for (name, region) in names.iter().zip(["us-east-1", "us-west-2"]) {
        text += &format!(
            "[[rotation]]\nname = \"{name}\"\nsecret = \"{name}\"\nstore = \"{region}\"\nmaster_secret = \"master\"\nengine = \"postgres\"\n"
        );
    }
    text += "[[notify]]\nkind = \"eventbridge\"\nbus = \"ops\"\nevents = [\"failed\"]\n\
        [[hook]]\nkind = \"ecs-redeploy\"\ncluster = \"shop\"\nservices = [\"web\"]\nrotations = [\"a\"]\n";
    parse_toml(&text)
}

fn policy_of_stores(settings: &Settings, more: Option<Statement>) -> Policy {
    let of = |store: &Arc<StoreSettings>| {
        let scope = AccountScope {
            region: store.region.clone().unwrap(),
            account: "111122223333".into(),
            ..scope()
        };
        let key = format!("arn:aws:kms:{}:111122223333:key/1", scope.region);
        let known = Known {
            kms_keys: vec![key],
            ..Known::default()
        };
        policy(&settings_of(settings, Some(store)), &scope, &known)
    };
    merged(settings.stores.iter().map(of).collect(), more)
}

#[test]
fn regions_with_one_role_share_its_policy() {
    let settings = two_regions(["a", "b"], ["", ""]);
    let policy = policy_of_stores(&settings, None);
    let secret = |region: &str, name: &str| {
        format!("arn:aws:secretsmanager:{region}:111122223333:secret:{name}-??????")
    };
    let east = secret("us-east-1", "a");
    assert_eq!(
        resources(&policy, "RotatedSecrets"),
        json!([east, secret("us-west-2", "b")])
    );
    // A key is used through Secrets Manager of its region only.
    for (sid, region) in [
        ("KeysOfRotatedSecrets", "us-east-1"),
        ("KeysOfRotatedSecrets2", "us-west-2"),
    ] {
        let key = format!("arn:aws:kms:{region}:111122223333:key/1");
        assert_eq!(resources(&policy, sid), json!([key]));
        let mut statements = policy.statements.iter();
        let statement = statements.find(|one| one.sid == sid).unwrap();
        let service = format!("secretsmanager.{region}.amazonaws.com");
        let condition = json!({ "StringEquals": { "kms:ViaService": service } });
        assert_eq!(statement.condition, Some(condition));
    }
    let buses = ["us-east-1", "us-west-2"]
        .map(|region| format!("arn:aws:events:{region}:111122223333:event-bus/ops"));
    assert_eq!(resources(&policy, "Buses"), json!(buses));
    // The hook concerns the rotation of one region.
    let service = "arn:aws:ecs:us-east-1:111122223333:service/shop/web";
    assert_eq!(resources(&policy, "Services"), json!([service]));

    let own = settings_of(&settings, None);
    assert!(own.rotations.is_empty() && own.notify.is_empty() && own.hooks.is_empty());
    let accounts = serde_json::to_value(assume_roles(&settings)).unwrap();
    assert_eq!(accounts["Action"], json!(["sts:AssumeRole"]));
    assert_eq!(accounts["Resource"], json!([ROLE]));
}

#[test]
fn discovered_secrets_are_those_of_the_account_of_their_store() {
    let text = format!(
        "{AWS}[[store]]\nname = \"us\"\nbackend = \"aws\"\nregion = \"us-east-1\"\nassume_role = {{ arn = \"{ROLE}\" }}\n\
         [[discover]]\nnames = [\"own/*\"]\nmaster_secret = \"own-master\"\n\
         [[discover]]\nstore = \"us\"\nnames = [\"us/*\"]\nmaster_secret = \"us-master\"\n"
    );
    let settings = parse_toml(&text);
    let us = policy_of_stores(&settings, None);
    let arn = |name: &str| {
        json!([format!(
            "arn:aws:secretsmanager:us-east-1:111122223333:secret:{name}-??????"
        )])
    };
    assert_eq!(resources(&us, "DiscoveredSecrets1"), arn("us/*"));
    let masters = "MastersOfDiscoveredSecrets1";
    assert_eq!(resources(&us, masters), arn("us-master"));
    let own = policy(&settings_of(&settings, None), &scope(), &Known::default());
    for policy in [&us, &own] {
        assert_eq!(resources(policy, "Readiness"), json!(["*"]));
        assert_eq!(resources(policy, "DiscoveredSecrets2"), Json::Null);
    }
    let text = serde_json::to_string(&own).unwrap();
    assert!(
        text.contains(":secret:own/*-??????") && !text.contains("us/*"),
        "{text}"
    );
}

#[test]
fn discovered_secrets_of_two_stores_are_numbered() {
    let mut text = AWS.to_owned();
    for region in ["us-east-1", "us-west-2"] {
        text += &format!(
            "[[store]]\nname = \"{region}\"\nbackend = \"aws\"\nregion = \"{region}\"\nassume_role = {{ arn = \"{ROLE}\" }}\n\
             [[discover]]\nstore = \"{region}\"\ntags = {{ team = \"{region}\" }}\nmaster_secret = \"master\"\n"
        );
    }
    let policy = policy_of_stores(&parse_toml(&text), None);
    let sids = policy.statements.iter().map(|one| &*one.sid);
    let sids: Vec<&str> = sids.filter(|sid| sid.starts_with("Discovered")).collect();
    assert_eq!(sids, ["DiscoveredSecrets1", "DiscoveredSecrets2"]);
}

#[test]
fn the_size_is_that_of_the_merged_policy() {
    let settings = two_regions(["a", "b"], ["", ""]);
    let size = |policy: &Policy| policy.notes.iter().any(|note| note.contains("6144"));
    assert!(!size(&policy_of_stores(&settings, None)));
    let roles = (0..150).map(|n| format!("arn:aws:iam::{n:012}:role/twinkey"));
    let more = Statement::allow("Accounts", &["sts:AssumeRole"], roles);
    assert!(size(&policy_of_stores(&settings, Some(more))));
}

#[test]
fn a_trust_policy_has_the_external_ids_of_its_stores() {
    let ids = |ids: [&str; 2]| {
        let policy = trust_policy(&two_regions(["a", "b"], ids), ROLE, WORKER);
        let statement = policy["Statement"][0].clone();
        assert_eq!(statement["Principal"], json!({ "AWS": WORKER }));
        assert_eq!(statement["Action"], "sts:AssumeRole");
        statement["Condition"]["StringEquals"]["sts:ExternalId"].clone()
    };
    let [one, two] = [", external_id = \"id-1\"", ", external_id = \"id-2\""];
    assert_eq!(ids([one, one]), "id-1");
    assert_eq!(ids([one, two]), json!(["id-1", "id-2"]));
    // A store calls the role without an id.
    assert_eq!(ids([one, ""]), Json::Null);
}
