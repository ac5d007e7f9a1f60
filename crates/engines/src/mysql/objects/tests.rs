use super::*;
use crate::mysql::inspect::facts::fixture;
use crate::mysql::parse;

fn grants(lines: &[&str]) -> Grants {
    let mut grants = Grants::default();
    for line in lines {
        let line = format!("GRANT {line} TO `a`@`%`");
        parse::line(&line, &mut grants).unwrap();
    }
    grants
}

/// A schema `s` with the table `t (a)`, the broken view `v` and the procedure `p`.
fn facts() -> Facts {
    let name = |name: &str| ("s".to_owned(), name.to_owned());
    let mut facts = fixture::facts();
    facts.master.grants = grants(&["ALL PRIVILEGES ON `s`.*"]);
    let broken = Table {
        is_view: true,
        is_broken: true,
        refuses_columns: true,
        ..Table::default()
    };
    facts.existing = ExistingObjects {
        schemas: ["s".to_owned()].into(),
        tables: [(name("t"), table()), (name("v"), broken)].into(),
        routines: [("PROCEDURE".into(), "s".into(), "p".into())].into(),
    };
    facts
}

/// With the column `a`.
fn table() -> Table {
    Table {
        columns: ["a".to_owned()].into(),
        ..Table::default()
    }
}

fn facts_of_grantor() -> Facts {
    let mut facts = facts();
    let all = "GRANT ALL PRIVILEGES ON `s`.* TO `m`@`%` WITH GRANT OPTION";
    parse::line(all, &mut facts.master.grants).unwrap();
    facts
}

fn causes(wanted: &Wanted) -> Vec<(String, Cause)> {
    let all = wanted.unverified.iter();
    all.map(|one| (one.object.to_string(), one.cause)).collect()
}

const ON_OBJECTS: [&str; 7] = [
    "SELECT (`A`, `gone`), INSERT ON `s`.`t`",
    "SELECT ON `s`.`v`",
    "SELECT ON `s`.`gone`",
    "UPDATE (`a`) ON `s`.`gone2`",
    "EXECUTE ON PROCEDURE `s`.`p`",
    "EXECUTE ON FUNCTION `s`.`gone`",
    "SELECT ON `unread`.`gone`",
];

#[test]
fn a_grant_on_a_missing_object_is_copied_or_reported() {
    let active = grants(&ON_OBJECTS);
    let wanted = wanted(&facts_of_grantor(), &active, &Grants::default());
    assert_eq!(
        causes(&wanted),
        [
            ("`s`.`gone`".to_owned(), Cause::AbsentTable),
            ("`s`.`gone2`".to_owned(), Cause::Missing),
            ("`s`.`t`".to_owned(), Cause::DroppedColumn),
            ("FUNCTION `s`.`gone`".to_owned(), Cause::Missing),
        ]
    );
    let mut without_dropped = active;
    let t = without_dropped
        .on
        .values_mut()
        .find(|p| p.columns.len() == 2);
    t.unwrap().columns.retain(|(_, column)| column == "A");
    assert_eq!(wanted.grants, without_dropped);
    assert_eq!(wanted.absent.len(), 1);
}

#[test]
fn nothing_on_a_missing_object_is_revoked() {
    let has = grants(&ON_OBJECTS);
    let wanted = wanted(&facts_of_grantor(), &Grants::default(), &has);
    assert_eq!(causes(&wanted), []);
    let kept: Vec<String> = wanted
        .grants
        .on
        .iter()
        .map(|(object, privileges)| format!("{} ON {object}", privileges.list(true)))
        .collect();
    assert_eq!(
        kept,
        [
            "SELECT ON `s`.`gone`",
            "UPDATE (`a`) ON `s`.`gone2`",
            "SELECT (`gone`) ON `s`.`t`",
            "SELECT ON `s`.`v`",
            "EXECUTE ON FUNCTION `s`.`gone`",
        ]
    );
}

#[test]
fn create_left_by_an_interruption_is_revoked() {
    let has = grants(&["CREATE, SELECT ON `s`.`gone`"]);
    let active = grants(&["SELECT ON `s`.`gone`"]);
    let wanted = wanted(&facts_of_grantor(), &active, &has);
    assert_eq!((&wanted.grants, causes(&wanted)), (&active, vec![]));
}

#[test]
fn each_grant_that_stays_is_reported() {
    let has = grants(&ON_OBJECTS);
    let kept = wanted(&facts_of_grantor(), &Grants::default(), &has).surplus;
    let kept: Vec<(String, Cause)> = kept
        .iter()
        .map(|one| (one.object.to_string(), one.cause))
        .collect();
    let expected = [
        ("`s`.`gone`", Cause::AbsentTable),
        ("`s`.`gone2`", Cause::AbsentTable),
        ("`s`.`t`", Cause::DroppedColumn),
        ("`s`.`v`", Cause::InvalidView),
        ("FUNCTION `s`.`gone`", Cause::Missing),
    ];
    assert_eq!(kept, expected.map(|(name, cause)| (name.to_owned(), cause)));
}

#[test]
fn a_surplus_grant_on_an_unseen_view_is_revoked() {
    let mut facts = facts();
    facts.master.grants = Grants::default();
    let drop = "GRANT DROP ON `s`.`v` TO `m`@`%` WITH GRANT OPTION";
    parse::line(drop, &mut facts.master.grants).unwrap();
    facts
        .existing
        .tables
        .get_mut(&("s".into(), "v".into()))
        .unwrap()
        .is_broken = false;
    let has = grants(&["DROP ON `s`.`v`"]);
    let wanted = wanted(&facts, &Grants::default(), &has);
    assert_eq!(wanted.grants, Grants::default());
    assert_eq!(wanted.surplus, []);
}

#[test]
fn a_grant_on_columns_that_the_server_refuses_stops_the_run() {
    let mut facts = facts_of_grantor();
    let table = facts
        .existing
        .tables
        .get_mut(&("s".into(), "t".into()))
        .unwrap();
    (table.is_view, table.refuses_columns) = (true, true);
    let view = ("`s`.`t`".to_owned(), Cause::InvalidView);
    let active = grants(&["SELECT (`a`) ON `s`.`t`"]);
    for (has, expected) in [
        (grants(&[]), vec![view.clone()]),
        // Its REVOKE also revokes the column's.
        (grants(&["SELECT, SELECT (`a`) ON `s`.`t`"]), vec![view]),
        (grants(&["SELECT (`a`), INSERT ON `s`.`t`"]), vec![]),
    ] {
        assert_eq!(causes(&wanted(&facts, &active, &has)), expected);
    }
}

#[test]
fn a_dropped_column_is_not_granted_after_its_revoke() {
    let active = grants(&["SELECT (`a`, `gone`) ON `s`.`t`"]);
    let has = grants(&["SELECT, SELECT (`a`, `gone`) ON `s`.`t`"]);
    let wanted = wanted(&facts_of_grantor(), &active, &has);
    assert_eq!(wanted.grants, grants(&["SELECT (`a`) ON `s`.`t`"]));
}

#[test]
fn a_broken_view_takes_no_grants_on_columns() {
    let active = grants(&["SELECT, UPDATE (`a`) ON `s`.`v`"]);
    let wanted = wanted(&facts_of_grantor(), &active, &Grants::default());
    assert_eq!(
        causes(&wanted),
        [("`s`.`v`".to_owned(), Cause::InvalidView)]
    );
    assert!(wanted.unverified[0].privileges.names.is_empty());
}

#[test]
fn an_object_that_the_master_cannot_see_may_exist() {
    let active = grants(&ON_OBJECTS);
    let wanted = wanted(&facts(), &active, &Grants::default());
    assert_eq!((wanted.grants, wanted.unverified), (active, vec![]));
}
