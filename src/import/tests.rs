use std::time::Duration;

use super::convert::{Outcome, convert};
use super::text::{Source, config};
use super::windows::convert_windows;
use super::{RotatedSecret, Rules};
use twinkey_core::secret::Sensitive;
use twinkey_core::secret::document::{Document, Fields};

fn rules(expression: Option<&str>, duration: Option<&str>, days: Option<i64>) -> Rules {
    Rules {
        expression: expression.map(str::to_owned),
        duration: duration.map(str::to_owned),
        days,
    }
}

fn fields(text: &str) -> Fields {
    let document = Document::parse(Sensitive::from(text)).unwrap();
    document.fields().clone()
}

fn found(name: &str) -> RotatedSecret {
    RotatedSecret {
        name: name.into(),
        arn: format!("arn:aws:secretsmanager:eu-west-1:123456789012:secret:{name}-AbCdEf"),
        owner: None,
        function: Some("arn:aws:lambda:eu-west-1:123456789012:function:rotate".into()),
        rules: rules(Some("cron(0 8 1 * ? *)"), Some("3h"), None),
        primary_region: None,
        next: None,
        fields: Ok(fields(
            r#"{"engine":"aurora-postgresql","host":"h","username":"app","password":"p","masterarn":"arn:m"}"#,
        )),
    }
}

fn outcome(found: RotatedSecret) -> Outcome {
    convert(&[found], "eu-west-1").remove(0).outcome
}

fn why_not(found: RotatedSecret) -> String {
    match outcome(found) {
        Outcome::Skipped(skipped) => {
            assert!(!skipped.to_do.is_empty());
            skipped.why
        }
        Outcome::Rotation(rotation) => panic!("{rotation:?}"),
    }
}

#[test]
fn a_window_has_the_length_that_aws_documents() {
    let cases = [
        // With a Duration.
        (rules(Some("cron(0 8 1 * ? *)"), Some("3h"), None), 3),
        (rules(Some("rate(10 days)"), Some("2h"), None), 2),
        // In days: until the end of the UTC day.
        (rules(Some("cron(0 8 1 * ? *)"), None, None), 16),
        (rules(Some("cron(0 0 ? * SUN#1 *)"), None, None), 24),
        (rules(Some("cron(0 23 ? * SAT *)"), None, None), 1),
        (rules(Some("rate(30 days)"), None, None), 24),
        (rules(None, None, Some(30)), 24),
        (rules(None, None, Some(1)), 24),
        // In hours: one hour.
        (rules(Some("cron(0 /8 * * ? *)"), None, None), 1),
        (rules(Some("cron(0 8,16 * * ? *)"), None, None), 1),
        (rules(Some("rate(12 hours)"), None, None), 1),
    ];
    for (rules, hours) in cases {
        let plan = convert_windows(&rules)
            .unwrap_or_else(|why| panic!("{rules:?}: {why}"))
            .plan;
        assert_eq!(plan.length, Duration::from_secs(hours * 3600), "{rules:?}");
        // AWS must accept the result too.
        assert_eq!(plan.schedule.aws_refuses(plan.length), None, "{rules:?}");
    }
}

#[test]
fn a_secret_with_the_host_of_a_proxy_has_a_comment() {
    let source = Source {
        region: "eu-west-1".into(),
        account: None,
        endpoint_url: None,
    };
    let text = |host: &str| {
        let mut one = found("orders");
        one.fields = Ok(fields(&format!(
            r#"{{"engine":"postgres","host":"{host}","username":"app","password":"p","masterarn":"arn:m"}}"#
        )));
        config(&source, &convert(&[one], "eu-west-1"))
    };
    let proxied = text("p.proxy-c0ffee.eu-west-1.rds.amazonaws.com");
    assert!(proxied.contains("The host is an RDS Proxy"), "{proxied}");
    assert!(!text("db.c0ffee.eu-west-1.rds.amazonaws.com").contains("RDS Proxy"));
}

#[test]
fn days_become_a_rate_and_expressions_are_kept() {
    let text = |rules| convert_windows(&rules).unwrap().plan.schedule.to_string();
    assert_eq!(text(rules(None, None, Some(30))), "rate(30 days)");
    assert_eq!(text(rules(None, None, Some(1))), "rate(1 day)");
    // AWS also returns the days that it derives from the expression.
    let both = rules(Some("cron(0 8 1 * ? *)"), None, Some(31));
    assert_eq!(text(both), "cron(0 8 1 * ? *)");
}

#[test]
fn unsupported_rules_give_a_reason() {
    let why = |rules| convert_windows(&rules).unwrap_err();
    assert_eq!(why(rules(None, None, None)), "AWS has no schedule for it");
    let unknown = why(rules(Some("cron(0 8 * *)"), None, None));
    assert!(
        unknown.starts_with("its schedule cron(0 8 * *) is not valid: "),
        "{unknown}"
    );
    let long = why(rules(Some("cron(0 8 * * ? *)"), Some("25h"), None));
    assert_eq!(long, "its Duration 25h is not 1h to 24h");
    let over = why(rules(Some("rate(4 hours)"), Some("5h"), None));
    assert!(
        over.starts_with("twinkey does not support its windows: "),
        "{over}"
    );
}

#[test]
fn secrets_that_cannot_be_converted_have_a_reason() {
    let with = |change: fn(&mut RotatedSecret)| {
        let mut it = found("prod/orders");
        change(&mut it);
        why_not(it)
    };
    type Case<'a> = (fn(&mut RotatedSecret), &'a str);
    let cases: [Case<'_>; 9] = [
        (
            |it| it.owner = Some("rds".into()),
            "rds manages this secret",
        ),
        (
            |it| it.primary_region = Some("us-east-1".into()),
            "this is a replica",
        ),
        (|it| it.function = None, "no function rotates it"),
        (
            |it| it.fields = Err("AWS denies it".into()),
            "could not be read: AWS denies it",
        ),
        (
            |it| it.fields = Ok(fields(r#"{"username":"a","password":"p"}"#)),
            "it names no engine",
        ),
        (
            |it| {
                it.fields = Ok(fields(
                    r#"{"engine":"oracle","host":"h","username":"a","password":"p","masterarn":"m"}"#,
                ));
            },
            "does not rotate the engine \"oracle\"",
        ),
        (
            |it| {
                it.fields = Ok(fields(
                    r#"{"engine":"mysql","host":"h","username":"a","password":"p"}"#,
                ))
            },
            "rotated for a single user",
        ),
        (
            |it| {
                it.fields = Ok(fields(
                    r#"{"engine":"mysql","host":"h","username":"a","password":"p","masterarn":"prod/orders"}"#,
                ));
            },
            "it is its own master",
        ),
        (
            |it| it.rules = Rules::default(),
            "AWS has no schedule for it",
        ),
    ];
    for (change, reason) in cases {
        let why = with(change);
        assert!(why.contains(reason), "{reason}: {why}");
    }
    // A primary region equal to the listed region is not a replica.
    let mut here = found("x");
    here.primary_region = Some("eu-west-1".into());
    assert!(matches!(outcome(here), Outcome::Rotation(_)));
}

#[test]
fn names_derive_from_the_secrets_and_are_unique() {
    let all = convert(
        &["prod/Orders_db", "prod-orders-db", "prod.orders.db", "///"].map(found),
        "eu-west-1",
    );
    let names: Vec<&str> = all.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "prod-orders-db",
            "prod-orders-db-2",
            "prod-orders-db-3",
            "secret"
        ]
    );
}

#[test]
fn secret_names_cannot_inject_config_lines() {
    let mut odd = found("a\"b\\c");
    odd.owner = Some("evil\n[server]".into());
    let mut plain = found("prod/plain");
    plain.fields = Ok(fields(
        r#"{"engine":"mysql","host":"h","username":"a","password":"p","masterarn":"arn:m\"\n","ssl":"false"}"#,
    ));
    plain.rules = rules(None, None, Some(30));
    let source = Source {
        region: "eu-west-1".into(),
        account: Some("123456789012".into()),
        endpoint_url: None,
    };
    let text = config(
        &source,
        &convert(&[found("prod/orders"), odd, plain], "eu-west-1"),
    );
    assert!(text.contains(
        "name = \"prod-orders\"\nsecret = \"prod/orders\"\nschedule = \"cron(0 8 1 * ? *)\"\nwindow = \"3h\"\nmaster_secret = \"arn:m\"\nengine = \"postgres\"\n"
    ), "{text}");
    assert!(text.contains("# NOT CONVERTED: a\"b\\c\n"), "{text}");
    assert!(text.contains("managed by evil [server]\n"), "{text}");
    let settings = crate::config::testing::parse_toml(&text);
    assert_eq!(settings.rotations.len(), 2);
    let plain = &settings.rotations[1];
    assert_eq!(plain.master_secret.as_deref(), Some("arn:m\"\n"));
    assert_eq!(plain.tls.mode, None);
    assert_eq!(
        plain.windows.as_ref().unwrap().length,
        Duration::from_secs(24 * 3600)
    );
}
