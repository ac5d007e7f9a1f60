//! `iam-policy` compared with the actual calls, on all four engines and with every feature of the
//! config.

use std::collections::BTreeSet;

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value as Json, json};
use sqlx::Executor;
use tempfile::TempDir;
use tokio::process::Command;
use twinkey_stores::{SecretStore, Selector, stage};
use twinkey_testkit::aws::rds::RdsDatabase;
use twinkey_testkit::mysql::LocalMysql;
use twinkey_testkit::postgres::LocalPostgres;

use super::evaluator::{ACCOUNT, Permission, REGION, allowed, required_permissions};
use crate::engines::redshift::fixture::{self, Deployment, RedshiftFixture};
use crate::engines::redshift::rotations::furnish;
use twinkey_testkit::aws::recorder::{RecordedCall, Recorder};
use twinkey_testkit::aws::redshift::{CLUSTER, HOME, IDENTITY, WORKGROUP};
use twinkey_testkit::environment::documentdb::LocalMongo;
use twinkey_testkit::environment::{
    Database, Environment, FIRST, MASTER_SECRET, SECRET, Setup, free_address, run, until,
};

const MANAGED: &str = "rds!cluster-shop";
const MASTER: &str = "Master-0123456789-abcdef-XYZ";

/// A server with the first user of a pair and a master, and both secrets in the stand-in.
async fn database<D: Database>(house: &RedshiftFixture) -> D {
    let start = || D::start(&Setup::default());
    let server = tokio::task::spawn_blocking(start).await.unwrap();
    server.populate(&SecretString::from(MASTER), "app").await;
    for (name, user, password) in [("app", "app", FIRST), ("master", "rdsmaster", MASTER)] {
        let document = json!({
            "engine": D::ENGINE, "host": "127.0.0.1", "port": server.port(),
            "username": user, "password": password, "dbname": "shop",
        });
        put(house, &format!("{}/{name}", D::ENGINE), &document).await;
    }
    server
}

/// A master secret as RDS manages it: without a host, which the RDS API reports for a cluster.
async fn manage_master(house: &RedshiftFixture, from: &str, name: &str) {
    let store = house.stand_in.store();
    let current = store.get(from, Selector::Stage(stage::CURRENT)).await;
    let master: Json = serde_json::from_str(current.unwrap().value.expose_secret()).unwrap();
    let managed = json!({"username": master["username"], "password": master["password"]});
    put(house, name, &managed).await;
    let port = master["port"].as_u64().unwrap();
    let cluster = RdsDatabase {
        endpoint: Some(("127.0.0.1".into(), port.try_into().unwrap())),
        reader: None,
        master_secret: Some(store.describe(name).await.unwrap().arn),
        copies: Vec::new(),
    };
    house.stand_in.rds().add_cluster("shop", cluster);
}

async fn put(house: &RedshiftFixture, name: &str, document: &Json) {
    let value = SecretString::from(document.to_string());
    let store = house.stand_in.store();
    store.create_or_put(name, &value).await.unwrap();
}

fn rotation(name: &str, more: &str) -> String {
    format!("[[rotation]]\nname = \"{name}\"\nsecret = \"{name}/app\"\n{more}\n")
}

fn config(recorder: &Recorder, rotations: &str) -> String {
    format!(
        "[secrets]\nbackend = \"aws\"\nregion = \"{REGION}\"\nendpoint_url = \"{}\"\n\
         [defaults]\nmin_interval = \"0s\"\ntls = {{ mode = \"disable\" }}\nheartbeat = \"10s\"\n{rotations}",
        recorder.url()
    )
}

/// A folder with a config, in which the program runs.
struct ConfigFolder {
    folder: TempDir,
}

impl ConfigFolder {
    fn new(config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("twinkey.toml"), config).unwrap();
        Self { folder }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_twinkey"));
        command
            .current_dir(self.folder.path())
            .env("TWINKEY_CONFIG", "twinkey.toml")
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env_remove("AWS_REGION")
            .kill_on_drop(true);
        command
    }

    /// Runs a command, which must exit with `status`, and returns its output.
    async fn run(&self, args: &[&str], status: i32) -> String {
        let output = self.command().args(args).output().await.unwrap();
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(status), "{args:?}: {message}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The policy, which must be complete.
    async fn policy(&self, more: &[&str]) -> Json {
        let mut command = self.command();
        let output = command
            .args(["iam-policy", "--account", ACCOUNT])
            .args(more);
        let output = output.output().await.unwrap();
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

/// Checks that each call is allowed, and that each permission is used.
fn assert_least(policy: &Json, recorder: &Recorder) {
    let calls = recorder.calls();
    let made = calls.iter().flat_map(required_permissions).collect();
    assert_exact(policy, made);
}

/// Checks that a policy allows exactly what was made.
fn assert_exact(policy: &Json, made: Vec<Permission>) {
    let allowed = allowed(policy);
    let denied: Vec<&Permission> = made
        .iter()
        .filter(|permission| !allowed.iter().any(|one| one.covers(permission)))
        .collect();
    assert!(denied.is_empty(), "called but not allowed: {denied:#?}");
    let idle: Vec<&Permission> = allowed
        .iter()
        .filter(|one| !made.iter().any(|permission| one.covers(permission)))
        .collect();
    assert!(idle.is_empty(), "allowed but not called: {idle:#?}");
    println!("{} calls, {} permissions", made.len(), allowed.len());
}

const MEMBER: &str = "111122223333";
const MEMBER_REGION: &str = "us-east-1";

#[tokio::test(flavor = "multi_thread")]
async fn each_account_is_allowed_exactly_its_own_calls() {
    let env = Environment::open(Setup::default()).await;
    let stand_in = env.stand_in();
    let role = format!("arn:aws:iam::{MEMBER}:role/twinkey");
    let hour = std::time::Duration::from_secs(3600);
    stand_in.accounts().add_role(&role, Some("id-1"), hour);
    let member = stand_in.add_account(MEMBER, MEMBER_REGION).await;
    let mut master = env.connect("rdsmaster", &env.master, "shop").await.unwrap();
    run(
        &mut master,
        &format!("CREATE ROLE member LOGIN PASSWORD '{FIRST}'"),
    )
    .await;
    for (name, user, password) in [
        ("app", "member", FIRST),
        ("master", "rdsmaster", env.master.expose_secret()),
    ] {
        let value = SecretString::from(env.document(user, password).to_string());
        member
            .create_or_put(&format!("member/{name}"), &value)
            .await
            .unwrap();
    }
    let recorder = Recorder::start(&stand_in.url()).await;
    let store = format!(
        "[[store]]\nname = \"member\"\nbackend = \"aws\"\nregion = \"{MEMBER_REGION}\"\nendpoint_url = \"{}\"\n\
         assume_role = {{ arn = \"{role}\", external_id = \"id-1\" }}\n",
        recorder.url()
    );
    let own = format!(
        "[[rotation]]\nname = \"own\"\nsecret = \"{SECRET}\"\nmaster_secret = \"{MASTER_SECRET}\"\nengine = \"postgres\"\n"
    );
    let more = "store = \"member\"\nmaster_secret = \"member/master\"\nengine = \"postgres\"";
    let rotations = own + &rotation("member", more) + &store;
    let text = config(&recorder, &rotations).replace("heartbeat = \"10s\"\n", "");
    let address = free_address();
    let folder = ConfigFolder::new(&format!("[server]\nlisten = \"{address}\"\n{text}"));
    folder.run(&["check"], 0).await;
    for name in ["own", "member"] {
        folder.run(&["rotate", name], 0).await;
        folder.run(&["repair", name, "--apply"], 0).await;
    }
    // An edit by hand takes the last label from the version that has the standby's password.
    for (store, name) in [(stand_in.store(), SECRET), (&*member, "member/app")] {
        let current = store
            .get(name, Selector::Stage(stage::CURRENT))
            .await
            .unwrap();
        store.create_or_put(name, &current.value).await.unwrap();
    }
    folder.run(&["check"], 0).await;
    let mut worker = folder.command().arg("serve").spawn().unwrap();
    until("the worker tries both stores", async || {
        let lists = recorder.calls();
        let lists = lists.iter().filter(|call| call.action == "ListSecrets");
        let of_member = lists.clone().filter(|call| is_of_session(call)).count();
        of_member > 0 && lists.count() > of_member
    })
    .await;
    worker.kill().await.unwrap();
    let (sessions, own): (Vec<_>, Vec<_>) = recorder.calls().into_iter().partition(is_of_session);
    let of_member = folder.policy(&["--store", "member"]).await;
    let made = sessions.iter().flat_map(required_permissions);
    assert_exact(
        &of_member,
        made.map(|one| one.in_account(MEMBER, MEMBER_REGION))
            .collect(),
    );
    let of_worker = folder.policy(&[]).await;
    assert_eq!(folder.policy(&["--store", "secrets"]).await, of_worker);
    assert_exact(
        &of_worker,
        own.iter().flat_map(required_permissions).collect(),
    );
    let worker_role = format!("arn:aws:iam::{ACCOUNT}:role/worker");
    let trust = [
        "--store",
        "member",
        "--trust",
        "--worker-role",
        &worker_role,
    ];
    let trust = &folder.policy(&trust).await["Statement"][0];
    assert_eq!(trust["Principal"]["AWS"], worker_role);
    assert_eq!(trust["Condition"]["StringEquals"]["sts:ExternalId"], "id-1");
}

/// Whether a call has the credentials of a role.
fn is_of_session(call: &RecordedCall) -> bool {
    call.headers.contains_key("x-amz-security-token")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_policy_allows_exactly_the_calls_that_are_made() {
    let house = RedshiftFixture::open(Deployment::Cluster, "", "").await;
    furnish(&house).await;
    let _servers = (
        database::<LocalPostgres>(&house).await,
        database::<LocalMysql>(&house).await,
        database::<LocalMongo>(&house).await,
    );
    manage_master(&house, "mariadb/master", MANAGED).await;
    let recorder = Recorder::start(&house.stand_in.url()).await;
    let address = free_address();
    let of_engine = |name: &str, database: &str, master: &str| {
        let more = format!("engine = \"{database}\"\nmaster_secret = \"{master}\"");
        rotation(name, &more)
    };
    let warehouse = format!(
        "[[rotation]]\nname = \"house\"\nsecret = \"{}\"\nmaster_secret = \"{}\"\nengine = \"redshift\"\nredshift = {{ cluster = \"{CLUSTER}\" }}\n",
        fixture::SECRET,
        fixture::MASTER_SECRET
    );
    let receivers = format!(
        "[server]\nlisten = \"{address}\"\n\
         [[notify]]\nkind = \"sns\"\ntopic_arn = \"arn:aws:sns:{REGION}:{ACCOUNT}:t\"\nevents = [\"succeeded\"]\n\
         [[notify]]\nkind = \"eventbridge\"\nbus = \"ours\"\nevents = [\"succeeded\"]\n\
         [[hook]]\nkind = \"ecs-redeploy\"\nrotations = [\"postgres\"]\ncluster = \"prod\"\nservices = [\"orders\", \"billing\"]\n"
    );
    let rotations = [
        of_engine("postgres", "postgres", "postgres/master"),
        of_engine("mariadb", "mariadb", MANAGED),
        of_engine("mongo", "documentdb", "mongo/master"),
        warehouse,
        receivers,
    ];
    let folder = ConfigFolder::new(&config(&recorder, &rotations.concat()));
    folder.run(&["check"], 0).await;
    for name in ["postgres", "mariadb", "mongo", "house"] {
        folder.run(&["plan", name], 0).await;
        folder.run(&["rotate", name], 0).await;
        folder.run(&["rollback", name], 0).await;
        folder.run(&["repair", name, "--apply"], 0).await;
    }
    // An edit by hand takes the last label from the version that has the standby's password.
    for name in ["postgres/app", "mariadb/app", "mongo/app", fixture::SECRET] {
        edit(&house, name).await;
    }
    folder.run(&["check"], 0).await;
    // The next run overwrites a probe secret that was not deleted.
    let faults = house.stand_in.faults();
    faults.answer("DeleteSecret", 1, 400, "AccessDeniedException");
    folder.run(&["rotate", "house", "--force"], 1).await;
    serve(&folder, &address, &recorder).await;
    a_statement_that_hangs(&folder, &house).await;
    assert_least(&folder.policy(&[]).await, &recorder);
}

/// Stores the current document again.
async fn edit(house: &RedshiftFixture, name: &str) {
    let store = house.stand_in.store();
    let current = store.get(name, Selector::Stage(stage::CURRENT)).await;
    store
        .create_or_put(name, &current.unwrap().value)
        .await
        .unwrap();
}

/// Runs a worker until its messages and hooks are delivered and two heartbeats share a call: those of
/// `house` and `postgres`, whose first ones are a second apart.
async fn serve(folder: &ConfigFolder, address: &str, recorder: &Recorder) {
    let mut worker = folder.command().arg("serve").spawn().unwrap();
    let url = format!("http://{address}");
    until("the worker is ready", async || {
        let ready = reqwest::get(format!("{url}/readyz")).await;
        ready.is_ok_and(|answer| answer.status().is_success())
    })
    .await;
    let asked = reqwest::Client::new()
        .post(format!("{url}/v1/rotations/postgres/rotate"))
        .body("{\"force\": true}");
    assert_eq!(asked.send().await.unwrap().status(), 202);
    until("both receivers and both services are called", async || {
        let counts = ["sns", "events", "ecs"].map(|service| recorder.calls_of(service).len());
        counts == [1, 1, 2]
    })
    .await;
    until("two heartbeats share a call", async || {
        let calls = recorder.calls_of("secretsmanager");
        calls
            .iter()
            .any(|call| call.action == "BatchGetSecretValue")
    })
    .await;
    worker.kill().await.unwrap();
}

/// Cancels a batch of the Data API that waits for a locked table for a minute.
async fn a_statement_that_hangs(folder: &ConfigFolder, house: &RedshiftFixture) {
    let mut root = house.redshift().root(HOME).await.unwrap();
    root.execute("BEGIN").await.unwrap();
    root.execute("LOCK TABLE twinkey.locks").await.unwrap();
    folder.run(&["rotate", "house", "--force"], 1).await;
    root.execute("ROLLBACK").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_redshift_sign_in_is_allowed_only_its_credentials() {
    let cases = [
        (
            Deployment::Cluster,
            format!("cluster = \"{CLUSTER}\", db_user = \"admin\""),
        ),
        (Deployment::Cluster, format!("cluster = \"{CLUSTER}\"")),
        (
            Deployment::Workgroup,
            format!("workgroup = \"{WORKGROUP}\""),
        ),
    ];
    for (on, redshift) in cases {
        let house = RedshiftFixture::open(on, "", "").await;
        furnish(&house).await;
        let identity = format!("CREATE USER \"{IDENTITY}\" PASSWORD '{FIRST}' CREATEUSER");
        house.dba(HOME, &[&identity]).await;
        let recorder = Recorder::start(&house.stand_in.url()).await;
        let rotation = format!(
            "[[rotation]]\nname = \"house\"\nsecret = \"{}\"\nengine = \"redshift\"\nredshift = {{ {redshift} }}\n",
            fixture::SECRET
        );
        let folder = ConfigFolder::new(&config(&recorder, &rotation));
        for _ in 0..2 {
            folder.run(&["rotate", "house"], 0).await;
        }
        let id = format!("{WORKGROUP}=id-of-it");
        let policy = folder.policy(&["--workgroup-id", &id]).await;
        let allowed = allowed(&policy);
        let made: Vec<Permission> = recorder
            .calls()
            .iter()
            .flat_map(required_permissions)
            .collect();
        for permission in &made {
            assert!(
                allowed.iter().any(|one| one.covers(permission)),
                "{redshift}: {permission:?}"
            );
        }
        // The other permissions are tested above. This test is about sign-ins.
        let credentials = |permission: &&Permission| permission.action.contains("Credentials");
        for one in allowed.iter().filter(credentials) {
            assert!(
                made.iter().any(|permission| one.covers(permission)),
                "{redshift}: {one:?}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ask_completes_the_policy_from_secrets_manager() {
    let house = RedshiftFixture::open(Deployment::Cluster, "", "").await;
    let master = json!({"username": "m", "password": "p"});
    put(&house, "of/master", &master).await;
    let app = json!({
        "engine": "mysql", "host": "db.internal", "username": "app", "password": "hunter2",
        "masterarn": "of/master",
    });
    put(&house, "of/app", &app).await;
    let recorder = Recorder::start(&house.stand_in.url()).await;
    let folder = ConfigFolder::new(&config(&recorder, &rotation("of", "")));
    let asked = folder.run(&["iam-policy", "--ask"], 0).await;
    let policy: Json = serde_json::from_str(&asked).unwrap();
    for (sid, name) in [("RotatedSecrets", "of/app"), ("MasterSecrets", "of/master")] {
        let statements = policy["Statement"].as_array().unwrap();
        let statement = statements.iter().find(|one| one["Sid"] == sid).unwrap();
        let arn = statement["Resource"][0].as_str().unwrap();
        assert!(
            arn.contains(&format!(":secret:{name}-")) && !arn.contains('?'),
            "{arn}"
        );
    }
    let network = folder.run(&["iam-policy", "--ask", "--network"], 0).await;
    assert!(
        network.contains("db.internal") && network.contains("3306"),
        "{network}"
    );
    assert!(
        network.contains("com.amazonaws.eu-west-1.secretsmanager"),
        "{network}"
    );
    assert!(!format!("{asked}{network}").contains("hunter2"));
}

#[tokio::test]
async fn a_policy_without_an_account_is_an_error_with_a_hint() {
    let config = "[secrets]\nbackend = \"aws\"\nregion = \"eu-west-1\"\n[[rotation]]\nname = \"a\"\nsecret = \"a\"\n";
    let folder = ConfigFolder::new(config);
    let output = folder.command().arg("iam-policy").output().await.unwrap();
    assert_eq!(output.status.code(), Some(2));
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(
        message.contains("the account is not known") && message.contains("hint: give --account"),
        "{message}"
    );
}

/// Checks the calls of the whole suite. `make test` makes the stand-in record every call of
/// twinkey, and then runs this test.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "runs after all other tests: make test"]
async fn all_calls_of_all_tests_are_actions_that_a_policy_allows() {
    let file = std::env::var("TWINKEY_AWS_CALLS").expect("the file of recorded calls");
    let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file}: {error}"));
    let made: BTreeSet<&str> = text.lines().collect();
    assert!(made.len() > 8, "{made:?}");
    let mut allowed_actions = BTreeSet::new();
    for redshift in ["cluster = \"c\"", "workgroup = \"w\""] {
        let more = format!("engine = \"redshift\"\nredshift = {{ {redshift} }}");
        let nowhere = Recorder::start("http://127.0.0.1:9").await;
        let managed = rotation("managed", &format!("master_secret = \"{MANAGED}\""));
        let store = "[[store]]\nname = \"member\"\nbackend = \"aws\"\nassume_role = { arn = \"arn:aws:iam::111122223333:role/twinkey\" }\n";
        let rotations = rotation("house", &more) + &managed + store;
        let folder = ConfigFolder::new(&config(&nowhere, &rotations));
        let all = allowed(&folder.policy(&[]).await);
        allowed_actions.extend(all.into_iter().map(|permission| permission.action));
    }
    for action in &made {
        assert!(allowed_actions.contains(*action), "{action}");
    }
    println!("{} calls of {made:?}", text.lines().count());
}
