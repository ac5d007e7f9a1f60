//! An idle `twinkey serve` with 100, 1,000 and 10,000 armed rotations: its start, its reload, its
//! responses and its memory.

use std::fmt::Write;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use twinkey::journal::{
    Actor, Claim, ClaimRequest, Journal, Note, Outcome, RunState, SecretSummary, SqliteJournal,
    Step, StepName, StepState, Trigger,
};
use twinkey::rotation::run::version_id;
use twinkey::schedule::Window;
use twinkey_core::code::{Code, Problem};
use twinkey_core::telemetry::Clock;
use twinkey_stores::SecretStore;
use twinkey_stores::local::LocalStore;

use crate::Result;
use twinkey_testkit::environment::free_address;

const SIZES: [usize; 3] = [100, 1_000, 10_000];
const REST: Duration = Duration::from_secs(60);

pub async fn run() -> Result<()> {
    for size in SIZES {
        one(size).await?;
    }
    Ok(())
}

async fn one(size: usize) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let address = free_address();
    let config = folder.path().join("twinkey.toml");
    std::fs::write(&config, text(size, &address)?)?;
    // `serve` refuses a store that does not exist.
    let file = |name: &str| folder.path().join(name);
    let store = LocalStore::open(&file("secrets.db"), &file("secrets.key")).await?;
    store.close().await;
    let journal = SqliteJournal::open(&file("journal.db")).await?;
    for n in 0..size {
        remember(&journal, &format!("service-{n}"), RunState::Succeeded).await?;
    }
    let log = folder.path().join("log");
    let begun = Instant::now();
    let mut serve = tokio::process::Command::new(env!("CARGO_BIN_EXE_twinkey"))
        .arg("--config")
        .arg(&config)
        .arg("serve")
        .stderr(std::fs::File::create(&log)?)
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    armed(&log, 1).await?;
    let start = begun.elapsed();
    let pid = serve.id().ok_or("it has ended")?;
    // The work of the start must not be measured as idle.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let (memory, before) = (resident(pid)?, ticks(pid)?);
    tokio::time::sleep(REST).await;
    let busy = (ticks(pid)? - before) / REST.as_secs_f64() * 100.0;

    let begun = Instant::now();
    let hangup = std::process::Command::new("kill")
        .args(["-HUP", &pid.to_string()])
        .status()?;
    assert!(hangup.success());
    armed(&log, 2).await?;
    let reload = begun.elapsed();
    let status = asked(&address, "/v1/rotations").await?;
    let metrics = asked(&address, "/metrics").await?;
    let begun = Instant::now();
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_twinkey"))
        .arg("--config")
        .arg(&config)
        .args(["status", "--json"])
        .output()
        .await?;
    assert!(output.status.success());
    let command = begun.elapsed();
    let after = resident(pid)?;
    serve.kill().await?;
    let each = |took: Duration| took.as_secs_f64() * 1e6 / size as f64;
    println!(
        "{size} armed: start {start:.0?} ({:.0} us each), reload {reload:.0?} ({:.0} us each), status {status:.0?}, metrics {metrics:.0?}, `twinkey status` {command:.0?}; idle {memory:.1} MB, {busy:.3} % of a core over {REST:?}; {after:.1} MB after all of that",
        each(start),
        each(reload),
    );
    let memory = journal.rotation_records().await?;
    assert!(memory.values().all(|known| known.last_run.is_some()));
    Ok(())
}

/// Records a past run, as each rotation has after its first window.
pub async fn remember(journal: &SqliteJournal, name: &str, state: RunState) -> Result<()> {
    let now = Clock::system().now();
    let window = Window {
        opens: now - TimeDelta::minutes(1),
        closes: now + TimeDelta::minutes(4),
    };
    let request = ClaimRequest {
        rotation: name.to_owned(),
        trigger: Trigger::Schedule,
        cause: Actor::worker("bench").into(),
        window: Some(window),
        version_id: version_id::scheduled(name, window.opens),
        provisional: None,
        worker: "bench-1".into(),
        now,
        lease: Duration::from_secs(15),
    };
    let Claim::Claimed(claimed) = journal.claim(&request).await? else {
        return Err("the run is not ours".into());
    };
    let steps = [
        StepName::Create,
        StepName::Set,
        StepName::Test,
        StepName::Finish,
    ];
    let note = Note {
        seen: Some(SecretSummary {
            engine: "postgres".into(),
            host: Some("database.example.internal".into()),
            port: Some(5432),
            active_user: "service".into(),
            standby_user: "service_clone".into(),
        }),
        steps: steps
            .map(|name| Step {
                name,
                state: StepState::Succeeded,
                started: now,
                finished: Some(now),
                detail: Some("AWSCURRENT moved from \"service\" to \"service_clone\"".into()),
            })
            .to_vec(),
    };
    let failure = || Problem {
        code: Code::DbUnreachable,
        message: "database.example.internal:5432 cannot be reached".into(),
        hint: "check the network path from the worker to the host".into(),
    };
    let outcome = Outcome {
        state,
        error: (state != RunState::Succeeded).then(failure),
        now,
    };
    Ok(journal
        .finish(claimed.run.claim_token(), &note, &outcome)
        .await?)
}

pub fn text(size: usize, address: &str) -> Result<String> {
    let mut text = format!(
        "[server]\nlisten = \"{address}\"\n[journal]\nurl = \"sqlite://journal.db\"\n[secrets]\nbackend = \"local\"\n[defaults]\nmaster_secret = \"prod/master\"\n"
    );
    for n in 0..size {
        // The schedules are spread over minutes, hours and days, as in production.
        let (minute, hour, day) = (n % 60, n / 60 % 24, n / 1440 % 28 + 1);
        write!(
            text,
            "[[rotation]]\nname = \"service-{n}\"\nsecret = \"prod/service-{n}/database\"\nschedule = \"cron({minute} {hour} {day} * ? *)\"\nwindow = \"1h\"\nprobe = [\"SELECT 1 FROM orders LIMIT 1\"]\n"
        )?;
    }
    Ok(text)
}

/// Waits until the log reports `times` times that the schedules are armed.
pub async fn armed(log: &Path, times: usize) -> Result<()> {
    for _ in 0..60_000 {
        let said = std::fs::read_to_string(log)?;
        if said.matches("schedules armed").count() >= times {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Err("the schedules were never armed".into())
}

pub async fn asked(address: &str, path: &str) -> Result<Duration> {
    let begun = Instant::now();
    let answer = reqwest::get(format!("http://{address}{path}")).await?;
    answer.error_for_status()?.bytes().await?;
    Ok(begun.elapsed())
}

/// The resident memory in megabytes (of 1,000,000 bytes).
pub fn resident(pid: u32) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    Ok(kib.ok_or("no VmRSS")?.parse::<f64>()? * 1024.0 / 1e6)
}

/// The processor time in seconds (`proc(5)`: fields 14 and 15, in ticks of 1/100 s on Linux).
pub fn ticks(pid: u32) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, rest) = stat.rsplit_once(')').ok_or("no stat")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let (user, system): (f64, f64) = (fields[11].parse()?, fields[12].parse()?);
    Ok((user + system) / 100.0)
}
