use secrecy::SecretString;
use sqlx::mysql::MySqlConnection;
use sqlx::{AssertSqlSafe, Row};
use twinkey_testkit::mysql::{Flavor, LocalMysql};

use crate::mysql::Mysql;
use crate::mysql::test_servers::{root, start, target};
use crate::{Credentials, Engine, EngineError, InspectRequest, render_changes};
use twinkey_core::secret::pair::Pair;

/// A value other than the current one for each variable that sessions inherit.
const MARIADB_VALUES: &str = "SELECT VARIABLE_NAME, CASE VARIABLE_TYPE \
     WHEN 'BOOLEAN' THEN IF(GLOBAL_VALUE = 'ON', 'OFF', 'ON') \
     WHEN 'ENUM' THEN SUBSTRING_INDEX(REPLACE(CONCAT(ENUM_VALUE_LIST, ','), CONCAT(GLOBAL_VALUE, ','), ''), ',', 1) \
     ELSE IF(GLOBAL_VALUE + 0 = NUMERIC_MIN_VALUE + 0, NUMERIC_MAX_VALUE, NUMERIC_MIN_VALUE) END, \
     GLOBAL_VALUE \
     FROM information_schema.SYSTEM_VARIABLES WHERE VARIABLE_SCOPE = 'SESSION' \
     AND READ_ONLY = 'NO' AND GLOBAL_VALUE IS NOT NULL \
     AND VARIABLE_TYPE NOT IN ('VARCHAR', 'SET', 'FLAGSET') ORDER BY 1";

/// Without a limit that a master may not raise, and whose error names it.
const MYSQL_VALUES: &str = "SELECT v.VARIABLE_NAME, CASE m.DATA_TYPE \
     WHEN 'Boolean' THEN IF(v.VARIABLE_VALUE = 'ON', 'OFF', 'ON') \
     ELSE IF(v.VARIABLE_VALUE = m.MIN_VALUE, m.MAX_VALUE, m.MIN_VALUE) END, v.VARIABLE_VALUE \
     FROM performance_schema.global_variables v \
     JOIN performance_schema.session_variables s USING (VARIABLE_NAME) \
     JOIN performance_schema.variables_metadata m USING (VARIABLE_NAME) \
     WHERE m.VARIABLE_SCOPE = 'SESSION' AND v.VARIABLE_NAME <> 'connection_memory_limit' \
     AND m.DATA_TYPE IN ('Boolean', 'Integer', 'Numeric') \
     ORDER BY 1";

/// Further values, of variables that are lists or texts, or whose present value is their minimum.
const FURTHER: [(&str, &str); 9] = [
    (
        "sql_mode",
        "'ANSI_QUOTES,PIPES_AS_CONCAT,PAD_CHAR_TO_FULL_LENGTH,HIGH_NOT_PRECEDENCE,IGNORE_SPACE'",
    ),
    ("time_zone", "'+05:45'"),
    ("lc_messages", "'de_DE'"),
    ("character_set_client", "'latin1'"),
    ("character_set_results", "'ucs2'"),
    ("collation_connection", "'latin1_swedish_ci'"),
    ("max_statement_time", "0.000001"),
    ("max_execution_time", "1"),
    (
        "init_connect",
        "'SET sql_mode = ANSI_QUOTES; SET sql_select_limit = 1; START TRANSACTION READ ONLY; LOCK TABLES shop.orders READ'",
    ),
];

/// Variables that have other values at once.
const GROUP: usize = 12;

async fn run(connection: &mut MySqlConnection, sql: &str) -> sqlx::Result<()> {
    let sql = AssertSqlSafe(sql.to_owned());
    sqlx::raw_sql(sql).execute(connection).await.map(drop)
}

/// Names, other values and present values of the variables.
async fn variables(
    connection: &mut MySqlConnection,
    flavor: Flavor,
) -> Vec<(String, String, String)> {
    let query = match flavor {
        Flavor::Mariadb => MARIADB_VALUES,
        Flavor::Mysql => MYSQL_VALUES,
    };
    let rows = sqlx::query(query).fetch_all(&mut *connection).await;
    let text = |row: &sqlx::mysql::MySqlRow, at: usize| {
        String::from_utf8_lossy(&row.try_get_unchecked::<Vec<u8>, _>(at).unwrap_or_default())
            .into_owned()
    };
    let rows = rows.unwrap();
    rows.iter()
        .map(|row| (text(row, 0), text(row, 1), text(row, 2)))
        .collect()
}

fn master() -> Credentials {
    Credentials {
        username: "rdsmaster".into(),
        password: SecretString::from("Master-0123456789"),
    }
}

async fn populate(connection: &mut MySqlConnection) {
    for sql in [
        "CREATE DATABASE shop",
        "CREATE TABLE shop.orders (id int, note text, `sel``ect` int)",
        "CREATE FUNCTION shop.answer() RETURNS int DETERMINISTIC RETURN 42",
        "CREATE VIEW shop.v AS SELECT id FROM shop.orders",
        "CREATE USER rdsmaster@'%' IDENTIFIED BY 'Master-0123456789'",
        "GRANT CREATE USER, PROCESS ON *.* TO rdsmaster@'%'",
        "GRANT SELECT ON mysql.* TO rdsmaster@'%'",
        "GRANT ALL PRIVILEGES ON shop.* TO rdsmaster@'%' WITH GRANT OPTION",
        "CREATE ROLE readers",
        "GRANT readers TO rdsmaster@'%' WITH ADMIN OPTION",
        "CREATE USER app@'%' IDENTIFIED BY 'App-0123456789' WITH MAX_QUERIES_PER_HOUR 100000",
        "CREATE USER app@'10.%' IDENTIFIED BY 'App-0123456789'",
        "GRANT SELECT (id, `sel``ect`), INSERT ON shop.orders TO app@'%'",
        "GRANT SELECT ON shop.v TO app@'%'",
        "GRANT EXECUTE ON FUNCTION shop.answer TO app@'10.%'",
        "GRANT readers TO app@'%'",
    ] {
        run(connection, sql).await.unwrap();
    }
}

/// All that an inspection of the pair finds. Then the standby is created, and removed by `root`.
async fn work(server: &LocalMysql, root: &mut MySqlConnection) -> Result<String, EngineError> {
    let pair = Pair::of("app", "_clone");
    let engine = Mysql::of_mysql();
    let mut admin = engine.admin(&target(server), &master()).await?;
    admin.lock(&pair).await?;
    let request = InspectRequest {
        pair: &pair,
        password: None,
        current: None,
        tls: crate::TlsMode::Disable,
        thorough: true,
    };
    let inspection = admin.inspect(&request).await?;
    admin.sessions("app").await?;
    let mut changes = inspection.differences.clone();
    changes.extend(inspection.set_password.clone());
    let rendered = render_changes(&changes, &master().password).unwrap();
    let applied = admin.apply(&rendered).await;
    admin.close().await;
    let drop = "DROP USER IF EXISTS app_clone@'%', app_clone@'10.%'";
    run(root, drop).await.unwrap();
    applied?;
    Ok(format!("{inspection:#?}"))
}

/// Gives the variables their other values. Returns them with an error or a finding that differs.
async fn difference(
    server: &LocalMysql,
    root: &mut MySqlConnection,
    group: &[(String, String, String)],
    expected: &str,
) -> Option<String> {
    let mut set = Vec::new();
    for (name, value, before) in group {
        let other = run(root, &format!("SET GLOBAL {name} = {value}")).await;
        if other.is_ok() {
            set.push((name, before));
        }
    }
    let found = work(server, root).await;
    for (name, before) in set {
        // A number cannot be quoted, a text must be.
        let plain = run(root, &format!("SET GLOBAL {name} = {before}")).await;
        if plain.is_err() {
            let quoted = format!("SET GLOBAL {name} = '{before}'");
            run(root, &quoted).await.unwrap();
        }
    }
    let differs = found.as_deref() != Ok(expected);
    differs.then(|| format!("{group:?}: {:?}", found.err()))
}

#[tokio::test]
async fn no_global_variable_changes_the_work_of_a_master() {
    let mut problems: Vec<(Flavor, Vec<String>)> = Vec::new();
    for flavor in [Flavor::Mariadb, Flavor::Mysql] {
        let Some(server) = start(flavor) else {
            continue;
        };
        let (_, mut root, _) = root(&server).await;
        populate(&mut root).await;
        let expected = work(&server, &mut root).await.unwrap();
        assert!(expected.contains("CREATE USER"), "{expected}");
        let mut all = variables(&mut root, flavor).await;
        assert!(all.len() > 80, "{flavor:?}: {}", all.len());
        for (name, value) in FURTHER {
            let query = format!("SELECT CAST(@@GLOBAL.{name} AS CHAR)");
            if let Ok(row) = sqlx::raw_sql(AssertSqlSafe(query))
                .fetch_one(&mut root)
                .await
            {
                all.push((name.into(), value.into(), row.get(0)));
            }
        }
        // A limit of statements would end those of init_connect, and with them the sign-in.
        let (init, others): (Vec<_>, Vec<_>) = all
            .into_iter()
            .partition(|(name, _, _)| name == "init_connect");
        let mut changed = Vec::new();
        for group in others.chunks(GROUP).chain(init.chunks(GROUP)) {
            let Some(difference) = difference(&server, &mut root, group, &expected).await else {
                continue;
            };
            let known = changed.len();
            for one in group.chunks(1) {
                changed.extend(self::difference(&server, &mut root, one, &expected).await);
            }
            if changed.len() == known {
                changed.push(difference);
            }
        }
        if !changed.is_empty() {
            problems.push((flavor, changed));
        }
    }
    assert_eq!(problems, []);
}
