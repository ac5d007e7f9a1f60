//! The product on a real MariaDB: what users of it were promised, through the binary alone.

use std::process::{Output, Stdio};

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value as Json, json};
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions, Executor, Row};
use tempfile::TempDir;
use tokio::process::Command;
use twinkey::demo::mysql::{Flavor, LocalMysql, Options};
use twinkey::store::local::LocalStore;
use twinkey::store::{SecretStore, Selector, stage};

use crate::serving::{known_before, open_now};
use crate::support::shop::{free_address, until};

const HOSTS: [&str; 3] = ["%", "10.%", "localhost"];
const SECRET: &str = "prod/shop";

/// A shop on MariaDB, its secrets in the embedded store.
struct Shop {
    server: LocalMysql,
    folder: TempDir,
    store: LocalStore,
}

impl Shop {
    /// `more`: keys of `[[rotation]]`, as TOML lines.
    async fn open(more: &str) -> Self {
        let mut options = Options::new(LocalMysql::find(Flavor::Mariadb).unwrap());
        options.settings.push("general_log=ON".into());
        let server = tokio::task::spawn_blocking(move || LocalMysql::start(&options).unwrap())
            .await
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = |name| folder.path().join(name);
        let store = LocalStore::open(&path("secrets.db"), &path("secrets.key"))
            .await
            .unwrap();
        let shop = Self {
            server,
            folder,
            store,
        };
        shop.configure(more);
        shop.populate().await;
        shop
    }

    fn configure(&self, more: &str) {
        let config = format!(
            "[server]\nlisten = \"{}\"\n[journal]\nurl = \"sqlite://journal.db\"\n[secrets]\nbackend = \"local\"\n\
             [[rotation]]\nname = \"shop\"\nsecret = \"{SECRET}\"\nmaster_secret = \"prod/master\"\n\
             tls = {{ mode = \"disable\" }}\nmin_interval = \"0s\"\n{more}\n",
            free_address()
        );
        std::fs::write(self.folder.path().join("twinkey.toml"), config).unwrap();
    }

    /// A master as on RDS, and an application's user with three accounts.
    async fn populate(&self) {
        let (master, first) = ("Master-0123456789-abcdef", "First-0123456789-abcdef");
        let mut accounts = String::new();
        for host in HOSTS {
            accounts += &format!("CREATE USER 'app'@'{host}' IDENTIFIED BY '{first}'; ");
        }
        // The log is searched for passwords: these are set out of its sight.
        let mut root = self.root().await;
        root.execute("SET sql_log_off = ON").await.unwrap();
        let sql = format!(
            "CREATE USER rdsmaster@'%' IDENTIFIED BY '{master}'; {accounts}
             GRANT CREATE USER, PROCESS ON *.* TO rdsmaster@'%';
             GRANT SELECT, UPDATE ON mysql.* TO rdsmaster@'%';
             CREATE DATABASE shop; GRANT ALL PRIVILEGES ON shop.* TO rdsmaster@'%' WITH GRANT OPTION;
             CREATE TABLE shop.orders (id int, total int); CREATE PROCEDURE shop.tidy() SELECT 1;
             CREATE USER proxied@localhost;
             INSERT INTO mysql.proxies_priv VALUES ('%', 'rdsmaster', 'localhost', 'proxied', 1, '', NOW()), ('%', 'app', 'localhost', 'proxied', 0, '', NOW());
             FLUSH PRIVILEGES; CREATE ROLE reader; GRANT reader TO rdsmaster@'%' WITH ADMIN OPTION;
             GRANT SELECT, INSERT ON shop.orders TO app@localhost;
             GRANT SELECT (id) ON shop.orders TO app@'10.%';
             GRANT EXECUTE ON PROCEDURE shop.tidy TO app@'%'; GRANT reader TO app@'%';
             SET DEFAULT ROLE reader FOR app@'%'; ALTER USER app@'%' WITH MAX_USER_CONNECTIONS 7"
        );
        root.execute(AssertSqlSafe(sql)).await.unwrap();
        self.put("prod/master", "rdsmaster", master).await;
        self.put(SECRET, "app", first).await;
    }

    async fn put(&self, secret: &str, user: &str, password: &str) {
        let document = json!({
            "engine": "mariadb", "host": self.server.host(), "port": self.server.port(),
            "username": user, "password": password, "dbname": "shop", "kept": [1, null],
        });
        let text = SecretString::from(document.to_string());
        self.store.create_or_put(secret, &text).await.unwrap();
    }

    async fn read(&self, label: &str) -> Json {
        let version = self
            .store
            .get(SECRET, Selector::Stage(label))
            .await
            .unwrap();
        serde_json::from_str(version.value.expose_secret()).unwrap()
    }

    async fn connect(&self, user: &str, password: &str) -> Result<MySqlConnection, sqlx::Error> {
        MySqlConnectOptions::new()
            .host(self.server.host())
            .port(self.server.port())
            .username(user)
            .password(password)
            .ssl_mode(MySqlSslMode::Disabled)
            .connect()
            .await
    }

    async fn root(&self) -> MySqlConnection {
        let root = self.server.superuser();
        let password = root.password.expose_secret();
        self.connect(&root.username, password).await.unwrap()
    }

    async fn sql(&self, sql: &str) {
        let sql = AssertSqlSafe(sql.to_owned());
        self.root().await.execute(sql).await.unwrap();
    }

    /// The first column of every row.
    async fn texts(&self, sql: &str) -> Vec<String> {
        let mut root = self.root().await;
        let rows = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
            .fetch_all(&mut root)
            .await
            .unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_twinkey"));
        command
            .args(args)
            .env("TWINKEY_CONFIG", self.folder.path().join("twinkey.toml"))
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    async fn twinkey(&self, args: &[&str]) -> Output {
        self.command(args).output().await.unwrap()
    }

    async fn good(&self, args: &[&str]) -> String {
        let output = self.twinkey(args).await;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn log(&self) -> String {
        let log = std::fs::read(self.server.log_path()).unwrap();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// What was told to the server, from here on, that changes users.
    fn changes_since(&self, from: usize) -> Vec<String> {
        let log = self.log();
        log[from..]
            .lines()
            .filter_map(|line| Some(line.split_once("Query\t")?.1.to_owned()))
            .filter(|sql| {
                [
                    "CREATE ",
                    "ALTER ",
                    "DROP ",
                    "GRANT ",
                    "REVOKE ",
                    "SET DEFAULT",
                ]
                .iter()
                .any(|verb| sql.starts_with(verb))
            })
            .collect()
    }

    /// Of each account of the user, what the server tells, without the user's name and the hash.
    async fn told(&self, user: &str) -> Vec<String> {
        let mut all = Vec::new();
        for host in HOSTS {
            for show in ["SHOW CREATE USER", "SHOW GRANTS FOR"] {
                all.extend(self.texts(&format!("{show} '{user}'@'{host}'")).await);
            }
        }
        let hash = |line: &str| {
            let (start, rest) = line.split_once("PASSWORD '*")?;
            Some(format!("{start}PASSWORD ''{}", rest.get(41..)?))
        };
        all.into_iter()
            .map(|line| line.replace(&format!("`{user}`"), "`-`"))
            .map(|line| hash(&line).unwrap_or(line))
            .collect()
    }

    async fn stored(&self, user: &str) -> Vec<String> {
        self.texts(&format!(
            "SELECT JSON_VALUE(Priv, '$.authentication_string') FROM mysql.global_priv WHERE User = '{user}'"
        ))
        .await
    }

    /// Both labels sign in, and the two users differ in the name and the hash only.
    async fn both_users_are_equal(&self) {
        for label in [stage::CURRENT, stage::PREVIOUS] {
            let document = self.read(label).await;
            assert_eq!(document["kept"], json!([1, null]));
            let (user, password) = (&document["username"], &document["password"]);
            let (user, password) = (user.as_str().unwrap(), password.as_str().unwrap());
            self.connect(user, password).await.unwrap();
            let wanted = self.texts(&format!("SELECT PASSWORD('{password}')")).await;
            let stored = self.stored(user).await;
            assert_eq!(stored.len(), 3);
            assert!(stored.iter().all(|s| *s == wanted[0]), "{label}");
        }
        assert_eq!(self.told("app").await, self.told("app_clone").await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_accounts_of_a_mariadb_user_rotate_as_one_three_times_in_a_row() {
    let shop = Shop::open("").await;
    for changes in [12, 3, 3] {
        let plan = shop.good(&["plan", "shop"]).await;
        let from = shop.log().len();
        shop.good(&["rotate", "shop"]).await;
        let done = shop.changes_since(from);
        assert_eq!(done.len(), changes, "{done:#?}");
        let planned: Vec<&str> = plan
            .lines()
            .filter_map(|line| line.strip_suffix(';'))
            .collect();
        assert_eq!(planned.len(), changes);
        for (planned, done) in planned.iter().zip(&done) {
            let (before, after) = planned.split_once("***").unwrap_or((planned, ""));
            assert!(done.starts_with(before) && done.ends_with(after), "{done}");
        }
        shop.both_users_are_equal().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_between_two_runs_on_mariadb_is_equal_after_the_next() {
    let shop = Shop::open("").await;
    shop.good(&["rotate", "shop"]).await;
    shop.good(&["rotate", "shop"]).await;
    // `app` is active. And somebody gave the standby something by hand.
    shop.sql(
        "GRANT DELETE ON shop.orders TO app@localhost; REVOKE INSERT ON shop.orders FROM app@localhost; \
         GRANT SELECT ON shop.orders TO app@localhost WITH GRANT OPTION; \
         GRANT DROP ON shop.* TO app_clone@'%'",
    )
    .await;
    let check = shop.good(&["check"]).await;
    assert!(
        check.contains("differs from \"app\" in 3 respects"),
        "{check}"
    );
    let plan = shop.good(&["plan", "shop"]).await;
    assert!(
        plan.contains("REVOKE DROP ON `shop`.* FROM `app_clone`@`%`"),
        "{plan}"
    );
    shop.good(&["rotate", "shop"]).await;
    shop.both_users_are_equal().await;
    let grants = shop.texts("SHOW GRANTS FOR app_clone@localhost").await;
    let wanted =
        "GRANT SELECT, DELETE ON `shop`.`orders` TO `app_clone`@`localhost` WITH GRANT OPTION";
    assert!(grants.iter().any(|line| line == wanted), "{grants:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_fails_with_the_list_and_changes_nothing_on_mariadb() {
    let shop = Shop::open("grants = \"verify\"").await;
    shop.good(&["rotate", "shop"]).await;
    shop.sql("GRANT DROP ON shop.* TO app@'%'").await;
    let before = (shop.told("app").await, shop.stored("app").await);
    let output = shop.twinkey(&["rotate", "shop"]).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("error[privileges_differ]"), "{said}");
    assert!(
        said.contains("REVOKE DROP ON `shop`.* FROM `app`@`%`"),
        "{said}"
    );
    assert!(said.contains("hint: "), "{said}");
    assert_eq!((shop.told("app").await, shop.stored("app").await), before);
    assert_eq!(shop.read(stage::CURRENT).await["username"], "app_clone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_between_two_passwords_on_mariadb_goes_on_until_every_account_has_its_own()
{
    let shop = Shop::open("").await;
    shop.good(&["rotate", "shop"]).await;
    shop.good(&["rotate", "shop"]).await;
    let (schedule, opens) = open_now();
    known_before(&shop.folder.path().join("journal.db"), opens).await;
    shop.configure(&format!("{schedule}\nmissed = \"run\""));
    // A lock on the accounts' table holds the run up at its first statement.
    let mut holder = shop.root().await;
    holder
        .execute("LOCK TABLES mysql.global_priv READ")
        .await
        .unwrap();
    let mut worker = shop.command(&["serve"]).spawn().unwrap();
    until("the run waits at the first password", async || {
        let waiting = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER = 'rdsmaster' AND INFO LIKE 'ALTER USER%'";
        let count: i64 = sqlx::query_scalar(waiting).fetch_one(&mut holder).await.unwrap();
        count == 1
    })
    .await;
    worker.start_kill().unwrap();
    worker.wait().await.unwrap();
    drop(holder);
    until("the statement that was under way is over", async || {
        let others =
            "SELECT CAST(ID AS CHAR) FROM information_schema.PROCESSLIST WHERE USER = 'rdsmaster'";
        shop.texts(others).await.is_empty()
    })
    .await;
    let current = shop.read(stage::CURRENT).await;
    assert_eq!(current["username"], "app");
    let password = current["password"].as_str().unwrap();
    shop.connect("app", password).await.unwrap();
    // Which of its statements were carried out is chance. This is the worst: the account that the
    // proof signs in to has the new password, and the others have not.
    let pending = shop.read(stage::PENDING).await;
    let password = pending["password"].as_str().unwrap();
    shop.sql(&format!(
        "ALTER USER app_clone@localhost IDENTIFIED BY '{password}'; \
         ALTER USER app_clone@'%' IDENTIFIED BY 'old'; ALTER USER app_clone@'10.%' IDENTIFIED BY 'old'"
    ))
    .await;
    shop.connect("app_clone", password).await.unwrap();
    let mut worker = shop.command(&["serve"]).spawn().unwrap();
    until("the run is finished", async || {
        shop.read(stage::CURRENT).await == pending
    })
    .await;
    worker.kill().await.unwrap();
    shop.both_users_are_equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_rollback_to_a_password_that_not_every_account_has() {
    let shop = Shop::open("").await;
    shop.good(&["rotate", "shop"]).await;
    shop.sql("ALTER USER app@'10.%' IDENTIFIED BY 'something-else-9'")
        .await;
    let output = shop.twinkey(&["rollback", "shop"]).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("error[pending_signin_failed]"), "{said}");
    assert_eq!(shop.read(stage::CURRENT).await["username"], "app_clone");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_piece_of_a_password_is_in_mariadbs_log_or_ours() {
    let shop = Shop::open("").await;
    let mut passwords = Vec::new();
    let mut said = String::new();
    for args in [
        &["-vv", "rotate", "shop"][..],
        &["-vv", "--log-format", "json", "rotate", "shop"],
        &["-vv", "plan", "shop"],
        &["-vv", "check"],
        &["-vv", "rollback", "shop"],
    ] {
        let output = shop.twinkey(args).await;
        said += &String::from_utf8_lossy(&output.stdout);
        said += &String::from_utf8_lossy(&output.stderr);
        for label in [stage::CURRENT, stage::PREVIOUS] {
            let document = shop.read(label).await;
            passwords.push(document["password"].as_str().unwrap().to_owned());
        }
    }
    let journal = std::fs::read(shop.folder.path().join("journal.db")).unwrap();
    let journal = String::from_utf8_lossy(&journal).into_owned();
    assert!(said.contains("AWSCURRENT"));
    for text in [said, shop.log(), journal] {
        for password in &passwords {
            for at in 0..=password.len() - 8 {
                assert!(!text.contains(&password[at..at + 8]), "a password leaked");
            }
        }
    }
}
