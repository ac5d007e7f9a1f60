//! Several `twinkey serve` with one journal in PostgreSQL: killed, frozen, without their journal,
//! and with a wiped journal.

mod outage;
mod race;
mod wiped;

use std::process::Stdio;

use chrono::{DateTime, TimeDelta, Utc};
use secrecy::ExposeSecret;
use tokio::process::Child;
use twinkey::config::settings::{JournalPassword, PostgresLocation};
use twinkey::journal::{Journal, PostgresJournal, Run, RunQuery};
use twinkey::rotation::run::version_id;
use twinkey_engines::{Tls, TlsMode};
use twinkey_stores::{SecretStore, VersionId, stage};
use twinkey_testkit::postgres::LocalPostgres;

use twinkey_testkit::environment::many_pairs::{ManyPairs, name, secret};
use twinkey_testkit::environment::{free_address, run};

/// The `journal.url` of a database.
pub fn url(server: &LocalPostgres, database: &str) -> String {
    let who = server.superuser();
    format!(
        "postgres://{}:{}@127.0.0.1:{}/{database}",
        who.username,
        who.password.expose_secret(),
        server.port()
    )
}

/// The settings of this `journal.url`.
pub fn location(server: &LocalPostgres, database: &str) -> PostgresLocation {
    let who = server.superuser();
    PostgresLocation {
        host: "127.0.0.1".into(),
        port: server.port(),
        user: who.username.clone(),
        password: Some(JournalPassword::InUrl(who.password.clone())),
        database: database.into(),
        tls: Tls {
            mode: TlsMode::Disable,
            ca_file: None,
        },
    }
}

/// Pairs with an open window, and a database `journal` on the same server.
struct WorkersFixture {
    pairs: ManyPairs,
    journal: PostgresJournal,
    opens: DateTime<Utc>,
    /// AWSCURRENT of each pair before the window.
    before: Vec<VersionId>,
}

impl WorkersFixture {
    /// `each` has the schedule of every rotation, whose window opened at `opens`.
    async fn open(pairs: ManyPairs, limits: &str, each: &str, opens: DateTime<Utc>) -> Self {
        let env = &pairs.env;
        run(&mut env.root("postgres").await, "CREATE DATABASE journal").await;
        let head = format!(
            "[limits]\n{limits}\n[journal]\nurl = \"{}\"\n[secrets]\nbackend = \"aws\"\nregion = \"eu-west-1\"\nendpoint_url = \"{}\"",
            url(&env.server, "journal"),
            env.stand_in().url()
        );
        let each = format!("min_interval = \"0s\"\nin_use = \"ignore\"\nmissed = \"run\"\n{each}");
        std::fs::write(env.config(), pairs.config(&head, &each)).unwrap();
        let journal = PostgresJournal::open(&location(&env.server, "journal"))
            .await
            .unwrap();
        let names: Vec<String> = (0..pairs.count).map(name).collect();
        let yesterday = opens - TimeDelta::days(1);
        journal.first_seen(&names, yesterday).await.unwrap();
        let mut fixture = Self {
            pairs,
            journal,
            opens,
            before: Vec::new(),
        };
        for pair in 0..fixture.pairs.count {
            fixture
                .before
                .push(fixture.version_with(pair, stage::CURRENT).await);
        }
        fixture
    }

    fn worker(&self, n: usize) -> Child {
        let folder = self.pairs.env.folder.path();
        let log = std::fs::File::create(folder.join(format!("serve-{n}.log"))).unwrap();
        self.pairs
            .env
            .command(env!("CARGO_BIN_EXE_twinkey"))
            .env("TWINKEY__SERVER__LISTEN", free_address())
            .arg("serve")
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap()
    }

    fn log(&self, n: usize) -> String {
        let path = self.pairs.env.folder.path().join(format!("serve-{n}.log"));
        std::fs::read_to_string(path).unwrap()
    }

    async fn version_with(&self, pair: usize, label: &str) -> VersionId {
        let store = self.pairs.env.stand_in().store();
        let description = store.describe(&secret(pair)).await.unwrap();
        description.labelled(label).cloned().unwrap()
    }

    async fn runs(&self) -> Vec<Run> {
        let everything = RunQuery {
            limit: 100_000,
            ..RunQuery::default()
        };
        self.journal.runs(&everything).await.unwrap()
    }

    /// The number of secrets whose AWSCURRENT is the version of this window.
    async fn flipped(&self) -> usize {
        let store = self.pairs.env.stand_in().store();
        let mut flipped = 0;
        for pair in 0..self.pairs.count {
            let description = store.describe(&secret(pair)).await.unwrap();
            let id = version_id::scheduled(&description.arn, self.opens);
            flipped += usize::from(description.labelled(stage::CURRENT) == Some(&id));
        }
        flipped
    }

    /// Checks that each secret has one new version, that of this window, and that it signs in.
    async fn each_secret_has_one_new_version(&self) {
        let store = self.pairs.env.stand_in().store();
        for pair in 0..self.pairs.count {
            let description = store.describe(&secret(pair)).await.unwrap();
            let id = version_id::scheduled(&description.arn, self.opens);
            // Including versions without labels, which DescribeSecret omits.
            let versions = store.versions(&secret(pair)).await.unwrap();
            assert_eq!(versions.len(), 2, "{}: {versions:?}", name(pair));
            assert_eq!(description.labelled(stage::CURRENT), Some(&id));
            let previous = description.labelled(stage::PREVIOUS);
            assert_eq!(previous, Some(&self.before[pair]), "{}", name(pair));
            self.pairs.check(store, pair).await.unwrap();
        }
    }
}
