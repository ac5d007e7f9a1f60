use std::collections::BTreeMap;

use super::{DiscoveredSecret, Discovery, Finding, changes, filters, matches, plan, query};
use crate::config::settings::Settings;
use crate::config::testing::local;
use crate::journal::{Actor, KnownSecret};
use chrono::{DateTime, Utc};
use twinkey_stores::{ListKey, ListedSecret};

const DISCOVER: &str = "[[discover]]\ntags = { twinkey = \"rotate\" }\n";

fn now() -> DateTime<Utc> {
    "2026-11-23T07:30:00Z".parse().unwrap()
}

/// A secret with the tag `twinkey = rotate` and these.
fn secret(name: &str, tags: &[(&str, &str)]) -> KnownSecret {
    let tags = [("twinkey", "rotate")].iter().chain(tags);
    KnownSecret {
        store: String::new(),
        listed: ListedSecret {
            arn: format!("arn:aws:secretsmanager:eu-west-1:111122223333:secret:{name}-a1B2c3"),
            name: name.into(),
            tags: tags
                .map(|&(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
            deleted: false,
            rotation_enabled: false,
            owning_service: None,
            primary_region: None,
        },
        gone: None,
        rotation: None,
        armed: None,
        refusal: None,
    }
}

fn planned(settings: &Settings, known: &[KnownSecret]) -> Discovery {
    let configured: Vec<_> = settings.rotations.iter().collect();
    plan(&settings.discover, known, &configured, now())
}

/// The names of the rotations, and of the others the sentences by secret.
fn outcome(settings: &Settings, known: &[KnownSecret]) -> (Vec<String>, BTreeMap<String, String>) {
    let discovery = planned(settings, known);
    let names = discovery.rotations.iter().map(|r| r.name.clone()).collect();
    let others = discovery.secrets.into_iter().filter_map(|one| {
        let sentence = match one.finding {
            Finding::Armed => return None,
            Finding::Refused(why) => format!("refused: {why}"),
            Finding::Skipped(why) => format!("skipped: {why}"),
        };
        Some((one.known.listed.name, sentence))
    });
    (names, others.collect())
}

/// The sentence about the only secret, which is not armed.
fn why(settings: &Settings, known: KnownSecret) -> String {
    let (names, others) = outcome(settings, &[known]);
    assert!(names.is_empty(), "{names:?}");
    let mut others = others.into_values();
    others.next().unwrap()
}

#[test]
fn a_tagged_secret_is_a_rotation_with_the_tables_keys() {
    let settings = local(&format!(
        "[defaults]\nmin_interval = \"2h\"\n{DISCOVER}schedule = \"cron(0 3 ? * SUN *)\"\nwindow = \"2h\"\n"
    ));
    let discovery = planned(&settings, &[secret("prod/Orders_db", &[])]);
    let [rotation] = &discovery.rotations[..] else {
        panic!("{discovery:?}")
    };
    assert_eq!(rotation.name, "prod-orders-db");
    assert_eq!(rotation.secret, "prod/Orders_db");
    assert_eq!(rotation.min_interval.as_secs(), 7200);
    assert!(rotation.windows.is_some());
    let found = rotation.discovered.as_ref().unwrap();
    assert_eq!((found.by, found.since), (1, now()));
    // It keeps the time at which it was armed.
    let armed: DateTime<Utc> = "2026-11-01T00:00:00Z".parse().unwrap();
    let known = KnownSecret {
        armed: Some(armed),
        ..secret("prod/Orders_db", &[])
    };
    let again = planned(&settings, &[known]);
    let found = again.rotations[0].discovered.as_ref().unwrap();
    assert_eq!(found.since, armed);
}

#[test]
fn all_filters_of_a_table_must_hold() {
    let settings = local(
        "[[discover]]\ntags = { twinkey = \"rotate\", team = \"pay\" }\nnames = [\"prod/*/db\", \"x\"]\n\
         exclude = [\"prod/old/*\"]\n",
    );
    let table = &settings.discover[0];
    let pay = [("team", "pay")];
    for (name, tags, expected) in [
        ("prod/a/db", &pay[..], true),
        ("x", &pay, true),
        ("prod/old/db", &pay, false),
        ("prod/a", &pay, false),
        ("prod/a/db", &[], false),
        ("prod/a/db", &[("team", "pays")], false),
        ("prod/a/db", &[("Team", "pay")], false),
    ] {
        let listed = secret(name, tags).listed;
        assert_eq!(matches(table, &listed), expected, "{name} {tags:?}");
    }
    let filters = filters(table);
    assert_eq!(filters[0].values, ["prod/", "x"]);
    assert_eq!(filters.len(), 5);
    assert!(
        filters
            .iter()
            .all(|filter| filter.matches(&secret("prod/a/db", &pay).listed))
    );
    assert_ne!(query("", &filters), query("eu", &filters));
    let odd = local("[[discover]]\ntags = { a = \"!b\", \"é\" = \"c\" }\nnames = [\"*x\"]\n");
    let odd = super::filters(&odd.discover[0]);
    let keys: Vec<ListKey> = odd.iter().map(|filter| filter.key).collect();
    assert_eq!(keys, [ListKey::TagKey, ListKey::TagValue], "{odd:?}");
}

#[test]
fn names_are_unique_and_stay() {
    let settings = local(&format!(
        "[[rotation]]\nname = \"a-b\"\nsecret = \"other\"\n{DISCOVER}"
    ));
    let all = ["a/b", "A_b", "x/y", "x-y", "---", "a-b"].map(|name| secret(name, &[]));
    let discovery = planned(&settings, &all);
    let names: Vec<&str> = discovery
        .rotations
        .iter()
        .map(|r| r.name.as_str())
        .collect();
    let distinct: std::collections::BTreeSet<&&str> = names.iter().collect();
    assert_eq!(distinct.len(), 6, "{names:?}");
    let valid = |name: &&str| {
        !name.is_empty()
            && name
                .bytes()
                .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
    };
    assert!(names.iter().all(valid), "{names:?}");
    // As recorded, in any order and with a new secret that would be first.
    let mut recorded: Vec<KnownSecret> = discovery
        .secrets
        .iter()
        .map(|one| KnownSecret {
            rotation: one.rotation.clone(),
            ..one.known.clone()
        })
        .collect();
    recorded.reverse();
    recorded.push(secret("X.y", &[]));
    let again = planned(&settings, &recorded);
    for one in &discovery.secrets {
        let same = again
            .secrets
            .iter()
            .find(|other| other.known.listed == one.known.listed);
        assert_eq!(same.unwrap().rotation, one.rotation);
    }
    assert_eq!(again.rotations.len(), 7);
    // Two workers gave one name to two secrets.
    let twice = ["a", "b"].map(|name| KnownSecret {
        rotation: Some("same".into()),
        ..secret(name, &[])
    });
    let (names, _) = outcome(&settings, &twice);
    assert_eq!(names, ["same", "b"]);
}

#[test]
fn a_secret_that_was_created_again_keeps_its_name() {
    let settings = local(DISCOVER);
    let gone = KnownSecret {
        gone: Some("it was deleted".into()),
        rotation: Some("p-u1".into()),
        armed: Some(now()),
        ..secret("p/u1", &[])
    };
    let mut again = secret("p/u1", &[]);
    again
        .listed
        .arn
        .replace_range(again.listed.arn.len() - 6.., "Z9y8X7");
    let all = [gone.clone(), again.clone()];
    let discovery = planned(&settings, &all);
    assert_eq!(discovery.rotations[0].name, "p-u1");
    assert_eq!(
        discovery.rotations[0].discovered.as_ref().unwrap().since,
        now()
    );
    let arns = |secrets: &[super::FoundSecret]| {
        let arns = secrets.iter().map(|one| one.known.listed.arn.clone());
        arns.collect::<Vec<_>>()
    };
    assert_eq!(arns(&discovery.secrets), [again.listed.arn.as_str()]);
    assert_eq!(arns(&discovery.replaced), [gone.listed.arn.as_str()]);
    let actor = crate::journal::Actor::worker("a");
    let changes = super::changes(&discovery, &actor.into(), now());
    let armed: Vec<bool> = changes.iter().map(|one| one.armed.is_some()).collect();
    assert_eq!(armed, [false, true], "{changes:?}");
    // As recorded. It is deleted and created a third time, after a version that gave it a suffix.
    let disarmed = |known: &KnownSecret, rotation: &str| KnownSecret {
        gone: Some("it was deleted".into()),
        armed: None,
        rotation: Some(rotation.into()),
        ..known.clone()
    };
    let mut third = again.clone();
    third
        .listed
        .arn
        .replace_range(third.listed.arn.len() - 6.., "AAAAAA");
    let all = [
        disarmed(&again, "p-u1-48b0af"),
        disarmed(&gone, "p-u1"),
        third,
    ];
    let discovery = planned(&settings, &all);
    assert_eq!(discovery.rotations[0].name, "p-u1");
    assert_eq!((discovery.secrets.len(), discovery.replaced.len()), (1, 0));
    // Another rotation has the name now, or the new secret has no tag, or is in another store.
    let configured = local(&format!(
        "[[rotation]]\nname = \"p-u1\"\nsecret = \"other\"\n{DISCOVER}"
    ));
    let (names, _) = outcome(&configured, &all);
    assert!(names.iter().all(|name| name != "p-u1"), "{names:?}");
    let mut untagged = again.clone();
    untagged.listed.tags.clear();
    let elsewhere = KnownSecret {
        store: "eu".into(),
        ..again
    };
    for other in [untagged, elsewhere] {
        let discovery = planned(&settings, &[gone.clone(), other]);
        assert_eq!(arns(&discovery.secrets), [gone.listed.arn.as_str()]);
    }
}

#[test]
fn a_secret_has_one_rotation_however_it_is_named() {
    let arn = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/a";
    for reference in ["prod/a", arn, &format!("{arn}-a1B2c3")] {
        let settings = local(&format!(
            "[[rotation]]\nname = \"own\"\nsecret = \"{reference}\"\n{DISCOVER}"
        ));
        let sentence = why(&settings, secret("prod/a", &[]));
        assert_eq!(
            sentence,
            "skipped: the config rotates it by [[rotation]] \"own\""
        );
    }
    let settings = local(&format!(
        "{DISCOVER}window = \"1h\"\n{DISCOVER}window = \"2h\"\n"
    ));
    let discovery = planned(&settings, &[secret("prod/a", &[])]);
    assert_eq!(discovery.rotations.len(), 1);
    assert_eq!(discovery.rotations[0].discovered.as_ref().unwrap().by, 1);
}

#[test]
fn secrets_that_are_not_ours_to_rotate_have_a_sentence() {
    let settings = local(DISCOVER);
    let with = |change: fn(&mut ListedSecret)| {
        let mut known = secret("prod/a", &[]);
        change(&mut known.listed);
        why(&settings, known)
    };
    assert_eq!(
        with(|s| s.deleted = true),
        "skipped: it is marked for deletion"
    );
    assert_eq!(
        with(|s| s.primary_region = Some("us-east-1".into())),
        "skipped: it is a replica of the secret in us-east-1"
    );
    assert_eq!(
        with(|s| s.owning_service = Some("rds".into())),
        "refused: the AWS service rds manages it"
    );
    assert!(with(|s| s.rotation_enabled = true).contains("its own rotation"));
    let mut original = secret("prod/a", &[]);
    original.listed.primary_region = Some("eu-west-1".into());
    assert_eq!(planned(&settings, &[original]).rotations.len(), 1);
    let gone = KnownSecret {
        gone: Some("it was deleted".into()),
        ..secret("prod/a", &[])
    };
    assert_eq!(why(&settings, gone), "skipped: it was deleted");
    // The table was removed or changed.
    let other = local("[[discover]]\ntags = { other = \"x\" }\n");
    assert!(planned(&other, &[secret("prod/a", &[])]).secrets.is_empty());
    let armed = KnownSecret {
        armed: Some(now()),
        ..secret("prod/a", &[])
    };
    assert_eq!(why(&other, armed), "skipped: no [[discover]] concerns it");
}

#[test]
fn masters_and_secrets_of_poolers_are_skipped() {
    let settings = local(&format!(
        "[[rotation]]\nname = \"own\"\nsecret = \"own\"\nmaster_secret = \"m/config\"\n\
         poolers = [{{ host = \"p\", secrets = {{ app = \"pooler/app\", app_clone = \"pooler/clone\" }} }}]\n\
         {DISCOVER}master_secret = \"m/table\"\n"
    ));
    let all = ["m/config", "m/table", "pooler/app", "app"].map(|name| secret(name, &[]));
    let (names, others) = outcome(&settings, &all);
    assert_eq!(names, ["app"]);
    for name in ["m/config", "m/table", "pooler/app"] {
        let why = "skipped: the config uses it as a master secret or for a pooler";
        assert_eq!(others[name], why, "{name}");
    }
}

#[test]
fn no_tag_disarms_another_secret() {
    let settings = local(&format!(
        "[[rotation]]\nname = \"own\"\nsecret = \"rds/shop-cfg/master\"\n\
         {DISCOVER}master_secret = \"rds/{{tag:cluster}}/master\"\nmasters = [\"rds/shop-*/master\"]\n"
    ));
    let all = |cluster| {
        [
            secret("a/u4", &[("cluster", cluster)]),
            secret("rds/shop-x/master", &[("cluster", "shop-1")]),
        ]
    };
    for cluster in ["shop-1", "shop-x"] {
        let (names, others) = outcome(&settings, &all(cluster));
        assert_eq!(names, ["a-u4"], "{cluster}");
        let why = &others["rds/shop-x/master"];
        assert!(why.starts_with("skipped: it can be a master"), "{why}");
    }
    // The password of an application would sign in as a master.
    let (names, others) = outcome(&settings, &all("shop-cfg"));
    assert!(names.is_empty(), "{names:?}");
    let why = &others["a/u4"];
    assert!(why.contains("is the secret of a [[rotation]]"), "{why}");
}

#[test]
fn tags_set_what_the_config_lists_and_nothing_else() {
    let settings = local(&format!(
        "{DISCOVER}schedule = \"rate(12 hours)\"\nwindow = \"1h\"\n\
         tags_may_set = [\"schedule\", \"window\", \"spread\", \"readers\", \"paused\"]\n"
    ));
    let tags = [
        ("twinkey:schedule", "rate 2 days"),
        ("twinkey:window", "2h"),
        ("twinkey:spread", "10m"),
        ("twinkey:readers", "ro-1.internal ro-2.internal:5433"),
        ("twinkey:paused", "true"),
        ("Twinkey:window", "not ours"),
    ];
    let discovery = planned(&settings, &[secret("prod/a", &tags)]);
    let rotation = &discovery.rotations[0];
    assert!(rotation.paused);
    assert_eq!(rotation.readers.addresses.len(), 2);
    let window = rotation.windows.as_ref().unwrap();
    let opens = window.next_window(now(), now()).unwrap();
    assert_eq!((opens.closes - opens.opens).num_minutes(), 120);
    assert_eq!((opens.opens - now()).num_days(), 2);
    for (key, value, word) in [
        (
            "twinkey:window",
            "2 fortnights",
            "its tag \"twinkey:window\"",
        ),
        ("twinkey:window", "", "its tag \"twinkey:window\""),
        ("twinkey:window", "1m", "its tag \"twinkey:window\""),
        ("twinkey:window", "24h", "next"),
        (
            "twinkey:schedule",
            "cron(x)",
            "its tag \"twinkey:schedule\"",
        ),
        ("twinkey:schedule", "rate(1 days)\nforged", "its tag"),
        ("twinkey:spread", "2h", "shorter than the window"),
        ("twinkey:readers", "a:b:c", "its tag \"twinkey:readers\""),
        ("twinkey:readers", "", "its tag \"twinkey:readers\""),
        ("twinkey:readers", "  ", "its tag \"twinkey:readers\""),
        ("twinkey:readers", "RDS", "its tag \"twinkey:readers\""),
        (
            "twinkey:readers",
            "rds other",
            "its tag \"twinkey:readers\"",
        ),
        ("twinkey:paused", "perhaps", "must be true or false"),
        (
            "twinkey:master_secret",
            "rds/other/master",
            "`tags_may_set`",
        ),
        ("twinkey:\nname", "x", "`tags_may_set`"),
        ("twinkey:", "x", "`tags_may_set`"),
    ] {
        let sentence = why(&settings, secret("prod/a", &[(key, value)]));
        assert!(
            sentence.starts_with("refused: "),
            "{key} {value:?}: {sentence}"
        );
        assert!(sentence.contains(word), "{key} {value:?}: {sentence}");
        assert!(!sentence.contains('\n'), "{key} {value:?}: {sentence}");
    }
    let huge = "1".repeat(100_000);
    let sentence = why(&settings, secret("prod/a", &[("twinkey:window", &huge)]));
    assert!(sentence.len() < 500, "{}", sentence.len());
    // The run of every second window would be refused.
    let often = [
        ("twinkey:schedule", "rate 5 minutes"),
        ("twinkey:window", "5m"),
    ];
    let sentence = why(&settings, secret("prod/a", &often));
    let expected = "its tag \"twinkey:schedule\" opens windows closer together than min_interval";
    assert!(sentence.contains(expected), "{sentence}");
    // Others are not affected.
    let bad = secret("prod/bad", &[("twinkey:window", "x")]);
    let (names, others) = outcome(&settings, &[bad, secret("prod/good", &[])]);
    assert_eq!(names, ["prod-good"]);
    assert_eq!(others.len(), 1);
}

#[test]
fn a_tag_selects_a_master_within_the_patterns_only() {
    let settings = local(&format!(
        "{DISCOVER}master_secret = \"rds/{{tag:cluster}}/master\"\nmasters = [\"rds/shop-*/master\"]\n"
    ));
    let of = |value| secret("prod/a", &[("cluster", value)]);
    let discovery = planned(&settings, &[of("shop-1")]);
    let master = discovery.rotations[0].master_secret.as_deref();
    assert_eq!(master, Some("rds/shop-1/master"));
    for value in [
        "bank-1",
        "",
        "shop-1/../bank",
        "{name}",
        "{tag:cluster}",
        "shop-\n1",
        "*",
    ] {
        let sentence = why(&settings, of(value));
        assert!(sentence.starts_with("refused: "), "{value:?}: {sentence}");
        assert!(!sentence.contains('\n'), "{value:?}: {sentence}");
    }
    let sentence = why(&settings, secret("prod/a", &[]));
    assert!(sentence.contains("no tag \"cluster\""), "{sentence}");
}

#[test]
fn an_export_is_the_rotation_that_was_planned() {
    let settings = local(&format!(
        "[defaults]\nmin_interval = \"2h\"\n{DISCOVER}schedule = \"cron(0 3 ? * SUN *)\"\n\
         tags_may_set = [\"readers\", \"paused\", \"schedule\"]\nmaster_secret = \"{{name}}-master\"\nmasters = [\"*\"]\n\
         password = {{ length = 40, symbols = \"_~\" }}\npostgres = {{ set_role = false }}\n"
    ));
    let tags = [
        ("twinkey:readers", "r1 r2"),
        ("twinkey:paused", "true"),
        ("twinkey:schedule", "rate 3 days"),
    ];
    let known = secret("prod/a", &tags);
    let planned = planned(&settings, std::slice::from_ref(&known))
        .rotations
        .remove(0);
    let table = &settings.discover[0];
    let overrides = table.overrides(&known.listed.tags).unwrap();
    let master = planned.master_secret.as_deref();
    let text = table
        .export(&planned.name, &planned.secret, master, &overrides)
        .unwrap();
    let written = local(&format!("[defaults]\nmin_interval = \"2h\"\n{text}"))
        .rotations
        .remove(0);
    let planned = crate::config::settings::Rotation {
        discovered: None,
        ..planned
    };
    assert_eq!(format!("{written:#?}"), format!("{planned:#?}"), "{text}");
}

#[test]
fn equal_names_in_two_stores_are_two_secrets() {
    let store = |name: &str, account: &str| {
        format!(
            "[[store]]\nname = \"{name}\"\nbackend = \"aws\"\nregion = \"eu-west-1\"\n\
             assume_role = {{ arn = \"arn:aws:iam::{account}:role/twinkey\" }}\n"
        )
    };
    let (eu, us) = (store("eu", "111122223333"), store("us", "444455556666"));
    let settings = local(&format!(
        "{eu}{us}[[rotation]]\nname = \"own\"\nsecret = \"prod/a\"\n\
         [[rotation]]\nname = \"us-b\"\nstore = \"us\"\nsecret = \"prod/b\"\n\
         {DISCOVER}store = \"eu\"\n{DISCOVER}store = \"us\"\n"
    ));
    let of = |name, store: &str| {
        let mut secret = secret(name, &[]);
        store.clone_into(&mut secret.store);
        if store == "us" {
            secret.listed.arn = secret.listed.arn.replace("111122223333", "444455556666");
        }
        secret
    };
    let known = [
        of("prod/a", ""),
        of("prod/a", "eu"),
        of("prod/b", "eu"),
        of("prod/b", "us"),
        of("prod/b", "gone"),
    ];
    let discovery = planned(&settings, &known);
    let names = discovery.rotations.iter();
    let names: Vec<_> = names.map(|r| (&*r.name, r.store_name().unwrap())).collect();
    assert_eq!(names, [("prod-a", "eu"), ("prod-b", "eu")], "{discovery:?}");
    let both = [of("prod/c", "eu"), of("prod/c", "us")];
    let (names, _) = outcome(&settings, &both);
    assert_eq!(names, ["prod-c", "prod-c-us"]);
    // Both stores can be one account and region.
    let again = store("again", "111122223333");
    let same = local(&format!(
        "{eu}{again}[[rotation]]\nname = \"own\"\nstore = \"again\"\nsecret = \"prod/a\"\n{DISCOVER}store = \"eu\"\n"
    ));
    let sentence = why(&same, of("prod/a", "eu"));
    assert!(sentence.contains("[[rotation]] \"own\""), "{sentence}");
    let twice = local(&format!(
        "{eu}{again}{DISCOVER}store = \"eu\"\n{DISCOVER}store = \"again\"\n"
    ));
    let discovery = planned(&twice, &[of("prod/c", "again"), of("prod/c", "eu")]);
    let stores = discovery.rotations.iter().map(|r| r.store_name());
    assert!(stores.eq([Some("eu")]), "{discovery:?}");
    let skipped = Finding::Skipped(
        "[[discover]] #1 finds it too, in another store of its account and region".into(),
    );
    assert_eq!(discovery.secrets[0].finding, skipped);
}

#[test]
fn a_disarmed_rotation_has_its_former_name() {
    let armed = || KnownSecret {
        rotation: Some("prod-a".into()),
        armed: Some(now()),
        ..secret("prod/a", &[])
    };
    let mut deleted = armed();
    deleted.listed.deleted = true;
    let gone = KnownSecret {
        gone: Some("it was deleted".into()),
        ..armed()
    };
    let moved = "[[rotation]]\nname = \"a\"\nsecret = \"prod/a\"\nmaster_secret = \"master\"\n";
    let moved = format!("{moved}{DISCOVER}");
    for (config, known) in [(DISCOVER, deleted), (DISCOVER, gone), (&moved, armed())] {
        let discovery = planned(&local(config), &[known]);
        let changes = changes(&discovery, &Actor::worker("w").into(), now());
        let [change] = &changes[..] else {
            panic!("{config}: {changes:?}")
        };
        assert_eq!(change.armed, None);
        assert_eq!(change.rotation_name(), Some("prod-a"));
        let record = change.record.as_ref().unwrap();
        assert_eq!(record.rotation.as_deref(), Some("prod-a"));
        let [found] = &discovery.secrets[..] else {
            panic!("{config}: {discovery:?}")
        };
        let found = DiscoveredSecret::from(found);
        assert_eq!(found.rotation.as_deref(), Some("prod-a"));
    }
}
