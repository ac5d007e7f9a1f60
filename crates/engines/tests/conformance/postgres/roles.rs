//! Base users whose sessions have the role of an owner.

use sqlx::Row;
use twinkey_core::secret::pair::PairMember;
use twinkey_engines::{Credentials, EngineError, SignInChecks};

use super::adopted::adopted;
use super::found_first::mend;
use super::{Server, run};
use crate::case::Case;
use crate::harness::Harness;

pub async fn all(server: &Server) {
    both_users_work_as_the_owner_role(server).await;
    a_role_that_the_base_user_may_not_set_is_ignored(server).await;
    objects_of_an_adopted_clone_go_to_the_owner_role(server).await;
    privileges_of_all_databases_reach_the_owner_role_of_one(server).await;
    a_session_with_another_role_is_no_proof(server).await;
}

/// Name of the base user, attributes, and how its sessions get the role `{base}_owner`.
const CHOICES: [(&str, &str, &str); 6] = [
    (
        "chosen_one",
        "NOINHERIT",
        "ALTER ROLE {base} SET role = '{base}_owner'",
    ),
    (
        "chosen_two",
        "INHERIT",
        "ALTER ROLE {base} SET role = '{base}_owner'",
    ),
    (
        "chosen_three",
        "NOINHERIT",
        "ALTER ROLE {base} IN DATABASE {database} SET role = '{base}_owner'",
    ),
    (
        "chosen_four",
        "NOINHERIT",
        "ALTER DATABASE {database} SET role = '{base}_owner'",
    ),
    (
        "chosen_five",
        "INHERIT",
        "ALTER ROLE {base} SET role = 'none'; \
         ALTER ROLE {base} IN DATABASE {database} SET role = '{base}_owner'",
    ),
    (
        "chosen_six",
        "INHERIT",
        "ALTER DATABASE {database} SET role = 'postgres'; ALTER ROLE {base} SET role = '{base}_owner'",
    ),
];

/// Gives the base user an owner role with a schema.
async fn choose(server: &Server, case: &Case<'_>, attributes: &str, choice: &str) {
    let (base, database) = (&case.pair.base, &case.namespace);
    let member = if server.version >= 16 {
        " WITH INHERIT FALSE, SET TRUE"
    } else {
        ""
    };
    let owner = format!(
        "CREATE ROLE {base}_owner; ALTER ROLE {base} {attributes}; GRANT {base}_owner TO {base}{member}; \
         CREATE SCHEMA owned AUTHORIZATION {base}_owner"
    );
    server.sql(database, &owner).await;
    let choice = choice
        .replace("{base}", base)
        .replace("{database}", database);
    server.sql(database, &choice).await;
}

/// Works on the tables of all earlier rounds, and returns user, role and owner of the new table.
async fn work(server: &Server, case: &Case<'_>, who: &Credentials, round: usize) -> [String; 3] {
    let mut app = server.connect_as(&case.namespace, who).await;
    for earlier in 0..round {
        let alter = format!("ALTER TABLE owned.t{earlier} ADD COLUMN c{round} int");
        run(&mut app, &alter).await;
    }
    run(&mut app, &format!("CREATE TABLE owned.t{round} ()")).await;
    let query = "SELECT session_user::text, current_user::text, tableowner::text FROM pg_tables \
         WHERE schemaname = 'owned' AND tablename = $1";
    let row = sqlx::query(query)
        .bind(format!("t{round}"))
        .fetch_one(&mut app)
        .await
        .unwrap();
    [0, 1, 2].map(|column| row.get(column))
}

async fn both_users_work_as_the_owner_role(server: &Server) {
    for (base, attributes, choice) in CHOICES {
        let mut case = Case::new(server, base).await;
        choose(server, &case, attributes, choice).await;
        let owner = format!("{base}_owner");
        let mut round = 0;
        for _ in 0..3 {
            let mut both = vec![case.current.clone()];
            both.extend(case.previous.clone());
            for who in both {
                let worked = work(server, &case, &who, round).await;
                assert_eq!(
                    worked,
                    [who.username.clone(), owner.clone(), owner.clone()],
                    "{choice}"
                );
                round += 1;
            }
            case.rotate().await;
        }
    }
}

async fn a_role_that_the_base_user_may_not_set_is_ignored(server: &Server) {
    let mut case = Case::new(server, "not_chosen").await;
    let set = format!(
        "CREATE ROLE not_chosen_owner; ALTER DATABASE {} SET role = 'not_chosen_owner'; \
         CREATE SCHEMA owned AUTHORIZATION not_chosen",
        case.namespace
    );
    server.sql(&case.namespace, &set).await;
    for round in 0..3 {
        case.rotate().await;
        let worked = work(server, &case, &case.current, round).await;
        assert_eq!(worked[1..], ["not_chosen", "not_chosen"]);
    }
}

async fn objects_of_an_adopted_clone_go_to_the_owner_role(server: &Server) {
    let mut case = adopted(server, "inherited").await;
    choose(
        server,
        &case,
        "NOINHERIT",
        "ALTER ROLE {base} SET role = '{base}_owner'",
    )
    .await;
    let objects = "CREATE TABLE owned.t0 (); ALTER TABLE owned.t0 OWNER TO inherited_clone; \
         CREATE FUNCTION owned.f() RETURNS int LANGUAGE sql RETURN 1; \
         ALTER FUNCTION owned.f() OWNER TO inherited_clone";
    server.sql(&case.namespace, objects).await;
    mend(server, &case).await;
    for round in 1..4 {
        case.rotate().await;
        let worked = work(server, &case, &case.current, round).await;
        assert_eq!(worked[1..], ["inherited_owner", "inherited_owner"]);
    }
    assert_eq!(case.pair.active, PairMember::Base);
}

/// The owner role is that of sessions in another database than the rotation's.
async fn privileges_of_all_databases_reach_the_owner_role_of_one(server: &Server) {
    let mut case = adopted(server, "spread").await;
    let other = "spread_other";
    let member = if server.version >= 16 {
        " WITH INHERIT FALSE, SET TRUE"
    } else {
        ""
    };
    let mut superuser = server.connect(&case.namespace).await;
    for statement in [
        "CREATE DATABASE spread_other",
        "SET allow_in_place_tablespaces = on",
        "CREATE TABLESPACE spread_lent LOCATION ''",
        "CREATE TABLESPACE spread_own LOCATION ''",
    ] {
        run(&mut superuser, statement).await;
    }
    let grants = format!(
        "CREATE ROLE spread_owner; GRANT spread_owner TO spread{member}; \
         ALTER ROLE spread IN DATABASE {other} SET role = 'spread_owner'; \
         GRANT SET ON PARAMETER log_min_messages TO spread; \
         GRANT SET ON PARAMETER log_min_duration_statement TO spread, spread_clone; \
         GRANT CREATE ON DATABASE {other} TO spread; GRANT CREATE ON TABLESPACE spread_lent TO spread; \
         ALTER TABLESPACE spread_own OWNER TO spread"
    );
    server.sql(&case.namespace, &grants).await;
    mend(server, &case).await;
    let can = "SELECT has_parameter_privilege('log_min_messages', 'SET') \
         AND has_parameter_privilege('log_min_duration_statement', 'SET') \
         AND has_database_privilege('spread_other', 'CREATE') \
         AND has_tablespace_privilege('spread_lent', 'CREATE') \
         AND has_tablespace_privilege('spread_own', 'CREATE')";
    for _ in 0..3 {
        for database in [case.namespace.as_str(), other] {
            let mut app = server.connect_as(database, &case.current).await;
            let row = sqlx::query(can).fetch_one(&mut app).await.unwrap();
            let user = &case.current.username;
            assert!(row.get::<bool, _>(0), "{user} in {database}");
        }
        case.rotate().await;
    }
}

async fn a_session_with_another_role_is_no_proof(server: &Server) {
    let mut case = Case::new(server, "proved").await;
    case.rotate().await;
    let checks = |role| SignInChecks {
        role: Some(role),
        ..SignInChecks::default()
    };
    let (engine, target) = (server.engine(), case.target());
    engine
        .sign_in(&target, &case.current, checks("proved"))
        .await
        .unwrap();
    let other = engine
        .sign_in(&target, &case.current, checks("proved_owner"))
        .await;
    assert!(matches!(other, Err(EngineError::Refused { .. })));
}
