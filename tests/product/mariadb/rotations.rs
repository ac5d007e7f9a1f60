//! Rotations in a row: whatever the active user is made of, its twin is made of.

use secrecy::SecretString;
use serde_json::Value as Json;
use twinkey_engines::mysql::Mysql;
use twinkey_engines::{Credentials, Engine, Questions, Target, Tls, TlsMode};
use twinkey_stores::stage;
use twinkey_testkit::mysql::LocalMysql;

use super::{one_password_is_on_every_account, the_pair_is_equal, with_three_accounts};
use twinkey_testkit::shop::mariadb::{MariadbShop, accounts, pairs};
use twinkey_testkit::shop::{Backend, Database, FIRST, Plan, Shop};

/// Of everything that an account can have, one; and for the master what it takes to pass it on. A
/// superuser grants PROXY only if told so in the server's own table.
const OF_EVERY_KIND: [&str; 13] = [
    "CREATE ROLE reader",
    "GRANT SELECT ON mysql.help_topic TO reader",
    "GRANT reader TO app@'%'",
    "SET DEFAULT ROLE reader FOR app@'%'",
    "GRANT UPDATE (seen) ON shop.orders TO app@'%'",
    "CREATE FUNCTION shop.answer() RETURNS int DETERMINISTIC RETURN 42",
    "GRANT EXECUTE ON FUNCTION shop.answer TO app@'%'",
    "INSERT INTO mysql.proxies_priv VALUES ('%', 'root_admin', '', '', 1, '', NOW())",
    "FLUSH PRIVILEGES",
    "CREATE USER impersonated@'%'",
    "ALTER USER app@'%' WITH MAX_USER_CONNECTIONS 7",
    "GRANT reader TO rdsmaster@'%' WITH ADMIN OPTION",
    "GRANT UPDATE ON mysql.* TO rdsmaster@'%'",
];

fn without_credentials(document: &Json) -> String {
    let mut fields = document.as_object().unwrap().clone();
    fields.remove("username");
    fields.remove("password");
    serde_json::to_string(&fields).unwrap()
}

async fn three_rotations(shop: MariadbShop) {
    shop.sql(&OF_EVERY_KIND).await;
    let mut root = shop.root("mysql").await;
    for grant in [
        "GRANT PROXY ON impersonated@'%' TO rdsmaster@'%' WITH GRANT OPTION",
        "GRANT PROXY ON impersonated@'%' TO app@'%'",
    ] {
        twinkey_testkit::shop::mariadb::run(&mut root, grant).await;
    }
    let wanted = accounts(&shop, "app").await;
    let shown = wanted["%"].join("\n");
    for part in [
        "PROXY",
        "MAX_USER_CONNECTIONS 7",
        "UPDATE (`seen`)",
        "EXECUTE ON FUNCTION",
        "SET DEFAULT ROLE",
    ] {
        assert!(shown.contains(part), "{part} is not in\n{shown}");
    }
    for _ in 0..3 {
        let (before, replaced) = shop.read(stage::CURRENT).await;
        shop.good(&["rotate", "shop"]).await;
        assert_eq!(shop.read(stage::PREVIOUS).await.1, replaced);
        let (after, _) = shop.read(stage::CURRENT).await;
        assert_eq!(without_credentials(&after), without_credentials(&before));
        assert_ne!(after["username"], before["username"]);
        assert_ne!(after["password"], before["password"]);
        the_pair_is_equal(&shop).await;
        assert_eq!(accounts(&shop, "app_clone").await, wanted);
        one_password_is_on_every_account(&shop, 1).await;
        for label in [stage::CURRENT, stage::PREVIOUS] {
            let mut who = shop.signed_in(label).await;
            assert!(LocalMysql::may_work(&mut who).await, "{label}");
            let roles = pairs(
                &mut who,
                "SELECT CURRENT_ROLE(), CAST(shop.answer() AS CHAR)",
            )
            .await;
            assert_eq!(roles[0].0, "reader", "{label}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_rotations_in_a_row_keep_the_pair_equal() {
    three_rotations(MariadbShop::on_mariadb(Plan::default()).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_rotations_in_a_row_keep_the_pair_equal_on_the_embedded_store() {
    three_rotations(MariadbShop::on_mariadb_with(Plan::default(), Backend::Local).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_accounts_of_a_user_at_three_hosts_rotate_as_one() {
    let shop = with_three_accounts(Plan::default()).await;
    let wanted = accounts(&shop, "app").await;
    for host in ["10.%", "localhost"] {
        assert_ne!(wanted[host], wanted["%"], "each has grants of its own");
    }
    for _ in 0..3 {
        shop.good(&["rotate", "shop"]).await;
        one_password_is_on_every_account(&shop, 3).await;
        the_pair_is_equal(&shop).await;
        assert_eq!(accounts(&shop, "app_clone").await, wanted);
    }
}

/// Signs in as the product does: the tests' driver does not know ed25519.
async fn signs_in(shop: &Shop<LocalMysql>, document: &Json) -> bool {
    let target = Target {
        host: shop.server.host().into(),
        port: Some(shop.server.port()),
        dbname: Some("shop".into()),
        tls: Tls {
            mode: TlsMode::Disable,
            ca_file: None,
        },
    };
    let who = Credentials {
        username: document["username"].as_str().unwrap().into(),
        password: SecretString::from(document["password"].as_str().unwrap()),
    };
    let probes = ["INSERT INTO orders () VALUES ()".to_owned()];
    let said = Mysql::of_mariadb()
        .sign_in(&target, &who, Questions::probes(&probes))
        .await;
    said.is_ok_and(|said| said.user == who.username)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_with_ed25519_rotates_three_times_and_stays_with_it() {
    let shop = MariadbShop::on_mariadb(Plan::default()).await;
    let to_ed25519 = format!("ALTER USER app@'%' IDENTIFIED VIA ed25519 USING PASSWORD('{FIRST}')");
    shop.sql(&[&to_ed25519]).await;
    let first = shop.document("app", "Wrong-0123456789");
    assert!(!signs_in(&shop, &first).await, "the server does look");
    for _ in 0..3 {
        let (before, _) = shop.read(stage::CURRENT).await;
        shop.good(&["rotate", "shop"]).await;
        let (current, _) = shop.read(stage::CURRENT).await;
        assert_ne!(current["username"], before["username"]);
        assert!(signs_in(&shop, &current).await, "AWSCURRENT signs in");
        assert!(signs_in(&shop, &before).await, "AWSPREVIOUS signs in");
        let plugins = "SELECT User, JSON_VALUE(Priv, '$.plugin') FROM mysql.global_priv \
             WHERE User LIKE 'app%' ORDER BY User";
        let plugins = pairs(&mut shop.root("mysql").await, plugins).await;
        let wanted = [("app", "ed25519"), ("app_clone", "ed25519")];
        assert_eq!(plugins, wanted.map(|(u, p)| (u.to_owned(), p.to_owned())));
    }
}
