use std::time::Duration;

use super::carry::{Outcome, carry};
use super::text::{Source, config};
use super::windows::windows;
use super::{Found, Rules};
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

fn found(name: &str) -> Found {
    Found {
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

fn outcome(found: Found) -> Outcome {
    carry(&[found], "eu-west-1").remove(0).outcome
}

fn why_not(found: Found) -> String {
    match outcome(found) {
        Outcome::Left(left) => {
            assert!(!left.to_do.is_empty());
            left.why
        }
        Outcome::Rotation(rotation) => panic!("{rotation:?}"),
    }
}

#[test]
fn a_window_is_as_long_as_aws_documents_it() {
    let cases = [
        // With a Duration, that.
        (rules(Some("cron(0 8 1 * ? *)"), Some("3h"), None), 3),
        (rules(Some("rate(10 days)"), Some("2h"), None), 2),
        // In days, to the end of the UTC day.
        (rules(Some("cron(0 8 1 * ? *)"), None, None), 16),
        (rules(Some("cron(0 0 ? * SUN#1 *)"), None, None), 24),
        (rules(Some("cron(0 23 ? * SAT *)"), None, None), 1),
        (rules(Some("rate(30 days)"), None, None), 24),
        (rules(None, None, Some(30)), 24),
        (rules(None, None, Some(1)), 24),
        // In hours, one.
        (rules(Some("cron(0 /8 * * ? *)"), None, None), 1),
        (rules(Some("cron(0 8,16 * * ? *)"), None, None), 1),
        (rules(Some("rate(12 hours)"), None, None), 1),
    ];
    for (rules, hours) in cases {
        let plan = windows(&rules)
            .unwrap_or_else(|why| panic!("{rules:?}: {why}"))
            .plan;
        assert_eq!(plan.length, Duration::from_secs(hours * 3600), "{rules:?}");
        // And AWS would take it back.
        assert_eq!(plan.schedule.aws_refuses(plan.length), None, "{rules:?}");
    }
}

#[test]
fn days_are_a_rate_and_an_expression_stays_as_it_is() {
    let text = |rules| windows(&rules).unwrap().plan.schedule.to_string();
    assert_eq!(text(rules(None, None, Some(30))), "rate(30 days)");
    assert_eq!(text(rules(None, None, Some(1))), "rate(1 day)");
    // AWS tells the days beside the expression that they are worked out from.
    let both = rules(Some("cron(0 8 1 * ? *)"), None, Some(31));
    assert_eq!(text(both), "cron(0 8 1 * ? *)");
}

#[test]
fn rules_that_mean_nothing_here_say_why() {
    let why = |rules| windows(&rules).unwrap_err();
    assert_eq!(why(rules(None, None, None)), "AWS tells no schedule for it");
    let unknown = why(rules(Some("cron(0 8 * *)"), None, None));
    assert!(
        unknown.starts_with("its schedule cron(0 8 * *) is not understood: "),
        "{unknown}"
    );
    let long = why(rules(Some("cron(0 8 * * ? *)"), Some("25h"), None));
    assert_eq!(long, "its Duration 25h is not 1h to 24h");
    let over = why(rules(Some("rate(4 hours)"), Some("5h"), None));
    assert!(over.starts_with("its windows are none here: "), "{over}");
}

#[test]
fn what_cannot_be_carried_over_says_why() {
    let with = |change: fn(&mut Found)| {
        let mut it = found("prod/orders");
        change(&mut it);
        why_not(it)
    };
    type Case<'a> = (fn(&mut Found), &'a str);
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
            "AWS tells no schedule for it",
        ),
    ];
    for (change, reason) in cases {
        let why = with(change);
        assert!(why.contains(reason), "{reason}: {why}");
    }
    // The region that it was found in is the one that it is in.
    let mut here = found("x");
    here.primary_region = Some("eu-west-1".into());
    assert!(matches!(outcome(here), Outcome::Rotation(_)));
}

#[test]
fn names_are_made_of_the_secrets_and_are_unique() {
    let all = carry(
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
fn the_config_holds_rotations_reasons_and_no_line_that_a_secret_could_break() {
    let mut odd = found("a\"b\\c");
    odd.owner = Some("evil\n[server]".into());
    let mut plain = found("prod/plain");
    plain.fields = Ok(fields(
        r#"{"engine":"mysql","host":"h","username":"a","password":"p","masterarn":"m\"\n","ssl":"false"}"#,
    ));
    plain.rules = rules(None, None, Some(30));
    let source = Source {
        region: "eu-west-1".into(),
        account: Some("123456789012".into()),
        endpoint_url: None,
    };
    let text = config(
        &source,
        &carry(&[found("prod/orders"), odd, plain], "eu-west-1"),
    );
    assert!(text.contains(
        "name = \"prod-orders\"\nsecret = \"prod/orders\"\nschedule = \"cron(0 8 1 * ? *)\"\nwindow = \"3h\"\nmaster_secret = \"arn:m\"\nengine = \"postgres\"\n"
    ), "{text}");
    assert!(text.contains("# NOT CARRIED OVER: a\"b\\c\n"), "{text}");
    assert!(text.contains("managed by evil [server]\n"), "{text}");
    let settings = crate::config::parse(
        std::path::Path::new("twinkey.toml"),
        &text,
        &std::collections::BTreeMap::new(),
    )
    .unwrap();
    assert_eq!(settings.rotations.len(), 2);
    let plain = &settings.rotations[1];
    assert_eq!(plain.master_secret.as_deref(), Some("m\"\n"));
    assert_eq!(plain.tls.mode, None);
    assert_eq!(
        plain.windows.as_ref().unwrap().length,
        Duration::from_secs(24 * 3600)
    );
}
