//! A fleet: six accounts in three regions with 5,000 secrets. 500 of them are pairs on PostgreSQL and
//! MariaDB, which three workers discover and rotate in one window while one worker is killed.
//! `make soak-fleet` prints the figures of docs/performance.md.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;
use std::time::{Duration, Instant};

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::types::Tag;
use chrono::{DateTime, TimeDelta, Timelike, Utc};
use futures_util::future::join_all;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value as Json;
use tokio::process::Child;
use twinkey::journal::{AuditAction, AuditQuery, Journal, PostgresJournal, RunQuery, RunState};
use twinkey::rotation::run::version_id;
use twinkey_core::aws::{Aws, Role};
use twinkey_core::telemetry::Clock;
use twinkey_stores::stage;
use twinkey_testkit::aws::{StandIn, sdk_config};
use twinkey_testkit::environment::{
    Backend, Database, Environment, FIRST, Setup, free_address, mariadb, run, until,
};
use twinkey_testkit::moto::Moto;
use twinkey_testkit::mysql::LocalMysql;

use crate::faults::many_workers::{location, url};

const ACCOUNTS: [&str; 6] = [
    "100000000001",
    "100000000002",
    "100000000003",
    "100000000004",
    "100000000005",
    "100000000006",
];
const REGIONS: [&str; 3] = ["eu-west-1", "us-east-1", "ap-southeast-2"];
const SECRETS: usize = 5000;
const PAIRS: usize = 500;
/// The pairs of the first account and region; the others share the rest.
const IN_THE_FIRST: usize = 160;
const WORKERS: usize = 3;
/// `store_writes_per_second`, and the quota that the stand-in enforces. AWS allows 50: a tenth of it, so that
/// the quota of the first account and region limits this machine.
const WRITES: usize = 4;
const QUOTA: usize = 5;
const EXTERNAL_ID: &str = "fleet-1";
type Tags<'a> = &'a [(&'a str, &'a str)];

/// The secrets that are tagged wrongly in each place, by what the worker reports of them.
const WRONG: [(&str, Tags<'static>, &str); 4] = [
    ("no-cluster", &[], "it has no tag \"cluster\""),
    (
        "other-master",
        &[("cluster", "pg/../x")],
        "the value of its tag \"cluster\"",
    ),
    (
        "own-schedule",
        &[("cluster", "pg"), ("twinkey:schedule", "rate 1 day")],
        "its tag \"twinkey:schedule\" sets a key",
    ),
    (
        "bad-window",
        &[("cluster", "pg"), ("twinkey:window", "tomorrow")],
        "window",
    ),
];

/// A region of an account.
struct Place {
    store: String,
    account: &'static str,
    region: &'static str,
    client: Client,
}

struct Fleet {
    env: Environment,
    mariadb: LocalMysql,
    places: Vec<Place>,
    /// The endpoint of AWS.
    aws: String,
    _moto: Option<Moto>,
}

fn role(account: &str) -> String {
    format!("arn:aws:iam::{account}:role/twinkey")
}

fn user(pair: usize) -> String {
    format!("p{pair:03}")
}

/// The name of the secret of a pair.
fn secret(pair: usize) -> String {
    format!("team-{}/{}/db", pair % 7, user(pair))
}

fn is_on_mariadb(pair: usize) -> bool {
    pair % 2 == 1
}

/// The place of a pair, by its index.
fn place_of(pair: usize) -> usize {
    let others = ACCOUNTS.len() * REGIONS.len() - 1;
    pair.checked_sub(IN_THE_FIRST).map_or(0, |n| 1 + n % others)
}

impl Place {
    async fn create(&self, name: &str, value: &str, tags: Tags<'_>) {
        let tags = tags.iter().map(|(key, value)| {
            let tag = Tag::builder().key(*key).value(*value);
            tag.build()
        });
        let request = self.client.create_secret().name(name).secret_string(value);
        let request = request.set_tags(Some(tags.collect()));
        request.send().await.unwrap();
    }
}

impl Fleet {
    async fn open(moto: Option<Moto>) -> Self {
        let stand_in = StandIn::start().await;
        for account in ACCOUNTS {
            let hour = Duration::from_secs(3600);
            let accounts = stand_in.accounts();
            accounts.add_role(&role(account), Some(EXTERNAL_ID), hour);
            for region in REGIONS {
                stand_in.add_account(account, region).await;
            }
        }
        let aws = moto
            .as_ref()
            .map_or_else(|| stand_in.url(), |moto| moto.url().to_owned());
        let own = Aws::from_config(sdk_config(&aws));
        let mut places = Vec::new();
        for account in ACCOUNTS {
            for region in REGIONS {
                let role = Role {
                    arn: role(account),
                    external_id: Some(EXTERNAL_ID.into()),
                    session: "fixture".into(),
                };
                let of_place = Aws::of_further_store(&own, Some(region), Some(&aws), Some(role));
                places.push(Place {
                    store: format!("{region}-{}", &account[11..]),
                    account,
                    region,
                    client: Client::new(of_place.config().await),
                });
            }
        }
        let env = Environment::open_with(Setup::default(), Backend::StandIn(stand_in)).await;
        let start = || <LocalMysql as Database>::start(&Setup::default());
        let mariadb = tokio::task::spawn_blocking(start).await.unwrap();
        mariadb.populate(&env.master, "first").await;
        run(&mut env.root("postgres").await, "CREATE DATABASE journal").await;
        let fleet = Self {
            env,
            mariadb,
            places,
            aws,
            _moto: moto,
        };
        fleet.create_users().await;
        join_all((0..fleet.places.len()).map(|n| fleet.fill(n))).await;
        fleet
    }

    async fn create_users(&self) {
        let password = &self.env.master;
        let mut root = self.env.root("shop").await;
        let mut postgres = self
            .env
            .connect("rdsmaster", password, "shop")
            .await
            .unwrap();
        let mut maria = self
            .mariadb
            .connect("rdsmaster", password, "shop")
            .await
            .unwrap();
        for pair in 0..PAIRS {
            let user = user(pair);
            if is_on_mariadb(pair) {
                for statement in [
                    format!("CREATE USER {user}@'%' IDENTIFIED BY '{FIRST}'"),
                    format!("GRANT SELECT, INSERT, CREATE ON shop.* TO {user}@'%'"),
                ] {
                    mariadb::run(&mut maria, &statement).await;
                }
                continue;
            }
            let create = format!("CREATE ROLE {user} LOGIN PASSWORD '{FIRST}'");
            run(&mut postgres, &create).await;
            for statement in [
                format!("CREATE TABLE {user} (id int)"),
                format!("ALTER TABLE {user} OWNER TO {user}"),
            ] {
                run(&mut root, &statement).await;
            }
        }
    }

    /// The document of a user.
    fn document(&self, on_mariadb: bool, user: &str, password: &str) -> String {
        let mut document = self.env.document(user, password);
        if on_mariadb {
            document["engine"] = "mariadb".into();
            document["port"] = Database::port(&self.mariadb).into();
        }
        document.to_string()
    }

    /// Creates the secrets of a place: its masters, its pairs, wrongly tagged ones, and others.
    async fn fill(&self, n: usize) {
        let place = &self.places[n];
        let mut count = 0;
        let master = self.env.master.expose_secret();
        for (cluster, on_mariadb) in [("pg", false), ("maria", true)] {
            let value = self.document(on_mariadb, "rdsmaster", master);
            let name = format!("rds/{cluster}/master");
            place.create(&name, &value, &[("cluster", cluster)]).await;
            count += 1;
        }
        for pair in (0..PAIRS).filter(|pair| place_of(*pair) == n) {
            let cluster = if is_on_mariadb(pair) { "maria" } else { "pg" };
            let tags = [("twinkey", "rotate"), ("cluster", cluster)];
            let value = self.document(is_on_mariadb(pair), &user(pair), FIRST);
            place.create(&secret(pair), &value, &tags).await;
            count += 1;
        }
        for (name, tags, _) in WRONG {
            let tags = [&[("twinkey", "rotate")], tags].concat();
            place.create(&format!("wrong/{name}"), "{}", &tags).await;
            count += 1;
        }
        let tags = [("twinkey", "rotate"), ("cluster", "pg")];
        place.create("deleted", "{}", &tags).await;
        let delete = place.client.delete_secret().secret_id("deleted");
        delete.recovery_window_in_days(7).send().await.unwrap();
        count += 1;
        // Tags that a filter by prefix or without case would find.
        let others: [Tags<'_>; 5] = [
            &[],
            &[("twinkey", "rotate-later")],
            &[("twinkey", "Rotate")],
            &[("twinkey-2", "rotate")],
            &[("team", "rotate"), ("twinkey", "off")],
        ];
        let places = self.places.len();
        let wanted = (SECRETS + places - 1 - n) / places;
        for other in count..wanted.max(count) {
            let tags = others[other % others.len()];
            place.create(&format!("other/{other}"), "{}", tags).await;
        }
    }

    /// Writes the config: a `[[store]]` and a `[[discover]]` of each place.
    fn configure(&self, opens: DateTime<Utc>) {
        let mut text = format!(
            "[journal]\nurl = \"{}\"\n[secrets]\nbackend = \"aws\"\nregion = \"eu-west-1\"\nendpoint_url = \"{}\"\n\
             [defaults]\ntls = {{ mode = \"disable\" }}\nmin_interval = \"0s\"\nin_use = \"ignore\"\n",
            url(&self.env.server, "journal"),
            self.aws
        );
        for place in &self.places {
            text += &format!(
                "[[store]]\nname = \"{store}\"\nbackend = \"aws\"\nregion = \"{}\"\nendpoint_url = \"{}\"\n\
                 assume_role = {{ arn = \"{}\", external_id = \"{EXTERNAL_ID}\" }}\nstore_writes_per_second = {WRITES}\n\
                 [[discover]]\nstore = \"{store}\"\ntags = {{ twinkey = \"rotate\" }}\ntags_may_set = [\"window\"]\n\
                 master_secret = \"rds/{{tag:cluster}}/master\"\nmasters = [\"rds/*/master\"]\n\
                 schedule = \"cron({} {} * * ? *)\"\nwindow = \"1h\"\n",
                place.region,
                self.aws,
                role(place.account),
                opens.minute(),
                opens.hour(),
                store = place.store,
            );
        }
        std::fs::write(self.env.config(), text).unwrap();
    }

    fn worker(&self, n: usize, address: &str) -> Child {
        let path = self.env.folder.path().join(format!("serve-{n}.log"));
        let mut command = self.env.command(env!("CARGO_BIN_EXE_twinkey"));
        command.env("TWINKEY__SERVER__LISTEN", address).arg("serve");
        let log = std::fs::File::create(path).unwrap();
        command.stdout(Stdio::null()).stderr(log).spawn().unwrap()
    }

    /// The end of the logs, for a failure.
    fn logs(&self) -> String {
        let logs = (0..WORKERS).map(|n| {
            let path = self.env.folder.path().join(format!("serve-{n}.log"));
            let text = std::fs::read_to_string(path).unwrap_or_default();
            let from = text.len().saturating_sub(3000);
            format!("worker {n}: …{}\n", text.get(from..).unwrap_or(&text))
        });
        logs.collect()
    }

    /// The wrongly tagged secrets that are refused, each with its own sentence.
    async fn each_mistake_is_named(&self) -> usize {
        let shown = self.env.twinkey(&["discover", "--dry-run", "--json"]).await;
        assert_eq!(shown.status.code(), Some(1));
        let mut output = serde_json::Deserializer::from_slice(&shown.stdout).into_iter::<Json>();
        let rows = output.next().unwrap().unwrap();
        let rows = rows.as_array().unwrap();
        let mut refused: BTreeMap<(String, String), String> = BTreeMap::new();
        for row in rows.iter().filter(|row| row["state"] == "refused") {
            let problem = &row["problem"];
            assert_eq!(problem["code"], "discovery_failed");
            let key = (&row["arn"], &row["secret"]);
            let key = [key.0, key.1].map(|text| text.as_str().unwrap().to_owned());
            let [arn, secret] = key;
            refused.insert(
                (arn, secret),
                problem["message"].as_str().unwrap().to_owned(),
            );
        }
        for place in &self.places {
            let scope = format!(":{}:{}:", place.region, place.account);
            for (name, _, sentence) in WRONG {
                let named = refused.iter().filter(|((arn, secret), _)| {
                    arn.contains(&scope) && *secret == format!("wrong/{name}")
                });
                let messages: Vec<&String> = named.map(|(_, message)| message).collect();
                assert!(
                    matches!(&messages[..], [one] if one.contains(sentence)),
                    "{} {name}: {messages:?}",
                    place.store
                );
            }
        }
        assert_eq!(refused.len(), WRONG.len() * self.places.len());
        let state = |state: &str| rows.iter().filter(|row| row["state"] == state).count();
        assert_eq!(
            (state("armed"), state("skipped")),
            (PAIRS, self.places.len())
        );
        refused.len()
    }

    /// Checks that a secret has one new version, that of the window, which signs in, as does the one before.
    async fn has_one_new_version(&self, pair: usize, opens: DateTime<Utc>) {
        let place = &self.places[place_of(pair)];
        let name = secret(pair);
        let request = place.client.list_secret_version_ids().secret_id(&name);
        let listed = request.include_deprecated(true).send().await.unwrap();
        let versions = listed.versions();
        assert_eq!(versions.len(), 2, "{name}: {versions:?}");
        let described = place.client.describe_secret().secret_id(&name);
        let described = described.send().await.unwrap();
        let expected = version_id::scheduled(described.arn().unwrap(), opens);
        for label in [stage::CURRENT, stage::PREVIOUS] {
            let request = place.client.get_secret_value().secret_id(&name);
            let value = request.version_stage(label).send().await.unwrap();
            let is_new = value.version_id() == Some(&*expected.0);
            assert_eq!(is_new, label == stage::CURRENT, "{name} {label}");
            let document: Json = serde_json::from_str(value.secret_string().unwrap()).unwrap();
            self.works(pair, &document).await;
        }
    }

    async fn works(&self, pair: usize, document: &Json) {
        let text = |key: &str| document[key].as_str().unwrap();
        let password = SecretString::from(text("password"));
        let user_name = text("username");
        if is_on_mariadb(pair) {
            let connection = self.mariadb.connect(user_name, &password, "shop").await;
            let mut connection = connection.unwrap();
            assert!(LocalMysql::may_work(&mut connection).await, "{user_name}");
            return;
        }
        let connection = self.env.connect(user_name, &password, "shop").await;
        let insert = format!("INSERT INTO {} VALUES (1)", user(pair));
        run(&mut connection.unwrap(), &insert).await;
    }
}

/// The sum of a metric over its labels; `None` if the worker does not respond.
async fn metric(address: &str, name: &str) -> Option<usize> {
    let answer = reqwest::get(format!("http://{address}/metrics"))
        .await
        .ok()?;
    let text = answer.text().await.ok()?;
    let lines = text.lines().filter(|line| line.starts_with(name));
    Some(
        lines
            .filter_map(|line| line.rsplit_once(' ')?.1.parse::<usize>().ok())
            .sum(),
    )
}

/// Discovers and rotates the fleet; prints the figures.
async fn rotate(fleet: &Fleet) {
    let now = Clock::system().now();
    let opens = (now + TimeDelta::seconds(150)).with_second(0).unwrap();
    let opens = opens.with_nanosecond(0).unwrap();
    fleet.configure(opens);
    let begun = Instant::now();
    let addresses: Vec<String> = (0..WORKERS).map(|_| free_address()).collect();
    let workers = addresses.iter().enumerate();
    let mut workers: Vec<Child> = workers.map(|(n, at)| fleet.worker(n, at)).collect();
    until("every worker has armed every pair", async || {
        let counts = addresses.iter().map(|at| metric(at, "twinkey_discovered{"));
        let counts = join_all(counts).await;
        for worker in &mut workers {
            if let Some(status) = worker.try_wait().unwrap() {
                panic!("serve exited: {status}\n{}", fleet.logs());
            }
        }
        counts.iter().all(|count| *count == Some(PAIRS))
    })
    .await;
    let discovered = begun.elapsed();
    println!(
        "discovered by all {WORKERS} workers: {:.1} s",
        discovered.as_secs_f64()
    );
    assert!(discovered < Duration::from_secs(60));
    assert!(Clock::system().now() < opens, "the window opened before");
    let mistakes = fleet.each_mistake_is_named().await;
    println!("wrongly tagged and named: {mistakes}");

    let journal = PostgresJournal::open(&location(&fleet.env.server, "journal"))
        .await
        .unwrap();
    let recorded = AuditQuery {
        action: Some(AuditAction::Discover),
        limit: 100_000,
        ..AuditQuery::default()
    };
    let recorded = journal.audit(&recorded).await.unwrap();
    assert_eq!(
        recorded.len(),
        PAIRS + mistakes,
        "one record of each secret"
    );
    let runs = async || {
        let all = RunQuery {
            limit: 100_000,
            ..RunQuery::default()
        };
        journal.runs(&all).await.unwrap()
    };
    let succeeded = async || {
        let runs = runs().await;
        runs.iter()
            .filter(|run| run.state == RunState::Succeeded)
            .count()
    };
    // The window is closed until then, and its runs take minutes.
    let mut killed = None;
    let mut last = 0;
    let mut progress = Instant::now();
    loop {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let done = succeeded().await;
        if done > last || Clock::system().now() < opens {
            (last, progress) = (done, Instant::now());
        }
        if done >= PAIRS / 5 && killed.is_none() {
            workers[0].kill().await.unwrap();
            killed = Some(done);
        }
        if done >= PAIRS {
            break;
        }
        let is_stuck = progress.elapsed() > Duration::from_secs(180);
        assert!(!is_stuck, "{done} of {PAIRS}\n{}", fleet.logs());
    }
    let took = Clock::system().now() - opens;
    let runs = runs().await;
    assert_eq!(runs.len(), PAIRS, "one run of each rotation");
    let mut by_worker: BTreeMap<&str, usize> = BTreeMap::new();
    for run in &runs {
        *by_worker.entry(&run.worker).or_default() += 1;
    }
    println!(
        "opening to the last flip: {:.1} s; killed after {} of {PAIRS}; runs by worker: {:?}",
        took.as_seconds_f64(),
        killed.unwrap(),
        by_worker.values()
    );
    let names: BTreeSet<&str> = runs.iter().map(|run| &*run.rotation).collect();
    assert_eq!(names.len(), PAIRS);
    for pair in 0..PAIRS {
        fleet.has_one_new_version(pair, opens).await;
    }
    println!("one new version each: {PAIRS}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "make soak-fleet: minutes"]
async fn a_fleet_is_discovered_and_rotated() {
    let begun = Instant::now();
    let fleet = Fleet::open(None).await;
    println!("{SECRETS} secrets: {:.1} s", begun.elapsed().as_secs_f64());
    let accounts = fleet.env.stand_in().accounts();
    accounts.limit_writes(QUOTA);
    let before = accounts.calls().len();
    rotate(&fleet).await;
    let calls = &accounts.calls()[before..];
    let mut pages = 0;
    for call in calls.iter().filter(|call| call.session != "fixture") {
        pages += usize::from(call.action == "ListSecrets");
    }
    println!("ListSecrets: {pages} calls");
    for place in &fleet.places {
        let most = accounts.most_writes_in_a_second(place.account, place.region);
        assert!(most <= QUOTA, "{}: {most} writes in a second", place.store);
    }
    let (account, region) = (fleet.places[0].account, fleet.places[0].region);
    println!(
        "writes in the busiest second of the first account and region: {} of {QUOTA}; throttled anywhere: {}",
        accounts.most_writes_in_a_second(account, region),
        accounts.throttled()
    );
    assert_eq!(accounts.throttled(), 0);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "make soak-fleet: minutes"]
async fn a_fleet_on_moto_is_discovered_and_rotated() {
    let fleet = Fleet::open(Some(Moto::start().await)).await;
    rotate(&fleet).await;
}
