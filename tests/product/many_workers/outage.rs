//! A journal's server that is stopped and started.

use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use sqlx::postgres::PgConnection;
use twinkey::journal::{Journal, PostgresJournal, RunQuery, RunState, StepState};
use twinkey_stores::{VersionId, stage};
use twinkey_testkit::postgres::{LocalPostgres, Options};

use super::{location, url};
use crate::serving::signal;
use twinkey_testkit::aws::StandIn;
use twinkey_testkit::environment::{Backend, Plan, Environment, free_address, run, until, value};

/// A lock that nothing but this test takes.
const PROBE: &str = "SELECT pg_advisory_xact_lock(4712)";

/// A server that can be stopped and started where it was.
struct Restarted {
    server: LocalPostgres,
    again: Option<Child>,
}

impl Restarted {
    fn start() -> Self {
        let options = Options::new(LocalPostgres::find(None).unwrap());
        Self {
            server: LocalPostgres::start(&options).unwrap(),
            again: None,
        }
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
        // The command line that it was started with, each argument in quotes.
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
        until("the journal's server is back", async || self.listens()).await;
    }
}

impl Drop for Restarted {
    fn drop(&mut self) {
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

/// A worker whose journal is a server of its own, with a run that waits in `test` until `holder` lets it go.
struct Caught {
    journal: Restarted,
    env: Environment,
    address: String,
    serve: tokio::process::Child,
    holder: PgConnection,
    /// AWSCURRENT before the run.
    replaced: VersionId,
}

impl Caught {
    async fn in_a_run(backend: Backend) -> Self {
        let journal = tokio::task::spawn_blocking(Restarted::start).await.unwrap();
        let address = free_address();
        let plan = Plan {
            config: format!("[server]\nlisten = \"{address}\""),
            rotation: format!("probe = [\"{PROBE}\"]"),
            ..Plan::default()
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
        let caught = Self {
            journal,
            env,
            address,
            serve,
            holder,
            replaced,
        };
        assert_eq!(caught.rotate().await.0, 202);
        let mut look = caught.env.root("shop").await;
        until("the run waits in `test`", async || {
            let sql = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%4712%'";
            value::<i64>(&mut look, sql).await > 0
        })
        .await;
        caught
    }

    async fn rotate(&self) -> (u16, String) {
        let url = format!("http://{}/v1/rotations/shop/rotate", self.address);
        let answer = reqwest::Client::new().post(url).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// Stops the journal, and lets the run go on.
    async fn without_its_journal(&mut self) {
        self.journal.stop().await;
        run(&mut self.holder, "ROLLBACK").await;
    }

    async fn says_that_its_journal_is_down(&self) {
        let (status, said) = ready(&self.address).await;
        assert_eq!(status, 503, "{said}");
        assert!(said.contains("journal"), "{said}");
        assert!(!said.contains("postgres://"), "{said}");
        let (status, said) = self.rotate().await;
        assert_eq!(status, 503, "{said}");
        assert!(said.contains("journal_unavailable"), "{said}");
    }

    /// The journal is back: the first run is written down as it ended, and another one succeeds.
    async fn goes_on_when_it_is_back(mut self, first: RunState) {
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
        until("what became of the run is written down", async || {
            states().await == [first]
        })
        .await;
        let steps = runs().await.remove(0).steps;
        let done = steps.iter().filter(|s| s.state == StepState::Succeeded);
        // What the journal did not hear at its time is not lost.
        let all = first == RunState::Succeeded;
        assert_eq!(done.count() == 4, all, "{steps:?}");
        let (status, said) = self.rotate().await;
        assert_eq!(status, 202, "{said}");
        until("the next run is done", async || {
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
async fn a_run_whose_journal_goes_away_comes_to_its_end_within_its_lease_and_is_written_down_later()
{
    let mut caught = Caught::in_a_run(Backend::Local).await;
    caught.without_its_journal().await;
    until("the run has moved AWSCURRENT", async || {
        caught.env.read(stage::CURRENT).await.1 != caught.replaced
    })
    .await;
    caught.env.signed_in(stage::CURRENT).await;
    caught.says_that_its_journal_is_down().await;
    caught.goes_on_when_it_is_back(RunState::Succeeded).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_cannot_ask_for_its_turn_to_write_is_dropped_with_its_lease_and_the_next_carries_it_on()
 {
    let mut caught = Caught::in_a_run(Backend::StandIn(StandIn::start().await)).await;
    let (pending, _) = caught.env.read(stage::PENDING).await;
    caught.without_its_journal().await;
    until("the run has stopped with its lease", async || {
        let log = caught.env.folder.path().join("serve.log");
        std::fs::read_to_string(log).unwrap().contains("lost_race")
    })
    .await;
    let (current, version) = caught.env.read(stage::CURRENT).await;
    assert_eq!(
        version, caught.replaced,
        "nothing was written without a turn"
    );
    assert_ne!(current["password"], pending["password"]);
    caught.env.signed_in(stage::CURRENT).await;
    caught.says_that_its_journal_is_down().await;
    caught.goes_on_when_it_is_back(RunState::Failed).await;
}
