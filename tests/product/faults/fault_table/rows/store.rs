//! Secrets Manager: its answers, its quotas, and what is in the secrets.

use chrono::{DateTime, TimeDelta, Timelike, Utc};
use serde_json::{Value as Json, json};
use twinkey_core::telemetry::Clock;
use twinkey_stores::{SecretStore, VersionId, stage};
use twinkey_testkit::environment::{FIRST, MASTER_SECRET, SECRET, until};

use super::super::gate::{Gate, Passage};
use super::super::row::{Act, Expected, Row, run_fails, store_fails};
use super::super::stage::Stage;

/// The calls of a run, of the heartbeat and of `/readyz`.
const ALL_CALLS: [&str; 6] = [
    "ListSecrets",
    "DescribeSecret",
    "GetSecretValue",
    "BatchGetSecretValue",
    "PutSecretValue",
    "UpdateSecretVersionStage",
];

/// The columns of a run that tries again while the store does not work.
const GOES_ON: Expected = [
    "running",
    "503 store_",
    "journal 1, store 0, running",
    "running",
    "",
    "ERROR store_",
    "running",
];

/// Makes every call fail with this status and name, and asks for a run.
async fn all_fail(stage: &mut Stage, status: u16, name: &'static str) {
    for call in ALL_CALLS {
        let faults = stage.env.stand_in().faults();
        faults.answer(call, usize::MAX, status, name);
    }
    stage.rotate().await;
}

async fn denies(stage: &mut Stage, call: &'static str) {
    stage.env.stand_in().faults().deny(call);
    stage.rotate().await;
}

/// Writes AWSCURRENT of the secret with another value of a field.
async fn with(stage: &mut Stage, field: &str, value: Json) {
    let mut document = stage.env.document("app", FIRST);
    document[field] = value;
    stage.env.put(SECRET, &document).await;
    stage.rotate().await;
}

/// A worker whose window opens in the next minute, when the store denies its calls.
async fn denied_window(stage: &mut Stage) {
    let opens = Clock::system().now() + TimeDelta::seconds(70);
    let opens = opens.with_second(0).unwrap().with_nanosecond(0).unwrap();
    let schedule = format!("cron({} {} * * ? *)", opens.minute(), opens.hour());
    stage.configure(format!("schedule = \"{schedule}\"\nwindow = \"1h\""));
    stage.kept.push(Box::new(opens));
}

/// A store that accepts connections and does not answer.
async fn behind_a_gate(stage: &mut Stage) {
    let url = stage.env.stand_in().url();
    let port = url.rsplit(':').next().unwrap().parse().unwrap();
    let gate = Gate::before(port).await;
    let config = std::fs::read_to_string(stage.env.config()).unwrap();
    let through = config.replace(&url, &format!("http://127.0.0.1:{}", gate.port()));
    std::fs::write(stage.env.config(), through).unwrap();
    stage.gate = Some(gate);
}

pub fn rows() -> Vec<Row> {
    let answers: Act = |stage| {
        Box::pin(async {
            stage.env.stand_in().faults().forget_answers();
        })
    };
    vec![
        Row::new(
            "DescribeSecret is denied",
            |stage| Box::pin(denies(stage, "DescribeSecret")),
            run_fails!("store_denied"),
        )
        .lift(answers),
        Row::new(
            "GetSecretValue is denied",
            |stage| Box::pin(denies(stage, "GetSecretValue")),
            run_fails!("store_denied"),
        )
        .lift(answers),
        Row::new(
            "PutSecretValue is denied",
            |stage| Box::pin(denies(stage, "PutSecretValue")),
            run_fails!("store_denied"),
        )
        .lift(answers),
        Row::new(
            "UpdateSecretVersionStage is denied",
            |stage| Box::pin(denies(stage, "UpdateSecretVersionStage")),
            run_fails!("store_denied"),
        )
        .lift(answers),
        Row::new(
            "the secret is missing",
            |stage| {
                Box::pin(async {
                    let faults = stage.env.stand_in().faults();
                    faults.answer(
                        "DescribeSecret",
                        usize::MAX,
                        400,
                        "ResourceNotFoundException",
                    );
                    faults.answer(
                        "GetSecretValue",
                        usize::MAX,
                        400,
                        "ResourceNotFoundException",
                    );
                    stage.rotate().await;
                })
            },
            run_fails!("secret_not_found"),
        )
        .lift(answers),
        Row::new(
            "the session of the credentials expired",
            |stage| Box::pin(all_fail(stage, 400, "ExpiredTokenException")),
            store_fails!("aws_credentials"),
        )
        .lift(answers),
        Row::new(
            "the access key was deleted",
            |stage| Box::pin(all_fail(stage, 400, "UnrecognizedClientException")),
            store_fails!("aws_credentials"),
        )
        .lift(answers),
        Row::new(
            "the machine's clock differs from AWS's",
            |stage| Box::pin(all_fail(stage, 400, "RequestTimeTooSkewed")),
            store_fails!("aws_credentials"),
        )
        .lift(answers),
        Row::new(
            "the store throttles every call",
            |stage| Box::pin(all_fail(stage, 400, "ThrottlingException")),
            GOES_ON,
        )
        .lift(answers),
        Row::new(
            "the store answers 500",
            |stage| Box::pin(all_fail(stage, 500, "InternalServiceError")),
            GOES_ON,
        )
        .lift(answers),
        Row::new(
            "the store accepts connections and does not answer",
            |stage| {
                Box::pin(async {
                    stage.gate.as_ref().unwrap().set(Passage::Silent);
                    stage.rotate().await;
                })
            },
            GOES_ON,
        )
        .prepare(|stage| Box::pin(behind_a_gate(stage)))
        .lift(|stage| {
            Box::pin(async {
                stage.gate.as_ref().unwrap().set(Passage::Open);
            })
        }),
        Row::new(
            "a window opens while DescribeSecret is denied",
            |stage| {
                Box::pin(async {
                    stage.env.stand_in().faults().deny("DescribeSecret");
                    let opens = stage.kept[0].downcast_ref::<DateTime<Utc>>().unwrap();
                    until("the window is open", async || {
                        Clock::system().now() >= *opens
                    })
                    .await;
                })
            },
            [
                "waiting store_denied",
                "200",
                "journal 1, store 1, waiting",
                "deferred store_denied",
                "",
                "WARN store_denied",
                "waiting store_denied",
            ],
        )
        .prepare(|stage| Box::pin(denied_window(stage)))
        .lift(answers),
        Row::new(
            "the secret has as many versions as AWS allows",
            |stage| {
                Box::pin(async {
                    stage.env.stand_in().faults().limit_versions(0);
                    stage.rotate().await;
                })
            },
            run_fails!("store_quota"),
        )
        .lift(|stage| Box::pin(async { stage.env.stand_in().faults().limit_versions(usize::MAX) })),
        Row::new(
            "AWSCURRENT is no JSON",
            |stage| {
                Box::pin(async {
                    stage.env.put_text(SECRET, "app:First-0123456789").await;
                    stage.rotate().await;
                })
            },
            run_fails!("secret_malformed"),
        ),
        Row::new(
            "AWSCURRENT has an engine that is not supported",
            |stage| Box::pin(with(stage, "engine", json!("oracle"))),
            run_fails!("unsupported_engine"),
        ),
        Row::new(
            "AWSCURRENT has a password that does not sign in",
            |stage| Box::pin(with(stage, "password", json!("Wrong-0123456789"))),
            run_fails!("current_signin_failed"),
        ),
        Row::new(
            "AWSCURRENT has a port where nothing listens",
            |stage| Box::pin(with(stage, "port", json!(1))),
            run_fails!("db_unreachable"),
        ),
        Row::new(
            "AWSCURRENT has a host that does not resolve",
            |stage| Box::pin(with(stage, "host", json!("no-host.invalid"))),
            run_fails!("db_unreachable"),
        ),
        Row::new(
            "the master secret has another password",
            |stage| {
                Box::pin(async {
                    let document = stage.env.document("rdsmaster", "Wrong-0123456789");
                    stage.env.put(MASTER_SECRET, &document).await;
                    stage.rotate().await;
                })
            },
            run_fails!("master_signin_failed"),
        ),
        Row::new(
            "another version has AWSPENDING",
            |stage| {
                Box::pin(async {
                    let theirs = VersionId(uuid::Uuid::new_v4().to_string());
                    let document = stage.env.document("app", "Another-0123456789");
                    let store = stage.env.stand_in().store();
                    store
                        .put(
                            SECRET,
                            &theirs,
                            &document.to_string().into(),
                            stage::PENDING,
                        )
                        .await
                        .unwrap();
                    stage.rotate().await;
                })
            },
            run_fails!("pending_conflict"),
        ),
        Row::new(
            "AWS rotates the secret by a function",
            |stage| {
                Box::pin(async {
                    let faults = stage.env.stand_in().faults();
                    faults.patch_description(SECRET, json!({"RotationEnabled": true}));
                    stage.rotate().await;
                })
            },
            run_fails!("managed_elsewhere"),
        )
        .lift(|stage| {
            Box::pin(async {
                let faults = stage.env.stand_in().faults();
                faults.patch_description(SECRET, json!({}));
            })
        }),
    ]
}
