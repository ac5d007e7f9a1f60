//! The metrics of a worker.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use secrecy::SecretString;
use twinkey_stores::stage;

use crate::admin::Endpoint;
use crate::serving::worker::{known_before, open_now};
use twinkey_testkit::environment::{MASTER_SECRET, Setup, until};

/// Each sample by its name and labels.
async fn scrape(endpoint: &Endpoint) -> BTreeMap<String, f64> {
    let answer = endpoint.get("/metrics").send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let kind = answer.headers()[CONTENT_TYPE].to_str().unwrap().to_owned();
    assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
    let text = answer.text().await.unwrap();
    assert!(text.ends_with("# EOF\n"), "{text}");
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), value.parse().unwrap())
        })
        .collect()
}

/// The text format 0.0.4.
async fn older_text(endpoint: &Endpoint) -> String {
    let request = endpoint.get("/metrics");
    let request = request.header(ACCEPT, "text/plain;version=0.0.4");
    let answer = request.send().await.unwrap();
    let kind = answer.headers()[CONTENT_TYPE].to_str().unwrap().to_owned();
    assert_eq!(kind, "text/plain; version=0.0.4; charset=utf-8");
    answer.text().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn both_formats_have_the_same_samples() {
    let endpoint = Endpoint::open(Setup::default()).await;
    let names = |text: &str| -> BTreeSet<String> {
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        let samples = samples.map(|line| line.rsplit_once(' ').unwrap().0.to_owned());
        // Calls to the store between the two scrapes.
        let stable = samples.filter(|name| !name.starts_with("twinkey_store_requests"));
        stable.collect()
    };
    let newer = scrape(&endpoint).await.into_keys();
    let newer = newer.map(|name| format!("{name} 0\n")).collect::<String>();
    let older = older_text(&endpoint).await;
    assert_eq!(names(&older), names(&newer));
    let families = older
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "));
    for family in families {
        let (name, kind) = family.split_once(' ').unwrap();
        let named_as_samples = match kind {
            "counter" => name.ends_with("_total"),
            "gauge" | "histogram" => true,
            _ => false,
        };
        assert!(named_as_samples, "{family}");
    }
    assert!(!older.contains("# UNIT") && !older.contains("# EOF"));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs promtool, which make check-alerts installs"]
async fn promtool_accepts_the_older_format() {
    let endpoint = Endpoint::open(Setup::default()).await;
    let promtool = std::env::var_os("TWINKEY_PROMTOOL").expect("make check-alerts sets it");
    let text = endpoint.env.folder.path().join("metrics.txt");
    std::fs::write(&text, older_text(&endpoint).await).unwrap();
    let output = tokio::process::Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(std::fs::File::open(&text).unwrap())
        .output()
        .await
        .unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{message}");
}

/// Counters of receivers, hooks and the served store, which this worker does not have. Other tests
/// check them.
const ELSEWHERE: [&str; 6] = [
    "twinkey_discovered",
    "twinkey_discovery_listings_failed",
    "twinkey_discovery_refused",
    "twinkey_hooks_total",
    "twinkey_notifications_total",
    "twinkey_served_requests_total",
];

async fn rotate(endpoint: &Endpoint, state: &str) {
    let (status, run) = endpoint
        .answer(endpoint.post("/v1/rotations/shop/rotate", ""))
        .await;
    assert_eq!(status, 202, "{run}");
    let path = format!("/v1/runs/{}", run["id"].as_str().unwrap());
    until("the run is over", async || {
        endpoint.json(&path).await["state"] == state
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_of_the_contract_counts_its_events() {
    let (schedule, opens) = open_now();
    let endpoint = Endpoint::open(Setup {
        rotation: format!("{schedule}\nheartbeat = \"10s\""),
        ..Setup::default()
    })
    .await;
    let env = &endpoint.env;
    rotate(&endpoint, "succeeded").await;
    rotate(&endpoint, "succeeded").await;
    let (standby, _) = env.read(stage::PREVIOUS).await;
    let password = SecretString::from(standby["password"].as_str().unwrap());
    let user = standby["username"].as_str().unwrap();
    let _signed_in = env.connect(user, &password, "shop").await.unwrap();
    let listed = async || endpoint.json("/v1/rotations/shop").await["standby_sessions"].clone();
    assert!(listed().await.is_null(), "read before the last flip");
    let check = endpoint.json("/v1/rotations/shop/check").await;
    assert_eq!(check["standby_sessions"].as_array().unwrap().len(), 1);
    let wrong = env.document("rdsmaster", "Wrong-0123456789");
    env.put(MASTER_SECRET, &wrong).await;
    rotate(&endpoint, "failed").await;

    let ended = |outcome: &str| {
        format!("twinkey_runs_total{{rotation=\"shop\",engine=\"postgres\",outcome=\"{outcome}\"}}")
    };
    until("everything is counted", async || {
        let now = scrape(&endpoint).await;
        now.get(&ended("failed")) == Some(&1.0)
            && now.get("twinkey_standby_sessions{rotation=\"shop\"}") == Some(&1.0)
            && now.get("twinkey_current_refused{rotation=\"shop\"}") == Some(&0.0)
    })
    .await;
    assert_eq!(listed().await, check["standby_sessions"]);
    let now = scrape(&endpoint).await;
    let value = |name: &str| *now.get(name).unwrap_or_else(|| panic!("{name}: {now:#?}"));
    assert_eq!(value(&ended("succeeded")), 2.0);
    assert_eq!(value("twinkey_run_duration_seconds_count"), 3.0);
    for step in ["create", "set", "test", "finish"] {
        let name = format!("twinkey_step_duration_seconds_count{{step=\"{step}\"}}");
        assert_eq!(value(&name), 2.0, "{step}");
    }
    assert_eq!(
        value("twinkey_window_lag_seconds_count"),
        0.0,
        "no run had a window"
    );
    let of = |name: &str| value(&format!("twinkey_{name}{{rotation=\"shop\"}}"));
    let last = endpoint.json("/v1/rotations/shop").await["last_success"].clone();
    let last: DateTime<Utc> = serde_json::from_value(last).unwrap();
    assert_eq!(
        of("last_success_timestamp_seconds"),
        last.timestamp_micros() as f64 / 1e6
    );
    let age = of("password_age_seconds");
    assert!((0.0..300.0).contains(&age), "{age}");
    let next = opens + chrono::TimeDelta::days(1);
    assert_eq!(of("next_window_timestamp_seconds"), next.timestamp() as f64);
    for state in [
        "new",
        "idle",
        "running",
        "waiting",
        "failed",
        "missed",
        "paused",
        "locked_out",
    ] {
        let name = format!("twinkey_rotation_state{{rotation=\"shop\",state=\"{state}\"}}");
        assert_eq!(
            value(&name),
            f64::from(u8::from(state == "failed")),
            "{state}"
        );
    }
    for (operation, calls) in [
        ("PutSecretValue", 2.0),
        ("UpdateSecretVersionStage", 2.0),
        ("GetSecretValue", 6.0),
        ("DescribeSecret", 6.0),
    ] {
        let name =
            format!("twinkey_store_requests_total{{operation=\"{operation}\",outcome=\"ok\"}}");
        assert!(value(&name) >= calls, "{name}: {}", value(&name));
    }
    let served: BTreeSet<&str> = now.keys().map(|sample| name_of(sample)).collect();
    for (file, text) in [
        (
            "alerts.yml",
            include_str!("../../../deploy/prometheus/alerts.yml"),
        ),
        (
            "alerts.test.yml",
            include_str!("../../../deploy/prometheus/alerts.test.yml"),
        ),
        (
            "twinkey.json",
            include_str!("../../../deploy/grafana/twinkey.json"),
        ),
        ("metrics.md", include_str!("../../../docs/metrics.md")),
    ] {
        let named: Vec<&str> = text
            .match_indices("twinkey_")
            .map(|(at, _)| name_of(&text[at..]))
            .collect();
        assert!(named.len() >= 7, "{file}: {named:?}");
        for name in named {
            let histogram = format!("{name}_bucket");
            let is = served.contains(name) || served.contains(histogram.as_str());
            let is = is || ELSEWHERE.contains(&name);
            assert!(is, "{file} names {name}, and a worker serves {served:#?}");
        }
    }
    let documented = include_str!("../../../docs/metrics.md");
    for name in served {
        let family = ["_bucket", "_count", "_sum"]
            .iter()
            .find_map(|end| name.strip_suffix(end))
            .unwrap_or(name);
        assert!(documented.contains(&format!("`{family}`")), "{family}");
    }
}

/// The metric name at the start of `sample`.
fn name_of(sample: &str) -> &str {
    let end = sample.find(|c: char| !c.is_ascii_lowercase() && c != '_');
    &sample[..end.unwrap_or(sample.len())]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_a_window_is_measured_from_its_opening() {
    let (schedule, opens) = open_now();
    let mut endpoint = Endpoint::open(Setup {
        rotation: format!("{schedule}\nmissed = \"run\""),
        ..Setup::default()
    })
    .await;
    rotate(&endpoint, "succeeded").await;
    endpoint.serve.kill().await.unwrap();
    // A worker runs an open window only if the journal has the rotation from before its opening.
    known_before(&endpoint.env.folder.path().join("journal.db"), opens).await;
    let address = endpoint.url.trim_start_matches("http://");
    endpoint.serve = endpoint.env.serve(address).await;
    until("its run is counted", async || {
        scrape(&endpoint).await["twinkey_window_lag_seconds_count"] == 1.0
    })
    .await;
    let lag = scrape(&endpoint).await["twinkey_window_lag_seconds_sum"];
    let run = async || endpoint.json("/v1/runs").await[0].clone();
    until("the run has finished", async || {
        run().await["finished"].is_string()
    })
    .await;
    let run = run().await;
    let since_opening = |field: &str| {
        let at: DateTime<Utc> = serde_json::from_value(run[field].clone()).unwrap();
        (at - opens).as_seconds_f64()
    };
    let possible = since_opening("started")..=since_opening("finished");
    assert!(possible.contains(&lag), "{lag} is not in {possible:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_problems_have_series_of_their_own_if_the_config_says_so() {
    let endpoint = Endpoint::open_after(Setup::default(), |env| {
        let config = std::fs::read_to_string(env.config()).unwrap();
        let config = config.replace("[server]", "[server]\nmetrics = \"problems\"");
        std::fs::write(env.config(), config).unwrap();
    })
    .await;
    let env = &endpoint.env;
    let is_of_shop = |sample: &&String| sample.contains("rotation=\"shop\"");
    let total = |state: &str| format!("twinkey_rotations{{engine=\"postgres\",state=\"{state}\"}}");
    rotate(&endpoint, "succeeded").await;
    let now = scrape(&endpoint).await;
    assert_eq!(now.keys().find(is_of_shop), None);
    assert_eq!((now[&total("idle")], now[&total("failed")]), (1.0, 0.0));

    let wrong = env.document("rdsmaster", "Wrong-0123456789");
    env.put(MASTER_SECRET, &wrong).await;
    rotate(&endpoint, "failed").await;
    let ended = "twinkey_runs_total{rotation=\"\",engine=\"postgres\",outcome=\"failed\"}";
    until("the run is counted", async || {
        scrape(&endpoint).await.get(ended) == Some(&1.0)
    })
    .await;
    let now = scrape(&endpoint).await;
    assert_eq!(now[&total("failed")], 1.0);
    // What the alert of a failed rotation reads.
    assert_eq!(
        now["twinkey_rotation_state{rotation=\"shop\",state=\"failed\"}"],
        1.0
    );
}
