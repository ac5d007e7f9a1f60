//! A stand-in of an account with 40 rotated secrets and 5 others, with ListSecrets and
//! GetSecretValue: short pages, every kind of rotation, and a secret that may not be read.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value as Json, json};

pub const PASSWORD: &str = "Hunter2-0123456789-abcdef";
const PAGE: usize = 7;

/// A rotation rule of AWS, and its windows from December 2026. A rate starts on December 1.
pub struct Rule {
    pub name: &'static str,
    pub rules: Json,
    pub windows: [(&'static str, &'static str); 3],
}

/// The examples in "Schedule expressions in Secrets Manager rotation" of the user guide.
pub fn rules() -> Vec<Rule> {
    let rule = |name, rules, windows| Rule {
        name,
        rules,
        windows,
    };
    vec![
        rule(
            "monthly-3h",
            json!({"ScheduleExpression": "cron(0 8 1 * ? *)", "Duration": "3h", "AutomaticallyAfterDays": 31}),
            [
                ("2026-12-01T08", "2026-12-01T11"),
                ("2027-01-01T08", "2027-01-01T11"),
                ("2027-02-01T08", "2027-02-01T11"),
            ],
        ),
        rule(
            "monthly",
            json!({"ScheduleExpression": "cron(0 8 1 * ? *)"}),
            [
                ("2026-12-01T08", "2026-12-02T00"),
                ("2027-01-01T08", "2027-01-02T00"),
                ("2027-02-01T08", "2027-02-02T00"),
            ],
        ),
        rule(
            "eight-hourly",
            json!({"ScheduleExpression": "cron(0 /8 * * ? *)"}),
            [
                ("2026-12-01T00", "2026-12-01T01"),
                ("2026-12-01T08", "2026-12-01T09"),
                ("2026-12-01T16", "2026-12-01T17"),
            ],
        ),
        rule(
            "first-sunday",
            json!({"ScheduleExpression": "cron(0 0 ? * SUN#1 *)"}),
            [
                ("2026-12-06T00", "2026-12-07T00"),
                ("2027-01-03T00", "2027-01-04T00"),
                ("2027-02-07T00", "2027-02-08T00"),
            ],
        ),
        rule(
            "saturdays",
            json!({"ScheduleExpression": "cron(0 18 ? * SAT *)", "Duration": "2h"}),
            [
                ("2026-12-05T18", "2026-12-05T20"),
                ("2026-12-12T18", "2026-12-12T20"),
                ("2026-12-19T18", "2026-12-19T20"),
            ],
        ),
        rule(
            "last-day",
            json!({"ScheduleExpression": "cron(0 17 L * ? *)", "Duration": "7h"}),
            [
                ("2026-12-31T17", "2027-01-01T00"),
                ("2027-01-31T17", "2027-02-01T00"),
                ("2027-02-28T17", "2027-03-01T00"),
            ],
        ),
        rule(
            "ten-days",
            json!({"ScheduleExpression": "rate(10 days)", "Duration": "2h"}),
            [
                ("2026-12-11T00", "2026-12-11T02"),
                ("2026-12-21T00", "2026-12-21T02"),
                ("2026-12-31T00", "2026-12-31T02"),
            ],
        ),
        rule(
            "twelve-hours",
            json!({"ScheduleExpression": "rate(12 hours)"}),
            [
                ("2026-12-01T12", "2026-12-01T13"),
                ("2026-12-02T00", "2026-12-02T01"),
                ("2026-12-02T12", "2026-12-02T13"),
            ],
        ),
        rule(
            "thirty-days",
            json!({"AutomaticallyAfterDays": 30}),
            [
                ("2026-12-31T00", "2027-01-01T00"),
                ("2027-01-30T00", "2027-01-31T00"),
                ("2027-03-01T00", "2027-03-02T00"),
            ],
        ),
    ]
}

/// The secrets with their list entries and values; `None`: access is denied.
type Account = Vec<(Json, Option<String>)>;

fn secrets() -> Account {
    let mut all = Vec::new();
    let mut add = |name: &str, entry: Json, value: Option<Json>| {
        let mut whole = json!({
            "Name": name, "ARN": arn(name), "RotationEnabled": true,
            "RotationLambdaARN": "arn:aws:lambda:eu-west-1:123456789012:function:rotate",
            "RotationRules": {"ScheduleExpression": "cron(0 8 1 * ? *)", "Duration": "3h"},
            "LastRotatedDate": 1_764_547_200.5, "NextRotationDate": 1_796_083_200,
        });
        let fields = whole.as_object_mut().unwrap();
        fields.extend(entry.as_object().unwrap().clone());
        fields.retain(|_, value| !value.is_null());
        all.push((whole, value.map(|value| value.to_string())));
    };
    let document = |engine: &str| {
        json!({
            "engine": engine, "host": "db.internal", "username": "app", "password": PASSWORD,
            "masterarn": arn("prod/master"),
        })
    };
    for engine in ["postgres", "aurora-mysql", "mongo"] {
        for rule in rules() {
            let name = format!("prod/{engine}/{}", rule.name);
            add(
                &name,
                json!({"RotationRules": rule.rules}),
                Some(document(engine)),
            );
        }
    }
    let managed = json!({"OwningService": "rds", "RotationLambdaARN": null});
    for n in 1..=3 {
        let value = json!({"username": "admin", "password": PASSWORD});
        add(&format!("rds!db-{n}"), managed.clone(), Some(value));
    }
    for n in 1..=3 {
        let mut single = document("postgres");
        single.as_object_mut().unwrap().remove("masterarn");
        add(&format!("single/{n}"), json!({}), Some(single));
    }
    for (name, engine) in [("a", "oracle"), ("b", "oracle"), ("c", "sqlserver")] {
        add(&format!("other/{name}"), json!({}), Some(document(engine)));
    }
    add(
        "replica",
        json!({"PrimaryRegion": "us-east-1"}),
        Some(document("mysql")),
    );
    add("denied", json!({}), None);
    add(
        "partner",
        json!({"RotationLambdaARN": null}),
        Some(json!({"key": "x"})),
    );
    add("token", json!({}), Some(json!([PASSWORD])));
    for n in 1..=5 {
        add(
            &format!("off/{n}"),
            json!({"RotationEnabled": false}),
            Some(document("mysql")),
        );
    }
    all
}

fn arn(name: &str) -> String {
    format!("arn:aws:secretsmanager:eu-west-1:123456789012:secret:{name}-AbCdEf")
}

/// Serves the account, and returns its URL.
pub async fn serve() -> String {
    let app = Router::new()
        .fallback(answer)
        .with_state(Arc::new(secrets()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    url
}

async fn answer(State(secrets): State<Arc<Account>>, headers: HeaderMap, body: String) -> Response {
    let asked: Json = serde_json::from_str(&body).unwrap();
    let refuse = |kind: &str| json!({"__type": kind, "Message": "no"});
    let (status, answer) = match headers["x-amz-target"].to_str().unwrap() {
        "secretsmanager.ListSecrets" => {
            let from: usize = asked["NextToken"]
                .as_str()
                .map_or(0, |token| token.parse().unwrap());
            let prefix = asked["Filters"][0]["Values"][0]
                .as_str()
                .unwrap_or_default();
            let entries = secrets.iter().map(|(entry, _)| entry);
            // The filter of AWS ignores case.
            let named = |entry: &&Json| {
                let name = entry["Name"].as_str().unwrap().to_lowercase();
                name.starts_with(&prefix.to_lowercase())
            };
            let all: Vec<&Json> = entries.filter(named).collect();
            let to = (from + PAGE).min(all.len());
            let mut answer = json!({"SecretList": all[from..to]});
            if to < all.len() {
                answer["NextToken"] = json!(to.to_string());
            }
            (200, answer)
        }
        "secretsmanager.GetSecretValue" => {
            let found = secrets
                .iter()
                .find(|(entry, _)| entry["ARN"] == asked["SecretId"]);
            match found {
                Some((entry, Some(value))) => (
                    200,
                    json!({"ARN": entry["ARN"], "Name": entry["Name"], "SecretString": value, "VersionStages": ["AWSCURRENT"]}),
                ),
                Some((_, None)) => (400, refuse("AccessDeniedException")),
                None => (400, refuse("ResourceNotFoundException")),
            }
        }
        other => panic!("unexpected call {other}"),
    };
    let kind = [("content-type", "application/x-amz-json-1.1")];
    (
        StatusCode::from_u16(status).unwrap(),
        kind,
        answer.to_string(),
    )
        .into_response()
}
