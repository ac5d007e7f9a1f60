//! Users, groups, roles and grants in Redshift's SQL.

use super::*;

/// Asserts that each statement fails with this text in its error.
async fn all_fail(setup: &Setup, user: &str, statements: &[(&str, &str)]) {
    for (sql, words) in statements {
        let error = setup.run(user, sql).await.expect_err(sql);
        assert!(error.contains(words), "{sql}: {error}");
    }
}

#[tokio::test]
async fn unsupported_syntax_is_refused() {
    let setup = Setup::new().await;
    setup
        .admin(&[
            "CREATE USER app PASSWORD DISABLE",
            "CREATE TABLE t (n int)",
            "CREATE GROUP g",
        ])
        .await;
    let syntax = "syntax error";
    all_fail(
        &setup,
        "admin",
        &[
            ("CREATE USER IF NOT EXISTS other PASSWORD DISABLE", syntax),
            ("CREATE USER other", syntax),
            ("CREATE USER other PASSWORD $1", syntax),
            ("CREATE USER app PASSWORD DISABLE", "already exists"),
            ("CREATE ROLE other LOGIN", syntax),
            ("ALTER ROLE app SUPERUSER", syntax),
            ("ALTER USER app SUPERUSER", syntax),
            (
                "ALTER USER missing CREATEDB",
                "user \"missing\" does not exist",
            ),
            ("GRANT app TO admin", syntax),
            ("GRANT SELECT ON t TO g", "user \"g\" does not exist"),
            (
                "GRANT SELECT ON t TO GROUP app",
                "group \"app\" does not exist",
            ),
            (
                "GRANT SELECT ON t TO GROUP g WITH GRANT OPTION",
                "GRANT OPTION",
            ),
            (
                "GRANT SELECT (n) ON t TO app WITH GRANT OPTION",
                "not supported",
            ),
            ("GRANT TRIGGER ON t TO app", "invalid privilege"),
            ("GRANT CONNECT ON DATABASE dev TO app", "invalid privilege"),
            ("GRANT USAGE ON TYPE int4 TO app", syntax),
            ("REASSIGN OWNED BY app TO admin", syntax),
            ("DO $$ BEGIN END $$", syntax),
            ("BEGIN", syntax),
            ("SELECT pg_advisory_lock(1)", "does not exist"),
            ("SELECT pg_try_advisory_lock(1)", "does not exist"),
            ("SELECT * FROM pg_roles", "does not exist"),
            (
                "SELECT string_agg(usename, ',') FROM pg_user",
                "does not exist",
            ),
            ("SELECT '{}'::jsonb", "does not exist"),
            ("INSERT INTO t VALUES (1) RETURNING n", syntax),
            ("LOCK TABLE t IN SHARE MODE", syntax),
            ("SELECT * FROM pg_stand_in.extra", "does not exist"),
            ("COPY t FROM '/etc/passwd'", syntax),
            ("SELECT E'a'", "does not exist"),
        ],
    )
    .await;
}

#[tokio::test]
async fn quoted_names_are_folded_except_user_names() {
    let setup = Setup::new().await;
    setup
        .admin(&[
            "CREATE TABLE \"Folded\" (\"N\" int)",
            "SELECT n FROM folded",
            "CREATE USER \"Kept\" PASSWORD DISABLE",
            "CREATE USER Folded PASSWORD DISABLE",
            "GRANT SELECT ON \"FOLDED\" TO \"Kept\"",
            "CREATE GROUP \"G\"",
            "ALTER GROUP g ADD USER \"Kept\"",
            "ALTER TABLE folded OWNER TO \"Kept\"",
        ])
        .await;
    let users = setup
        .column(
            "admin",
            "SELECT usename FROM pg_user WHERE usename ILIKE '%e%'",
        )
        .await;
    assert_eq!(users, ["Kept", "folded"]);
    let long = "x".repeat(128);
    all_fail(
        &setup,
        "admin",
        &[
            (&format!("CREATE USER {long} PASSWORD DISABLE"), "127 bytes"),
            ("ALTER USER \"kept\" CREATEDB", "does not exist"),
        ],
    )
    .await;
    assert_eq!(
        setup.column("admin", r"SELECT 'a\\b\'c'").await,
        [r"a\b'c"],
        "a backslash escapes"
    );
}

#[tokio::test]
async fn rules_apply_to_clear_passwords_only() {
    let setup = Setup::new().await;
    setup
        .admin(&[
            "CREATE USER app PASSWORD 'Abcdefg1'",
            "ALTER USER app PASSWORD 'md5153c434b4b77c89e6b94f12c5393af5b'",
        ])
        .await;
    for weak in [
        "Abcdef1",
        "abcdefg1",
        "ABCDEFG1",
        "Abcdefgh",
        "Abcdefg1/",
        "Abcdefg1@",
        "Abcdef g1",
        "sha256|short",
        "sha256|abc|def",
    ] {
        setup
            .run("admin", &format!("ALTER USER app PASSWORD '{weak}'"))
            .await
            .expect_err(weak);
    }
    all_fail(
        &setup,
        "admin",
        &[
            ("ALTER USER admin PASSWORD DISABLE", "superuser"),
            ("CREATE USER s CREATEUSER PASSWORD DISABLE", "superuser"),
            ("ALTER USER app SESSION TIMEOUT 59", "TIMEOUT"),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_user_may_change_only_its_own_password() {
    let setup = Setup::new().await;
    setup.user("app").await;
    setup
        .run("app", "ALTER USER app PASSWORD 'Another0Password'")
        .await
        .unwrap();
    setup.secret("app", "Another0Password").await;
    all_fail(
        &setup,
        "app",
        &[
            ("ALTER USER app CREATEDB", "permission denied"),
            ("ALTER USER app PASSWORD DISABLE", "permission denied"),
            ("ALTER USER app CREATEUSER", "superuser"),
        ],
    )
    .await;
}

#[tokio::test]
async fn system_privileges_do_not_create_superusers() {
    let setup = Setup::new().await;
    setup.user("keeper").await;
    setup
        .admin(&[
            "CREATE ROLE keepers",
            "GRANT CREATE USER, ALTER USER TO ROLE keepers",
            "GRANT ROLE keepers TO keeper",
        ])
        .await;
    for sql in [
        "CREATE USER made PASSWORD DISABLE",
        "ALTER USER made PASSWORD 'Some0Password' CONNECTION LIMIT 3",
    ] {
        setup.run("keeper", sql).await.unwrap();
    }
    all_fail(
        &setup,
        "keeper",
        &[
            (
                "CREATE USER s CREATEUSER PASSWORD 'Some0Password'",
                "superuser",
            ),
            ("ALTER USER admin CONNECTION LIMIT 3", "permission denied"),
            ("DROP USER made", "permission denied"),
        ],
    )
    .await;
    setup.admin(&["REVOKE CREATE USER FROM ROLE keepers"]).await;
    all_fail(
        &setup,
        "keeper",
        &[("CREATE USER other PASSWORD DISABLE", "superuser")],
    )
    .await;
}

#[tokio::test]
async fn groups_and_roles_pass_on_privileges() {
    let setup = Setup::new().await;
    for name in ["one", "two"] {
        setup.user(name).await;
    }
    setup
        .admin(&[
            "CREATE TABLE t (n int)",
            "CREATE TABLE u (n int)",
            "CREATE GROUP g WITH USER one",
            "CREATE ROLE r",
            "GRANT SELECT ON t TO GROUP g",
            "GRANT SELECT ON u TO ROLE r",
            "GRANT ROLE r TO one WITH ADMIN OPTION",
        ])
        .await;
    setup.run("one", "SELECT * FROM t, u").await.unwrap();
    setup.run("one", "GRANT ROLE r TO two").await.unwrap();
    setup.run("two", "SELECT * FROM u").await.unwrap();
    all_fail(
        &setup,
        "two",
        &[
            ("SELECT * FROM t", "permission denied"),
            ("REVOKE ROLE r FROM one", "permission denied"),
        ],
    )
    .await;
    setup
        .admin(&[
            "REVOKE ADMIN OPTION FOR ROLE r FROM one",
            "ALTER GROUP g DROP USER one",
        ])
        .await;
    all_fail(
        &setup,
        "one",
        &[
            ("SELECT * FROM t", "permission denied"),
            ("REVOKE ROLE r FROM two", "permission denied"),
        ],
    )
    .await;
    setup.run("one", "SELECT * FROM u").await.unwrap();
}

#[tokio::test]
async fn a_statement_after_a_lock_sees_committed_changes() {
    let setup = Setup::new().await;
    setup
        .admin(&["CREATE TABLE leases (holder varchar, expires timestamp)"])
        .await;
    let take = |who: &str| {
        let insert = format!(
            "INSERT INTO leases SELECT '{who}', getdate() + interval '1 hour' WHERE NOT EXISTS (SELECT 1 FROM leases)"
        );
        setup
            .batch(
                "admin",
                &["LOCK TABLE leases", &insert, "SELECT holder FROM leases"],
            )
            .wait_time_seconds(30)
    };
    let (one, two) = tokio::join!(take("one").send(), take("two").send());
    for submitted in [one.unwrap(), two.unwrap()] {
        assert_eq!(submitted.status().unwrap().as_str(), "FINISHED");
    }
    let holders = setup
        .column(
            "admin",
            "SELECT holder FROM leases WHERE expires > getdate()",
        )
        .await;
    assert_eq!(holders.len(), 1, "{holders:?}");
}
