use super::*;

fn row(owner: &str, schema: Option<&str>, grantee: Grantee, privilege: &str) -> DefaultPrivilege {
    DefaultPrivilege {
        on: NewObjects {
            owner: owner.into(),
            schema: schema.map(str::to_owned),
            kind: Kind::Tables,
        },
        grantee,
        privilege: privilege.into(),
        option: false,
    }
}

/// What the pair has for each other already.
fn settled(pair: &Pair) -> Vec<DefaultPrivilege> {
    let mut rows = Vec::new();
    for ((on, grantee), held) in own(pair) {
        rows.extend(
            held.into_iter()
                .map(|(privilege, option)| DefaultPrivilege {
                    on: on.clone(),
                    grantee: grantee.clone(),
                    privilege,
                    option,
                }),
        );
    }
    rows
}

fn texts(rows: &[DefaultPrivilege], user: &str) -> Vec<String> {
    let pair = Pair::of(user, "_clone");
    let all = [settled(&pair), rows.to_vec()].concat();
    let changes = changes(&all, &pair);
    changes.iter().map(|c| c.statement.to_string()).collect()
}

fn user(name: &str) -> Grantee {
    Grantee::User(name.into())
}

#[test]
fn what_one_of_a_pair_creates_the_other_can_use_at_once() {
    let pair = Pair::of("app", "_clone");
    let first: Vec<String> = changes(&[], &pair)
        .iter()
        .map(|c| c.statement.to_string())
        .collect();
    assert_eq!(first.len(), 6);
    assert_eq!(
        first[0],
        "ALTER DEFAULT PRIVILEGES FOR USER \"app\" GRANT DELETE, INSERT, REFERENCES, SELECT, UPDATE \
         ON TABLES TO \"app_clone\" WITH GRANT OPTION"
    );
    assert_eq!(
        first[5],
        "ALTER DEFAULT PRIVILEGES FOR USER \"app_clone\" GRANT EXECUTE ON PROCEDURES TO \"app\" \
         WITH GRANT OPTION"
    );
    for active in ["app", "app_clone"] {
        assert_eq!(texts(&[], active), [""; 0]);
    }
}

#[test]
fn default_privileges_are_equal_as_owner_and_as_grantee() {
    let rows = [
        row("app", None, Grantee::Group("readers".into()), "SELECT"),
        row("etl", Some("s"), user("app"), "INSERT"),
        row("app_clone", None, Grantee::Public, "SELECT"),
        row("etl", None, user("app_clone"), "DELETE"),
    ];
    assert_eq!(
        texts(&rows, "app"),
        [
            "ALTER DEFAULT PRIVILEGES FOR USER \"app_clone\" REVOKE SELECT ON TABLES FROM PUBLIC",
            "ALTER DEFAULT PRIVILEGES FOR USER \"etl\" REVOKE DELETE ON TABLES FROM \"app_clone\"",
            "ALTER DEFAULT PRIVILEGES FOR USER \"app_clone\" GRANT SELECT ON TABLES TO GROUP \"readers\"",
            "ALTER DEFAULT PRIVILEGES FOR USER \"etl\" IN SCHEMA \"s\" GRANT INSERT ON TABLES TO \"app_clone\"",
        ]
    );
}

#[test]
fn a_surplus_grant_option_is_taken_with_its_privilege_which_is_then_given_without() {
    let rows = [
        row("etl", None, user("app"), "SELECT"),
        DefaultPrivilege {
            option: true,
            ..row("etl", None, user("app_clone"), "SELECT")
        },
    ];
    assert_eq!(
        texts(&rows, "app"),
        [
            "ALTER DEFAULT PRIVILEGES FOR USER \"etl\" REVOKE SELECT ON TABLES FROM \"app_clone\"",
            "ALTER DEFAULT PRIVILEGES FOR USER \"etl\" GRANT SELECT ON TABLES TO \"app_clone\"",
        ]
    );
}

#[test]
fn nothing_between_the_two_comes_and_goes_with_who_is_active() {
    let extra = row("app", Some("s"), user("app_clone"), "SELECT");
    let extra = [extra];
    assert_eq!(texts(&extra, "app"), [""; 0]);
    assert_eq!(texts(&extra, "app_clone"), [""; 0]);
}
