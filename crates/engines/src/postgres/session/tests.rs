use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row};
use twinkey_testkit::postgres::{LocalPostgres, Options};

use super::{SETTINGS, reset};
use crate::postgres::Connector;
use crate::{Credentials, Target, Tls, TlsMode};

const EVIL: &str = "evil";

/// A value other than the default for each setting that any user may change.
const VALUES: &str = "SELECT name, CASE \
     WHEN name LIKE '%timeout' THEN '1' \
     WHEN vartype = 'bool' THEN CASE boot_val WHEN 'on' THEN 'off' ELSE 'on' END \
     WHEN vartype = 'enum' THEN (SELECT v FROM unnest(enumvals) v WHERE v <> boot_val LIMIT 1) \
     WHEN boot_val::float8 = max_val::float8 THEN min_val ELSE max_val END \
     FROM pg_settings WHERE context = 'user' AND vartype <> 'string'";

/// Settings of sessions, by their names in `SETTINGS` and in the driver.
const TEXTS: [(&str, &str); 7] = [
    ("role", "owner"),
    ("search_path", "public, evil"),
    ("DateStyle", "SQL, DMY"),
    ("TimeZone", "Asia/Kathmandu"),
    ("client_encoding", "LATIN1"),
    ("local_preload_libraries", "missing"),
    ("default_tablespace", "missing"),
];

fn target(server: &LocalPostgres, database: &str) -> Target {
    Target {
        address: None,
        host: server.host().into(),
        port: Some(server.port()),
        dbname: Some(database.into()),
        tls: Tls {
            mode: TlsMode::Disable,
            ca_file: None,
        },
    }
}

async fn run(connection: &mut PgConnection, sql: &str) -> sqlx::Result<()> {
    let sql = AssertSqlSafe(sql.to_owned());
    sqlx::raw_sql(sql).execute(connection).await.map(drop)
}

/// Creates a database whose owner set all that an owner can. Returns the number of settings.
async fn database_of_an_owner(server: &LocalPostgres) -> usize {
    let root = Connector::new(&target(server, "postgres"), server.superuser()).unwrap();
    let mut root = root.connect().await.unwrap();
    for sql in [
        "CREATE ROLE owner LOGIN",
        "CREATE DATABASE evil OWNER owner",
        "CREATE ROLE rdsmaster LOGIN CREATEROLE PASSWORD 'Master-0123456789'",
        "GRANT owner TO rdsmaster",
    ] {
        run(&mut root, sql).await.unwrap();
    }
    let values = sqlx::raw_sql(VALUES).fetch_all(&mut root).await.unwrap();
    // An enumeration may have one value only.
    let mut values: Vec<(String, String)> = values
        .iter()
        .filter_map(|row| Some((row.get(0), row.get::<Option<_>, _>(1)?)))
        .collect();
    let texts = TEXTS.map(|(name, value)| (name.to_owned(), value.to_owned()));
    values.extend(texts);
    run(&mut root, "SET SESSION AUTHORIZATION owner")
        .await
        .unwrap();
    let mut set = 0;
    for (name, value) in values {
        let value = if name == "search_path" {
            value
        } else {
            format!("'{value}'")
        };
        let alter = format!("ALTER DATABASE {EVIL} SET {name} = {value}");
        // An owner cannot set some of them for a database.
        set += usize::from(run(&mut root, &alter).await.is_ok());
    }
    set
}

/// Names and values of a session.
async fn settings(connection: &mut PgConnection, condition: &str) -> Vec<(String, String)> {
    let query = format!("SELECT name, setting FROM pg_settings WHERE {condition} ORDER BY 1");
    let rows = sqlx::raw_sql(AssertSqlSafe(query)).fetch_all(connection);
    let rows = rows.await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

async fn is_untouched(connection: &mut PgConnection) {
    // Of a default of 0, the server shows the operating system's value.
    let others = "context = 'user' AND setting IS DISTINCT FROM boot_val \
         AND name NOT LIKE 'tcp_keepalives%' \
         AND source NOT IN ('client', 'configuration file', 'default', 'override')";
    assert_eq!(settings(connection, others).await, []);
    let own = settings(connection, "source = 'client'").await;
    for (name, value) in SETTINGS {
        // `role` is not listed. The server converts units of time.
        let of_session = own.iter().find(|(own, _)| own == name);
        match (name, of_session) {
            ("role", None) => {}
            (_, Some((_, own))) if name.ends_with("timeout") => assert_ne!(own, "1", "{name}"),
            (_, Some((_, own))) => assert_eq!(own, value, "{name}"),
            (_, None) => panic!("{name} is not of the session"),
        }
    }
    let role = "SELECT current_user = session_user AND current_setting('role') = 'none'";
    let role = sqlx::raw_sql(role).fetch_one(connection).await.unwrap();
    assert!(role.get::<bool, _>(0), "the role of the database");
}

#[tokio::test]
async fn the_owner_of_a_database_changes_nothing_of_the_master() {
    for (version, bin) in LocalPostgres::installed() {
        let server = LocalPostgres::start(&Options::new(bin)).unwrap();
        let set = database_of_an_owner(&server).await;
        assert!(set > 80, "{version}: {set}");
        let master = Credentials {
            username: "rdsmaster".into(),
            password: secrecy::SecretString::from("Master-0123456789"),
        };
        let connector = Connector::admin(&target(&server, EVIL), &master).unwrap();
        let mut connection = connector.connect().await.unwrap();
        is_untouched(&mut connection).await;
        for sql in ["SET role = owner", "SET work_mem = '1MB'", "SET jit = on"] {
            run(&mut connection, sql).await.unwrap();
        }
        reset(&mut connection).await.unwrap();
        is_untouched(&mut connection).await;
    }
}

#[tokio::test]
async fn the_servers_own_password_encryption_stays() {
    let mut options = Options::new(LocalPostgres::find(None).unwrap());
    options.settings.push("password_encryption=md5".into());
    let server = LocalPostgres::start(&options).unwrap();
    let target = target(&server, "postgres");
    let connector = Connector::admin(&target, server.superuser()).unwrap();
    let mut connection = connector.connect().await.unwrap();
    let condition = "name = 'password_encryption'";
    let of_server = settings(&mut connection, condition).await;
    assert_eq!(of_server[0].1, "md5");

    let alter = "ALTER DATABASE postgres SET password_encryption = 'md5'";
    run(&mut connection, alter).await.unwrap();
    let mut connection = connector.connect().await.unwrap();
    let of_database = settings(&mut connection, condition).await;
    assert_eq!(of_database[0].1, "scram-sha-256");
}
