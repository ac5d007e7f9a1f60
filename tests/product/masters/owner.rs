//! Settings of the owner of a database, which do not apply to the master.

use twinkey_testkit::environment::{Environment, Setup, run, value};

const SETTINGS: [&str; 6] = [
    "default_transaction_read_only = on",
    "role = 'app'",
    "password_encryption = 'md5'",
    "search_path = work",
    "idle_in_transaction_session_timeout = '1ms'",
    "quote_all_identifiers = on",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_run_does_not_depend_on_the_owner_of_the_database() {
    for version in [Some(15), None] {
        let env = Environment::open(Setup {
            version,
            ..Setup::default()
        })
        .await;
        let mut root = env.root("postgres").await;
        run(&mut root, "ALTER DATABASE shop OWNER TO app").await;
        // A session of the standby would delay the run.
        let mut owner = env.root("postgres").await;
        run(&mut owner, "SET SESSION AUTHORIZATION app").await;
        for setting in SETTINGS {
            run(&mut owner, &format!("ALTER DATABASE shop SET {setting}")).await;
            env.run_ok(&["check", "shop"]).await;
            env.run_ok(&["rotate", "shop"]).await;
            run(
                &mut owner,
                &format!("ALTER DATABASE shop RESET {}", name(setting)),
            )
            .await;
        }
        for setting in SETTINGS {
            run(&mut owner, &format!("ALTER DATABASE shop SET {setting}")).await;
        }
        env.run_ok(&["rotate", "shop"]).await;
        env.run_ok(&["rotate", "shop"]).await;
        env.run_ok(&["rollback", "shop"]).await;
        let md5: i64 = value(
            &mut root,
            "SELECT count(*) FROM pg_authid WHERE rolpassword LIKE 'md5%'",
        )
        .await;
        assert_eq!(md5, 0, "{version:?}");
    }
}

fn name(setting: &str) -> &str {
    setting.split(' ').next().unwrap_or(setting)
}
