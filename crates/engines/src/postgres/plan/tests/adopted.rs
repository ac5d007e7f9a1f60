//! Pairs that another tool made, and what the server would refuse.

use super::*;

#[test]
fn what_the_base_user_has_too_is_not_refused() {
    let mut facts = facts();
    facts.settings.clear();
    let mut in_readers = member_of("readers", true);
    facts.memberships.push(in_readers.clone());
    let inspection = planned(&facts, "app_clone");
    assert_eq!(errors(&inspection), [Some(Code::PrivilegesDiffer)]);
    let fixes = inspection.findings.into_iter().filter_map(|f| f.fix);
    assert!(
        fixes
            .into_iter()
            .any(|fix| fix == r#"GRANT "readers" TO "app" WITH INHERIT TRUE, SET TRUE"#)
    );
    in_readers.held = true;
    facts.memberships.pop();
    facts.memberships.push(in_readers);
    assert!(errors(&planned(&facts, "app_clone")).is_empty());
}

#[test]
fn a_parameter_of_superusers_is_missing_only_where_it_differs() {
    let mut facts = facts();
    facts.unsettable = vec!["myapp.tenant".into()];
    facts.settings = vec![
        settings_of("app", &["myapp.tenant=x"]),
        settings_of("app_clone", &["role=app", "MyApp.Tenant=x"]),
    ];
    assert!(planned(&facts, "app").missing.is_empty());
    facts.settings[0] = settings_of("app", &["myapp.tenant=y"]);
    let missing = planned(&facts, "app").missing;
    let grant = r#"GRANT SET ON PARAMETER "myapp.tenant" TO "rdsmaster""#;
    assert_eq!(missing[0].fix.as_deref(), Some(grant));
    let instead = r#"ALTER ROLE "app_clone" SET "MyApp.Tenant" TO 'y'"#;
    assert!(missing[0].what.contains(instead), "{missing:?}");
    assert!(planned(&facts, "app_clone").missing.is_empty());
    facts.settings[0] = settings_of("app", &[]);
    let missing = planned(&facts, "app").missing;
    assert!(missing[0].what.contains(r#"RESET "MyApp.Tenant""#));
    facts.version = 140_000;
    let missing = planned(&facts, "app").missing;
    let fix = r#"ALTER ROLE "app_clone" RESET "MyApp.Tenant""#;
    assert_eq!(missing[0].fix.as_deref(), Some(fix));
}

#[test]
fn what_the_new_owner_lacks_is_missing_once_for_each_grant() {
    let mut facts = facts();
    let obstacle = |object: &str, lacks: Option<&str>, fix: &str| Obstacle {
        database: "orders".into(),
        object: object.into(),
        lacks: lacks.map(Into::into),
        fix: fix.into(),
    };
    let (create, own) = (
        "GRANT CREATE ON SCHEMA s TO \"app\"",
        "ALTER EVENT TRIGGER e OWNER TO CURRENT_USER",
    );
    facts.obstacles = vec![
        obstacle("event trigger e", None, own),
        obstacle("function f()", Some("CREATE on schema s"), create),
        obstacle("function g()", Some("CREATE on schema s"), create),
    ];
    let inspection = planned(&facts, "app");
    assert_eq!(inspection.missing.len(), 1);
    assert_eq!(inspection.missing[0].fix.as_deref(), Some(create));
    assert_eq!(errors(&inspection), [Some(Code::DbRefused)]);
    facts.databases = vec![Database {
        name: "billing".into(),
        allows_connections: true,
        may_connect: false,
    }];
    let connect = r#"GRANT CONNECT ON DATABASE "billing" TO "rdsmaster""#;
    let missing = planned(&facts, "app").missing;
    assert!(missing.iter().any(|f| f.fix.as_deref() == Some(connect)));
}

#[test]
fn a_database_without_connections_is_left_alone() {
    let mut facts = facts();
    facts.owned = vec![Owned {
        database: "closed".into(),
        count: 1,
    }];
    facts.databases = vec![Database {
        name: "closed".into(),
        allows_connections: false,
        may_connect: true,
    }];
    let inspection = planned(&facts, "app");
    assert_eq!(texts(&inspection), [""; 0]);
    assert!(inspection.missing.is_empty() && errors(&inspection).is_empty());
}

#[test]
fn nothing_is_taken_from_a_base_user_that_is_the_standby() {
    let mut facts = facts();
    facts.settings = vec![
        settings_of("app", &["search_path=app", "lock_timeout=1s"]),
        settings_of(
            "app_clone",
            &["role=app", "lock_timeout=2s", "work_mem=5MB"],
        ),
    ];
    let base = facts.base.as_mut().unwrap();
    (base.createdb, base.connection_limit) = (true, 40);
    base.valid_until = Some("2099-01-01 00:00:00+00".into());
    let gained = [r#"ALTER ROLE "app" SET "work_mem" TO '5MB'"#];
    for set_role in [true, false] {
        let options = PostgresOptions { set_role };
        let inspection = plan(&facts, &Pair::of("app_clone", "_clone"), &options);
        assert_eq!(texts(&inspection), gained);
        assert!(errors(&inspection).is_empty() && inspection.missing.is_empty());
        let notes: Vec<_> = inspection.findings.iter().map(|f| &f.what).collect();
        for what in [
            "search_path",
            "lock_timeout",
            "CONNECTION LIMIT",
            "VALID UNTIL",
        ] {
            let listed = notes.iter().any(|note| note.starts_with(what));
            assert!(listed, "{what} is not in {notes:?}");
        }
    }
    facts.base.as_mut().unwrap().expired = true;
    let replaced = r#"ALTER ROLE "app" VALID UNTIL 'infinity'"#;
    assert!(texts(&planned(&facts, "app_clone")).contains(&replaced.to_owned()));
    facts.clone.as_mut().unwrap().expired = true;
    assert_eq!(texts(&planned(&facts, "app_clone")), gained);
}

#[test]
fn attributes_of_an_adopted_clone_are_given_to_the_base_user() {
    let changes = |facts: &Facts| -> Vec<String> {
        let differences = planned(facts, "app_clone").differences;
        let texts = differences
            .iter()
            .map(|change| change.statement.to_string());
        texts.collect()
    };
    let mut facts = facts();
    facts.master.createdb = true;
    facts.master.bypassrls = true;
    let clone = facts.clone.as_mut().unwrap();
    clone.createdb = true;
    clone.bypassrls = true;
    // Its sessions become the base user, whose attributes count.
    assert!(changes(&facts).is_empty());
    facts.settings = vec![];
    let given = [
        "ALTER ROLE \"app\" CREATEDB",
        "ALTER ROLE \"app\" BYPASSRLS",
    ];
    assert_eq!(changes(&facts), given);
    facts.master.bypassrls = false;
    let fix = |facts: &Facts| -> Option<String> {
        let missing = planned(facts, "app_clone").missing;
        assert_eq!(missing.len(), 1, "{missing:?}");
        assert_eq!(missing[0].code, Some(Code::PrivilegesMissing));
        missing[0].fix.clone()
    };
    assert_eq!(
        fix(&facts).as_deref(),
        Some("ALTER ROLE \"rdsmaster\" BYPASSRLS")
    );
    facts.version = 150_000;
    assert_eq!(fix(&facts).as_deref(), Some("ALTER ROLE \"app\" BYPASSRLS"));
}
