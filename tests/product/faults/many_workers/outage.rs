//! An outage of the journal's server.

use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnection;
use twinkey::journal::{Journal, PostgresJournal, RunQuery, RunState, StepState};
use twinkey_stores::{VersionId, stage};
use twinkey_testkit::postgres::{LocalPostgres, Options};

use super::{location, url};
use crate::serving::worker::signal;
use twinkey_testkit::aws::StandIn;
use twinkey_testkit::environment::{Backend, Environment, Setup, free_address, run, until, value};

/// A lock that only this test uses.
const PROBE: &str = "SELECT pg_advisory_xact_lock(4712)";

/// The time in which a worker ends after SIGTERM, whatever its journal does.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// A server that can be stopped and started in place.
struct RestartableServer {
    server: LocalPostgres,
    again: Option<Child>,
    /// Its processes that do not run.
    frozen: Vec<String>,
}

impl RestartableServer {
    fn start() -> Self {
        let options = Options::new(LocalPostgres::find(None).unwrap());
        Self {
            server: LocalPostgres::start(&options).unwrap(),
            again: None,
            frozen: Vec::new(),
        }
    }

    /// Suspends all processes of the server: it accepts connections, and does not respond.
    fn freeze(&mut self) {
        let pid = std::fs::read_to_string(self.data().join("postmaster.pid")).unwrap();
        let parent = pid.lines().next().unwrap().to_owned();
        // It starts no further process from here on.
        kill("STOP", std::slice::from_ref(&parent));
        let children = Command::new("pgrep").args(["-P", &parent]).output();
        let children = String::from_utf8(children.unwrap().stdout).unwrap();
        let children: Vec<String> = children.lines().map(str::to_owned).collect();
        kill("STOP", &children);
        self.frozen = std::iter::once(parent).chain(children).collect();
    }

    fn resume(&mut self) {
        kill("CONT", &std::mem::take(&mut self.frozen));
    }

    fn data(&self) -> PathBuf {
        self.server.log_path().with_file_name("data")
    }

    fn listens(&self) -> bool {
        std::net::TcpStream::connect(("127.0.0.1", self.server.port())).is_ok()
    }

    async fn stop(&self) {
        let pid = std::fs::read_to_string(self.data().join("postmaster.pid")).unwrap();
        let kill = format!("kill -INT {}", pid.lines().next().unwrap());
        assert!(
            Command::new("sh")
                .args(["-c", &kill])
                .status()
                .unwrap()
                .success()
        );
        until("the journal's server is down", async || !self.listens()).await;
    }

    async fn start_again(&mut self) {
        let data = self.data();
        let owner = std::fs::metadata(&data).unwrap();
        // The command line of the server, with quoted arguments.
        let line = std::fs::read_to_string(data.join("postmaster.opts")).unwrap();
        let mut command = Command::new("sh");
        command
            .args(["-c", &format!("exec {}", line.trim())])
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if owner.uid() != 0 {
            command.gid(owner.gid()).uid(owner.uid());
        }
        self.again = Some(command.spawn().unwrap());
        until("the journal's server is up", async || self.listens()).await;
    }
}

/// Sends a signal to these processes, of which some may have ended.
fn kill(name: &str, pids: &[String]) {
    if !pids.is_empty() {
        let sent = Command::new("kill").args(["-s", name]).args(pids).status();
        sent.unwrap();
    }
}

impl Drop for RestartableServer {
    fn drop(&mut self) {
        self.resume();
        if let Some(mut again) = self.again.take() {
            let _ = again.kill();
            let _ = again.wait();
        }
    }
}

async fn ready(address: &str) -> (u16, String) {
    let answer = reqwest::get(format!("http://{address}/readyz"))
        .await
        .unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

/// A worker with its journal on another server, and a run that waits in `test` until `holder`
/// releases its lock.
struct OutageFixture {
    journal: RestartableServer,
    env: Environment,
    address: String,
    serve: tokio::process::Child,
    holder: PgConnection,
    /// AWSCURRENT before the run.
    replaced: VersionId,
}

impl OutageFixture {
    async fn open(backend: Backend) -> Self {
        let journal = tokio::task::spawn_blocking(RestartableServer::start)
            .await
            .unwrap();
        let address = free_address();
        let plan = Setup {
            config: format!("[server]\nlisten = \"{address}\""),
            rotation: format!("probe = [\"{PROBE}\"]"),
            ..Setup::default()
        };
        let env = Environment::open_with(plan, backend).await;
        let config = std::fs::read_to_string(env.config()).unwrap();
        let shared = url(&journal.server, "postgres");
        let config = config.replace("sqlite://journal.db", &shared);
        std::fs::write(env.config(), config).unwrap();
        let mut holder = env.root("shop").await;
        run(&mut holder, "BEGIN").await;
        run(&mut holder, PROBE).await;
        let serve = env.serve(&address).await;
        let (_, replaced) = env.read(stage::CURRENT).await;
        let fixture = Self {
            journal,
            env,
            address,
            serve,
            holder,
            replaced,
        };
        assert_eq!(fixture.rotate().await.0, 202);
        let mut look = fixture.env.root("shop").await;
        until("the run waits in `test`", async || {
            let sql = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%4712%'";
            value::<i64>(&mut look, sql).await > 0
        })
        .await;
        fixture
    }

    async fn rotate(&self) -> (u16, String) {
        let url = format!("http://{}/v1/rotations/shop/rotate", self.address);
        let answer = reqwest::Client::new().post(url).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// Stops the journal, and lets the run continue.
    async fn stop_the_journal(&mut self) {
        self.journal.stop().await;
        run(&mut self.holder, "ROLLBACK").await;
    }

    /// Sends SIGTERM, and waits until the worker has ended.
    async fn ends_within_its_limit(&mut self) {
        let begun = Instant::now();
        signal(&self.serve, "TERM");
        let ended = tokio::time::timeout(2 * STOP_LIMIT, self.serve.wait()).await;
        let took = begun.elapsed();
        let log = self.env.folder.path().join("serve.log");
        let log = std::fs::read_to_string(log).unwrap();
        let ended = ended.unwrap_or_else(|_| panic!("it runs after {took:?}: {log}"));
        assert!(ended.unwrap().success(), "{log}");
        assert!(took <= STOP_LIMIT, "{took:?}: {log}");
        assert!(log.contains("worker stopped"), "{log}");
    }

    async fn reports_the_outage(&self) {
        let (status, message) = ready(&self.address).await;
        assert_eq!(status, 503, "{message}");
        assert!(message.contains("journal"), "{message}");
        assert!(!message.contains("postgres://"), "{message}");
        let (status, message) = self.rotate().await;
        assert_eq!(status, 503, "{message}");
        assert!(message.contains("journal_unavailable"), "{message}");
    }

    /// Starts the journal again: the first run is recorded with its result, and another run
    /// succeeds.
    async fn recovers_with_its_journal(mut self, first: RunState) {
        self.journal.start_again().await;
        let address = &self.address;
        until("the worker is ready again", async || {
            ready(address).await.0 == 200
        })
        .await;
        let read = PostgresJournal::open(&location(&self.journal.server, "postgres"))
            .await
            .unwrap();
        let runs = async || {
            let newest = RunQuery {
                limit: 10,
                ..RunQuery::default()
            };
            read.runs(&newest).await.unwrap()
        };
        let states = async || runs().await.iter().map(|run| run.state).collect::<Vec<_>>();
        until("the result of the run is recorded", async || {
            states().await == [first]
        })
        .await;
        let steps = runs().await.remove(0).steps;
        let done = steps.iter().filter(|s| s.state == StepState::Succeeded);
        // Steps during the outage are recorded later.
        let all = first == RunState::Succeeded;
        assert_eq!(done.count() == 4, all, "{steps:?}");
        let (status, message) = self.rotate().await;
        assert_eq!(status, 202, "{message}");
        until("the next run has succeeded", async || {
            states().await == [RunState::Succeeded, first]
        })
        .await;
        self.env.signed_in(stage::CURRENT).await;
        assert_ne!(self.env.read(stage::CURRENT).await.1, self.replaced);
        signal(&self.serve, "TERM");
        assert!(self.serve.wait().await.unwrap().success());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_without_its_journal_finishes_and_is_recorded_later() {
    let mut fixture = OutageFixture::open(Backend::Local).await;
    fixture.stop_the_journal().await;
    until("the run has moved AWSCURRENT", async || {
        fixture.env.read(stage::CURRENT).await.1 != fixture.replaced
    })
    .await;
    fixture.env.signed_in(stage::CURRENT).await;
    fixture.reports_the_outage().await;
    fixture.recovers_with_its_journal(RunState::Succeeded).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_without_a_write_permit_ends_with_its_lease() {
    let mut fixture = OutageFixture::open(Backend::StandIn(StandIn::start().await)).await;
    let (pending, _) = fixture.env.read(stage::PENDING).await;
    fixture.stop_the_journal().await;
    until("the run has stopped with its lease", async || {
        let log = fixture.env.folder.path().join("serve.log");
        std::fs::read_to_string(log).unwrap().contains("lost_race")
    })
    .await;
    let (current, version) = fixture.env.read(stage::CURRENT).await;
    assert_eq!(
        version, fixture.replaced,
        "nothing was written without a permit"
    );
    assert_ne!(current["password"], pending["password"]);
    fixture.env.signed_in(stage::CURRENT).await;
    fixture.reports_the_outage().await;
    fixture.recovers_with_its_journal(RunState::Failed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_ends_a_worker_whose_journal_hangs() {
    let mut fixture = OutageFixture::open(Backend::Local).await;
    // During a run that waits for its proof, and during a reload.
    fixture.journal.freeze();
    fixture.ends_within_its_limit().await;
    let (_, version) = fixture.env.read(stage::CURRENT).await;
    assert_eq!(
        version, fixture.replaced,
        "the next start continues the run"
    );

    fixture.journal.resume();
    let address = fixture.address.clone();
    fixture.serve = fixture.env.serve(&address).await;
    until("the worker is ready", async || {
        ready(&address).await.0 == 200
    })
    .await;
    fixture.journal.freeze();
    signal(&fixture.serve, "HUP");
    let log = fixture.env.folder.path().join("serve.log");
    until("the worker reads its config again", async || {
        std::fs::read_to_string(&log)
            .unwrap()
            .contains("config reloaded")
    })
    .await;
    fixture.ends_within_its_limit().await;
}
