//! One server under two names, and two servers of one identity, in configs with one journal.

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value as Json, json};
use sqlx::{Connection, SqliteConnection};
use twinkey_stores::stage;
use twinkey_testkit::environment::mariadb::MariadbEnvironment;
use twinkey_testkit::environment::{
    Database, Environment, FIRST, SECRET, Setup, run, until, value,
};
use twinkey_testkit::postgres::LocalPostgres;

use crate::endpoints::postgres::connect;
use crate::faults::failures::with;

/// The secrets of the other config.
const COPY: &str = "prod/copy";
const MASTER: &str = "prod/other-master";

/// The configs of two workers with one journal.
struct TwoConfigs<'a, D: Database> {
    env: &'a Environment<D>,
    shop: String,
    copy: String,
}

impl<'a, D: Database> TwoConfigs<'a, D> {
    /// The other config has the rotation "copy", of a server with this address.
    async fn new(env: &'a Environment<D>, address: (&str, u16)) -> Self {
        let shop = std::fs::read_to_string(env.config()).unwrap();
        let copy = shop.replace("name = \"shop\"", "name = \"copy\"");
        let copy = copy.replace(SECRET, COPY).replace("prod/master", MASTER);
        let master = env.document("rdsmaster", env.master.expose_secret());
        env.put(MASTER, &at(master, address)).await;
        Self { env, shop, copy }
    }

    fn use_config(&self, text: &str) -> &Environment<D> {
        std::fs::write(self.env.config(), text).unwrap();
        self.env
    }

    fn shop(&self) -> &Environment<D> {
        self.use_config(&self.shop)
    }

    fn copy(&self) -> &Environment<D> {
        self.use_config(&self.copy)
    }

    /// Changes the records of pairs. Returns how many.
    async fn edit_journal(&self, sql: &'static str) -> u64 {
        let journal = self.env.folder.path().join("journal.db");
        let url = format!("sqlite://{}", journal.display());
        let mut journal = SqliteConnection::connect(&url).await.unwrap();
        let edited = sqlx::query(sql).execute(&mut journal).await.unwrap();
        edited.rows_affected()
    }
}

fn at(document: Json, (host, port): (&str, u16)) -> Json {
    with(with(document, "host", json!(host)), "port", json!(port))
}

/// The findings of `check`, and whether it passed.
async fn checked<D: Database>(env: &Environment<D>, name: &str) -> (bool, String) {
    let check = env.twinkey(&["check", name]).await;
    let shown = String::from_utf8(check.stdout).unwrap();
    (check.status.success(), shown)
}

/// `check`, `plan` and `rotate` refuse and name the other address. Nothing is changed.
async fn is_refused<D: Database>(env: &Environment<D>, name: &str, address: &str) {
    let users = env.server.users().await;
    let check = env.twinkey(&["check", name, "--json"]).await;
    assert_eq!(check.status.code(), Some(1));
    let reports: Json = serde_json::from_slice(&check.stdout).unwrap();
    let findings = reports[0]["findings"].as_array().unwrap();
    let shared = findings.iter().find(|f| f["code"] == "pair_shared");
    let shared = shared.unwrap_or_else(|| panic!("{findings:#?}"));
    assert!(shared["what"].as_str().unwrap().contains(address));
    let plan = env.twinkey(&["plan", name, "--json"]).await;
    let plan: Json = serde_json::from_slice(&plan.stdout).unwrap();
    assert_eq!(plan["refused"]["code"], "pair_shared");
    let message = env
        .fails(&["rotate", name, "--force"], 1, "pair_shared")
        .await;
    assert!(message.contains(address), "{message}");
    assert_eq!(env.server.users().await, users);
}

async fn two_names_of_a_server<D: Database>(env: Environment<D>) {
    let port = env.server.port();
    let configs = TwoConfigs::new(&env, ("localhost", port)).await;
    let document = env.document("app", FIRST);
    env.put(COPY, &at(document, ("localhost", port))).await;
    configs.shop().run_ok(&["rotate", "shop"]).await;
    is_refused(configs.copy(), "copy", &format!("127.0.0.1:{port}")).await;
    // The next run of the first secret would change the password that the copy has.
    is_refused(configs.shop(), "shop", &format!("localhost:{port}")).await;
    let connected = env.connect("app", &FIRST.into(), "shop").await;
    drop(connected.unwrap_or_else(|error| panic!("AWSCURRENT of the copy: {error}")));

    // A record of an older version has no identity. The next run of its rotation records it.
    let old = "UPDATE pairs SET server_identity = NULL WHERE server_identity <> ''";
    assert_eq!(configs.edit_journal(old).await, 2);
    configs.copy().twinkey(&["rotate", "copy"]).await;
    is_refused(configs.shop(), "shop", &format!("localhost:{port}")).await;

    env.put(COPY, &env.document("other", FIRST)).await;
    configs.shop().run_ok(&["rotate", "shop"]).await;
    env.signed_in(stage::CURRENT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_names_of_one_server_are_one_server() {
    two_names_of_a_server(Environment::open(Setup::default()).await).await;
    two_names_of_a_server(MariadbEnvironment::on_mariadb(Setup::default()).await).await;
}

/// A server that was restored from a snapshot is rotated, although its users, their passwords and
/// its identity are those of its origin.
#[tokio::test(flavor = "multi_thread")]
async fn a_restored_server_is_another_server() {
    let (version, bin) = LocalPostgres::find_for_replicas().unwrap();
    let env = Environment::open(Setup {
        version: Some(version),
        ..Setup::default()
    })
    .await;
    env.run_ok(&["rotate", "shop"]).await;
    let restored = tokio::task::block_in_place(|| env.server.start_replica(bin, &[]).unwrap());
    let root = restored.superuser();
    let mut root = connect(
        restored.port(),
        root.username.clone(),
        root.password.clone(),
    )
    .await
    .unwrap();
    run(&mut root, "SELECT pg_promote()").await;
    until("the restored server accepts writes", async || {
        !value::<bool>(&mut root, "SELECT pg_is_in_recovery()").await
    })
    .await;
    let address = ("127.0.0.1", restored.port());
    let configs = TwoConfigs::new(&env, address).await;
    // Its secret has both users, and AWSCURRENT of the origin is its standby.
    let (current, _) = env.read(stage::CURRENT).await;
    env.put(COPY, &at(current, address)).await;
    env.put(COPY, &at(env.document("app", FIRST), address))
        .await;
    for _ in 0..2 {
        let (passed, shown) = checked(configs.copy(), "copy").await;
        assert!(passed && !shown.contains("identity"), "{shown}");
        env.run_ok(&["rotate", "copy"]).await;
        configs.shop().run_ok(&["rotate", "shop"]).await;
    }
    env.signed_in(stage::CURRENT).await;

    // The origin does not answer. Its passwords are others than those of the restored server.
    let unreachable =
        "UPDATE pairs SET server = '127.0.0.1:1', owned = 9e15 WHERE rotation = 'shop'";
    assert_eq!(configs.edit_journal(unreachable).await, 1);
    let (passed, shown) = checked(configs.copy(), "copy").await;
    assert!(
        passed && shown.contains("the identity of this one"),
        "{shown}"
    );
    env.run_ok(&["rotate", "copy"]).await;
    // And the same, as if both were one server.
    let copy = env.document("app", FIRST);
    run(&mut root, &format!("ALTER ROLE app PASSWORD '{FIRST}'")).await;
    run(
        &mut root,
        &format!("ALTER ROLE app_clone PASSWORD '{FIRST}'"),
    )
    .await;
    env.put(COPY, &at(env.document("app_clone", FIRST), address))
        .await;
    env.put(SECRET, &copy).await;
    is_refused(configs.copy(), "copy", "127.0.0.1:1").await;

    // An identity permits nothing: an adoption at another address does not count here.
    let removed = "DELETE FROM pairs WHERE rotation = 'shop'";
    assert_eq!(configs.edit_journal(removed).await, 1);
    let adopted = "UPDATE pairs SET server = '127.0.0.1:1', owned = 9e15, adopted = 9e15";
    assert_eq!(configs.edit_journal(adopted).await, 1);
    run(&mut root, "ALTER ROLE app PASSWORD 'by hand'").await;
    let adopt = configs
        .copy
        .replace("min_interval", "standby = \"adopt\"\nmin_interval");
    let (passed, shown) = checked(configs.use_config(&adopt), "copy").await;
    assert!(passed && shown.contains("takes it over"), "{shown}");
}

/// The journal says that both report one identity, as containers with one address do.
#[tokio::test(flavor = "multi_thread")]
async fn two_mariadb_servers_of_one_identity_are_two() {
    let env = MariadbEnvironment::on_mariadb(Setup::default()).await;
    let other = MariadbEnvironment::on_mariadb(Setup::default()).await;
    env.run_ok(&["rotate", "shop"]).await;
    let address = ("127.0.0.1", other.server.port());
    let configs = TwoConfigs::new(&env, address).await;
    let master = SecretString::from(other.master.expose_secret());
    let master = other.document("rdsmaster", master.expose_secret());
    env.put(MASTER, &master).await;
    env.put(COPY, &at(env.document("app", FIRST), address))
        .await;
    configs.copy().run_ok(&["rotate", "copy"]).await;
    let one = "UPDATE pairs SET owned = 9e15, server_identity = \
        (SELECT server_identity FROM pairs WHERE rotation = 'copy') \
        WHERE rotation = 'shop' AND server_identity <> ''";
    assert_eq!(configs.edit_journal(one).await, 1);
    let (passed, shown) = checked(configs.copy(), "copy").await;
    assert!(passed && !shown.contains("identity"), "{shown}");
    env.run_ok(&["rotate", "copy"]).await;
}
