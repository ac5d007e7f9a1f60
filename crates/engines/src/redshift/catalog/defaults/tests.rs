use super::*;

fn row(owner: &str, schema: Option<&str>, grantee: Grantee, privilege: &str) -> DefaultPrivilege {
    DefaultPrivilege {
        on: NewObjects {
            owner: owner.into(),
            schema: schema.map(str::to_owned),
            kind: ObjectKind::Tables,
        },
        grantee,
        privilege: privilege.into(),
        option: false,
    }
}

/// The rows that exist after a run.
fn existing_rows(pair: &Pair) -> Vec<DefaultPrivilege> {
    let mut rows = Vec::new();
    for ((on, grantee), held) in pair_defaults(pair) {
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
    let all = [existing_rows(&pair), rows.to_vec()].concat();
    let changes = changes(&all, &pair);
    changes.iter().map(|c| c.statement.to_string()).collect()
}

fn user(name: &str) -> Grantee {
    Grantee::User(name.into())
}

#[test]
fn each_user_can_use_new_objects_of_the_other() {
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
fn default_privileges_equal_by_owner_and_grantee() {
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
fn a_surplus_grant_option_is_revoked_with_its_privilege() {
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
fn entries_between_the_pair_do_not_depend_on_the_active_user() {
    let extra = row("app", Some("s"), user("app_clone"), "SELECT");
    let extra = [extra];
    assert_eq!(texts(&extra, "app"), [""; 0]);
    assert_eq!(texts(&extra, "app_clone"), [""; 0]);
}

#[test]
fn execute_for_public_is_not_revoked_from_one_user() {
    let functions = |grantee: Grantee| {
        let mut row = row("app_clone", None, grantee, "EXECUTE");
        row.on.kind = ObjectKind::Functions;
        row
    };
    let rows = [
        functions(Grantee::Public),
        functions(Grantee::Group("readers".into())),
    ];
    let changes = changes(&rows, &Pair::of("app", "_clone"));
    let revoked = changes.iter().filter(|c| c.kind == ChangeKind::Revoke);
    let revoked: Vec<String> = revoked.map(|c| c.statement.to_string()).collect();
    assert_eq!(
        revoked,
        [
            "ALTER DEFAULT PRIVILEGES FOR USER \"app_clone\" REVOKE EXECUTE ON FUNCTIONS FROM GROUP \"readers\""
        ]
    );
}
