use super::*;

fn texts(active: User, standby: Option<User>) -> Vec<String> {
    let facts = Facts {
        active: Some(active),
        standby,
        ..Facts::default()
    };
    let changes = changes(&facts, &Pair::of("app", "_clone"));
    changes.iter().map(|c| c.statement.to_string()).collect()
}

fn user(limits: Limits) -> User {
    User {
        limits: Some(limits),
        ..User::default()
    }
}

#[test]
fn groups_roles_and_admin_options_become_equal() {
    let mut active = user(Limits::default());
    let mut standby = active.clone();
    active.groups = ["g".to_owned()].into();
    standby.groups = ["h\"".to_owned()].into();
    active.roles = [("a".to_owned(), true), ("b".to_owned(), false)].into();
    standby.roles = [("b".to_owned(), true), ("c".to_owned(), false)].into();
    assert_eq!(
        texts(active.clone(), Some(standby)),
        [
            "ALTER GROUP \"g\" ADD USER \"app_clone\"",
            "ALTER GROUP \"h\"\"\" DROP USER \"app_clone\"",
            "GRANT ROLE \"a\" TO \"app_clone\" WITH ADMIN OPTION",
            "REVOKE ADMIN OPTION FOR ROLE \"b\" FROM \"app_clone\"",
            "REVOKE ROLE \"c\" FROM \"app_clone\"",
        ]
    );
    assert_eq!(texts(active.clone(), Some(active)), [""; 0]);
}

#[test]
fn a_new_standby_gets_all_non_default_attributes() {
    let mut active = user(Limits {
        connections: Some(5),
        session_timeout: Some(600),
        syslog: true,
    });
    active.createdb = true;
    active.valid_until = Some("2030-01-01 00:00:00+00".into());
    active.settings = [("search_path".to_owned(), "\"$user\", \"a b\"".to_owned())].into();
    assert_eq!(
        texts(active.clone(), None),
        [
            "ALTER USER \"app_clone\" CREATEDB",
            "ALTER USER \"app_clone\" VALID UNTIL '2030-01-01 00:00:00+00'",
            "ALTER USER \"app_clone\" CONNECTION LIMIT 5",
            "ALTER USER \"app_clone\" SESSION TIMEOUT 600",
            "ALTER USER \"app_clone\" SYSLOG ACCESS UNRESTRICTED",
            "ALTER USER \"app_clone\" SET search_path TO '$user', 'a b'",
        ]
    );
    assert_eq!(
        texts(user(Limits::default()), Some(active)),
        [
            "ALTER USER \"app_clone\" NOCREATEDB",
            "ALTER USER \"app_clone\" VALID UNTIL 'infinity'",
            "ALTER USER \"app_clone\" CONNECTION LIMIT UNLIMITED",
            "ALTER USER \"app_clone\" RESET SESSION TIMEOUT",
            "ALTER USER \"app_clone\" SYSLOG ACCESS RESTRICTED",
            "ALTER USER \"app_clone\" RESET search_path",
        ]
    );
}

#[test]
fn limits_hidden_from_the_admin_are_not_compared() {
    let unseen = User::default();
    let seen = user(Limits {
        connections: Some(5),
        ..Limits::default()
    });
    assert_eq!(texts(unseen.clone(), Some(seen.clone())), [""; 0]);
    assert_eq!(texts(seen, Some(unseen)), [""; 0]);
}

#[test]
fn a_setting_with_a_backslash_is_a_finding() {
    let mut active = user(Limits::default());
    active.settings = [("query_group".to_owned(), "a\\b".to_owned())].into();
    let facts = Facts {
        active: Some(active.clone()),
        ..Facts::default()
    };
    assert_eq!(findings(&facts).len(), 1);
    assert_eq!(texts(active, None), [""; 0]);
}
