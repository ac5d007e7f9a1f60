//! An environment whose runs are cut, the checks, and the run that repairs.

use std::process::ExitStatus;
use std::sync::Arc;
use std::time::{Duration, Instant};

use secrecy::SecretString;
use serde_json::{Value as Json, json};
use tokio::sync::Notify;
use twinkey_stores::{VersionId, stage};

use super::engines::CuttableDatabase;
use super::relay::Relay;
use super::{CutRow, Recovery};
use crate::faults::failures::with;
use twinkey_testkit::aws::StandIn;
use twinkey_testkit::environment::{Backend, Environment, MASTER_SECRET, SECRET, Setup};
use twinkey_testkit::postgres::LocalPostgres;

/// The time within which the lock of a dead run must expire.
const PATIENCE: Duration = Duration::from_secs(180);

/// An environment whose secrets lead to the database through a relay.
pub struct CutFixture<D: CuttableDatabase> {
    pub env: Environment<D>,
    pub relay: Relay,
    pub store: &'static str,
    /// The ports of the readers, without the relay.
    readers: Vec<u16>,
    /// `strategy = "single"`, on a server with a gap.
    pub has_one_user: bool,
    round: usize,
    passwords: Vec<String>,
}

/// AWSCURRENT before a run.
pub struct Before {
    document: Json,
    version: VersionId,
}

impl CutFixture<LocalPostgres> {
    /// On a version of PostgreSQL that can copy a server.
    pub async fn for_replicas() -> Self {
        let (version, _) = LocalPostgres::find_for_replicas().unwrap();
        let setup = Setup {
            version: Some(version),
            ..Setup::default()
        };
        let backend = Backend::StandIn(StandIn::start().await);
        Self::of(Environment::open_with(setup, backend).await, "AWS").await
    }

    pub fn replica(&self, setting: &str) -> LocalPostgres {
        let (_, bin) = LocalPostgres::find_for_replicas().unwrap();
        let server = &self.env.server;
        tokio::task::block_in_place(|| server.start_replica(bin, &[setting]).unwrap())
    }
}

impl<D: CuttableDatabase> CutFixture<D> {
    pub async fn on_aws() -> Self {
        let stand_in = StandIn::start().await;
        Self::open(Backend::StandIn(stand_in), "AWS").await
    }

    pub async fn on_local() -> Self {
        Self::open(Backend::Local, "embedded").await
    }

    async fn open(backend: Backend, store: &'static str) -> Self {
        Self::of(D::open(backend).await, store).await
    }

    async fn of(env: Environment<D>, store: &'static str) -> Self {
        let relay = Relay::start(env.server.port()).await;
        let (current, _) = env.read(stage::CURRENT).await;
        let master = env.document("rdsmaster", "Master-0123456789-abcdef-XYZ");
        for (name, document) in [(SECRET, current), (MASTER_SECRET, master)] {
            let document = with(document, "port", json!(relay.port()));
            env.put(name, &document).await;
        }
        env.run_ok(&["rotate", "shop"]).await;
        Self {
            env,
            relay,
            store,
            readers: Vec::new(),
            has_one_user: false,
            round: 0,
            passwords: Vec::new(),
        }
    }

    pub fn row(&self, kind: &'static str) -> CutRow {
        let engine = if self.has_one_user {
            D::ONE_USER
        } else if self.readers.is_empty() {
            D::NAME
        } else {
            D::WITH_READER
        };
        CutRow::new(engine, self.store, kind)
    }

    /// Rotates the user itself, and not its clone. AWSCURRENT or AWSPENDING has to sign in after each
    /// cut.
    pub fn with_one_user(mut self) -> Self {
        self.env.configure(&Setup {
            rotation: "strategy = \"single\"\ngap = \"accept\"".into(),
            ..Setup::default()
        });
        self.has_one_user = true;
        self
    }

    /// Adds a reader, through the relay too. AWSCURRENT has to sign in there after each cut.
    pub async fn with_reader(mut self, server: u16) -> Self {
        let port = self.relay.also_to(server).await;
        self.env.configure(&Setup {
            rotation: format!("readers = [\"127.0.0.1:{port}\"]\nin_use = \"ignore\""),
            ..Setup::default()
        });
        self.env.run_ok(&["rotate", "shop"]).await;
        self.readers.push(server);
        self
    }

    pub fn has_readers(&self) -> bool {
        !self.readers.is_empty()
    }

    /// Changes a user, and returns the state before the run.
    pub async fn begin(&mut self) -> Before {
        self.round += 1;
        let (document, version) = self.env.read(stage::CURRENT).await;
        // Each run of one user changes its password.
        if !self.has_one_user {
            let active = document["username"].as_str().unwrap();
            D::unsettle(&self.env, active, self.round).await;
        }
        Before { document, version }
    }

    /// Runs to the end, or kills the run at `deadly`. `None`: it was killed.
    pub async fn run(&self, deadly: Option<Arc<Notify>>) -> Option<ExitStatus> {
        let message = std::fs::File::create(self.message()).unwrap();
        let mut run = (self.env.command(env!("CARGO_BIN_EXE_twinkey")))
            .args(["rotate", "shop"])
            .stdout(message.try_clone().unwrap())
            .stderr(message)
            .spawn()
            .unwrap();
        let Some(deadly) = deadly else {
            return Some(run.wait().await.unwrap());
        };
        tokio::select! {
            () = deadly.notified() => {
                run.kill().await.unwrap();
                None
            }
            status = run.wait() => Some(status.unwrap()),
        }
    }

    fn message(&self) -> std::path::PathBuf {
        self.env.folder.path().join("said.log")
    }

    /// Checks the state after a cut run, repairs it with another run, and checks again. `ended` is
    /// the status of the run; `None`: it was killed.
    pub async fn recover(
        &mut self,
        row: &mut CutRow,
        at: usize,
        before: &Before,
        ended: Option<ExitStatus>,
    ) {
        let place = format!("{} {} {}, request {at}", row.engine, row.store, row.kind);
        let mut violations = self.broken(before).await;
        let pending = self.pending().await;
        let begun = Instant::now();
        let recovery = if ended.is_some_and(|status| status.success()) {
            Recovery::SameRun
        } else {
            if ended.is_none() {
                self.lose_the_journal();
                D::lock_runs_out(&self.env).await;
            }
            violations.extend(self.runs_to_its_end().await);
            match &pending {
                Some(pending) if *pending == self.env.read(stage::CURRENT).await.0 => {
                    Recovery::NextRunContinued
                }
                _ => Recovery::NextRunRestarted,
            }
        };
        row.recoveries.push((recovery, begun.elapsed()));
        violations.extend(self.unfinished(before).await);
        row.violations.extend(
            violations
                .into_iter()
                .map(|what| format!("{place}: {what}")),
        );
    }

    /// The promises that do not hold.
    async fn broken(&mut self, before: &Before) -> Vec<String> {
        let mut broken = Vec::new();
        let (current, version) = self.env.read(stage::CURRENT).await;
        let pending = self.pending().await.filter(|_| self.has_one_user);
        let pending_works = match &pending {
            Some(pending) => self.works(pending).await,
            None => false,
        };
        if !pending_works && !self.works(&current).await {
            broken.push("promise 1: AWSCURRENT does not sign in with all its privileges".into());
        }
        for reader in &self.readers {
            if !D::signs_in_at(*reader, &current).await {
                broken.push(format!("promise 1: the reader {reader} refuses AWSCURRENT"));
            }
        }
        if !self.has_one_user && !self.works(&before.document).await {
            broken.push("promise 2: what applications had before the run does not work".into());
        }
        if version != before.version
            && self.labelled(stage::PREVIOUS).await != Some(before.version.clone())
        {
            broken.push("promise 2: AWSPREVIOUS is not what AWSCURRENT was".into());
        }
        let mut known = false;
        for label in [stage::CURRENT, stage::PREVIOUS, stage::PENDING] {
            if self.labelled(label).await.is_some() {
                let (document, _) = self.env.read(label).await;
                let of_standby = document["username"] != current["username"];
                known |= (of_standby || self.has_one_user) && self.signs_in(&document).await;
                self.remember(&document);
            }
        }
        if !known {
            broken.push("promise 3: the standby has a password that is not in the store".into());
        }
        let message = std::fs::read_to_string(self.message()).unwrap();
        if self
            .passwords
            .iter()
            .any(|password| message.contains(password))
        {
            broken.push("promise 3: a password was printed".into());
        }
        broken
    }

    /// The differences from a complete rotation.
    async fn unfinished(&mut self, before: &Before) -> Vec<String> {
        let mut unfinished = self.broken_after().await;
        let (current, version) = self.env.read(stage::CURRENT).await;
        if version == before.version {
            unfinished.push("the run did not end: AWSCURRENT has not moved".into());
        }
        let pending = self.labelled(stage::PENDING).await;
        if pending.is_some_and(|pending| pending != version) {
            unfinished.push("the run did not end: AWSPENDING is left".into());
        }
        self.remember(&current);
        unfinished
    }

    async fn broken_after(&self) -> Vec<String> {
        let mut broken = Vec::new();
        let labels: &[&str] = if self.has_one_user {
            &[stage::CURRENT]
        } else {
            &[stage::CURRENT, stage::PREVIOUS]
        };
        for label in labels {
            let (document, _) = self.env.read(label).await;
            if !self.works(&document).await {
                broken.push(format!("after the repair, {label} does not work"));
            }
        }
        broken
    }

    /// Rotates until a run succeeds. Only the run that was cut may block it.
    async fn runs_to_its_end(&self) -> Option<String> {
        let begun = Instant::now();
        loop {
            let output = self.env.twinkey(&["rotate", "shop"]).await;
            let message = String::from_utf8_lossy(&output.stderr).into_owned();
            if output.status.success() {
                return None;
            }
            if !message.contains("error[already_running]") || begun.elapsed() > PATIENCE {
                return Some(format!("the next run fails: {message}"));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn remember(&mut self, document: &Json) {
        let password = document["password"].as_str().unwrap().to_owned();
        if !self.passwords.contains(&password) {
            self.passwords.push(password);
        }
    }

    async fn labelled(&self, label: &str) -> Option<VersionId> {
        let labels = self.env.labels().await;
        let mut those = labels.into_iter();
        let found = those.find(|(_, labels)| labels.iter().any(|l| l == label));
        found.map(|(id, _)| VersionId(id))
    }

    /// The pending document of an incomplete run.
    async fn pending(&self) -> Option<Json> {
        let pending = self.labelled(stage::PENDING).await?;
        if Some(pending) == self.labelled(stage::CURRENT).await {
            return None;
        }
        Some(self.env.read(stage::PENDING).await.0)
    }

    async fn connect(&self, document: &Json) -> Option<D::Connection> {
        let password = SecretString::from(document["password"].as_str().unwrap());
        let user = document["username"].as_str().unwrap();
        self.env.connect(user, &password, "shop").await.ok()
    }

    async fn signs_in(&self, document: &Json) -> bool {
        self.connect(document).await.is_some()
    }

    async fn works(&self, document: &Json) -> bool {
        match self.connect(document).await {
            Some(mut connection) => D::may_work(&mut connection).await,
            None => false,
        }
    }

    /// Removes the journal: the next worker has another, and its decisions must not depend on the
    /// lost one.
    fn lose_the_journal(&self) {
        for file in ["journal.db", "journal.db-wal", "journal.db-shm"] {
            // The last two exist only while the journal is open, or after a kill.
            let _ = std::fs::remove_file(self.env.folder.path().join(file));
        }
    }
}
