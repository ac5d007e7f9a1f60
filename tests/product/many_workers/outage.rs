//! A journal's server that is stopped and started.

use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use twinkey::demo::postgres::{LocalPostgres, Options};
use twinkey::journal::{Journal, PostgresJournal, RunQuery, RunState};
use twinkey::store::stage;

use super::{location, url};
use crate::serving::signal;
use crate::support::shop::{Plan, Shop, free_address, run, until, value};

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

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_journal_goes_away_ends_its_runs_safely_and_goes_on_when_it_is_back() {
    let mut journal = tokio::task::spawn_blocking(Restarted::start).await.unwrap();
    let address = free_address();
    let shop = Shop::open(Plan {
        config: format!("[server]\nlisten = \"{address}\""),
        rotation: format!("probe = [\"{PROBE}\"]"),
        ..Plan::default()
    })
    .await;
    let config = std::fs::read_to_string(shop.config()).unwrap();
    let shared = url(&journal.server, "postgres");
    std::fs::write(
        shop.config(),
        config.replace("sqlite://journal.db", &shared),
    )
    .unwrap();
    let mut holder = shop.root("shop").await;
    run(&mut holder, "BEGIN").await;
    run(&mut holder, PROBE).await;
    let mut serve = shop.serve(&address).await;
    let (before, replaced) = shop.read(stage::CURRENT).await;
    let client = reqwest::Client::new();
    let rotate = || client.post(format!("http://{address}/v1/rotations/shop/rotate"));
    let begun = rotate().send().await.unwrap();
    assert_eq!(begun.status(), 202);
    let mut look = shop.root("shop").await;
    until("the run waits in `test`", async || {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%4712%'";
        value::<i64>(&mut look, sql).await > 0
    })
    .await;

    journal.stop().await;
    // Its lease still holds: it comes to its end.
    run(&mut holder, "ROLLBACK").await;
    until("the run has moved AWSCURRENT", async || {
        shop.read(stage::CURRENT).await.1 != replaced
    })
    .await;
    shop.signed_in(stage::CURRENT).await;
    let (status, said) = ready(&address).await;
    assert_eq!(status, 503, "{said}");
    assert!(
        said.contains("journal") && !said.contains("postgres://"),
        "{said}"
    );
    let refused = rotate().send().await.unwrap();
    assert_eq!(refused.status(), 503);
    assert!(
        refused
            .text()
            .await
            .unwrap()
            .contains("journal_unavailable")
    );

    journal.start_again().await;
    until("the worker is ready again", async || {
        ready(&address).await.0 == 200
    })
    .await;
    let read = PostgresJournal::open(&location(&journal.server, "postgres"))
        .await
        .unwrap();
    let newest = RunQuery {
        limit: 10,
        ..RunQuery::default()
    };
    until("what became of the run is written down", async || {
        let runs = read.runs(&newest).await.unwrap();
        runs.len() == 1 && runs[0].state == RunState::Succeeded
    })
    .await;
    assert_eq!(rotate().send().await.unwrap().status(), 202);
    until("the next run is done", async || {
        let runs = read.runs(&newest).await.unwrap();
        runs.len() == 2 && runs[0].state == RunState::Succeeded
    })
    .await;
    assert_eq!(
        shop.read(stage::CURRENT).await.0["username"],
        before["username"]
    );
    signal(&serve, "TERM");
    assert!(serve.wait().await.unwrap().success());
}
