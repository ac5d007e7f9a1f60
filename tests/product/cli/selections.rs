//! Commands on several rotations, by names and patterns.

use serde_json::Value as Json;
use tokio::process::{Child, Command};
use twinkey_testkit::environment::many_pairs::{ManyPairs, secret};
use twinkey_testkit::environment::{Backend, free_address, until};
use twinkey_testkit::locations::twinkey_program;

/// A config without any database: `prod-a`, `test-a` and `prod-b`.
struct Folder {
    folder: tempfile::TempDir,
    address: String,
}

impl Folder {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = free_address();
        let rotations = ["prod-a", "test-a", "prod-b"].map(|name| {
            format!("[[rotation]]\nname = \"{name}\"\nsecret = \"{name}\"\nengine = \"postgres\"\nmaster_secret = \"master\"\n")
        });
        let config = format!(
            "[server]\nlisten = \"{address}\"\n[secrets]\nbackend = \"local\"\n{}",
            rotations.concat()
        );
        std::fs::write(folder.path().join("twinkey.toml"), config).unwrap();
        Self { folder, address }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(twinkey_program());
        command
            .args(args)
            .current_dir(self.folder.path())
            .env("TWINKEY_CONFIG", self.folder.path().join("twinkey.toml"))
            .kill_on_drop(true);
        command
    }

    async fn ok(&self, args: &[&str]) -> String {
        let output = self.command(args).output().await.unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    }

    async fn fails(&self, args: &[&str], words: &str) {
        let output = self.command(args).output().await.unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {errors}");
        assert!(errors.contains(words), "{args:?}: {errors}");
    }

    /// Creates the store, with a secret that no rotation has.
    async fn create_store(&self) {
        let document = r#"{"username": "unused", "password": "Unused-0123456789"}"#;
        std::fs::write(self.folder.path().join("unused.json"), document).unwrap();
        self.ok(&["secret", "put", "unused", "--file", "unused.json"])
            .await;
    }

    /// Starts a worker; returns it with its address.
    async fn serve(&self) -> (Child, String) {
        self.create_store().await;
        let log = std::fs::File::create(self.folder.path().join("serve.log")).unwrap();
        let serve = self.command(&["serve"]).stderr(log).spawn().unwrap();
        let url = format!("http://{}", self.address);
        until("the worker is ready", async || {
            let answer = reqwest::get(format!("{url}/readyz")).await;
            answer.is_ok_and(|answer| answer.status() == 200)
        })
        .await;
        (serve, url)
    }

    /// The names and states that `status` lists.
    async fn states(&self, args: &[&str]) -> Vec<(String, String)> {
        let status = self.ok(&[&["status", "--json"], args].concat()).await;
        let views: Vec<Json> = serde_json::from_str(&status).unwrap();
        let text = |view: &Json, key: &str| view[key].as_str().unwrap().to_owned();
        let states = views.iter();
        states
            .map(|view| (text(view, "name"), text(view, "state")))
            .collect()
    }
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let own = |&(name, state): &(&str, &str)| (name.to_owned(), state.to_owned());
    pairs.iter().map(own).collect()
}

/// Pauses by a pattern and resumes all, with these arguments.
async fn pauses_and_resumes(folder: &Folder, target: &[&str]) {
    let with =
        |args: &[&'static str]| -> Vec<&str> { args.iter().chain(target).copied().collect() };
    let paused = folder.ok(&with(&["pause", "prod-*", "--json"])).await;
    let paused: Json = serde_json::from_str(&paused).unwrap();
    assert_eq!(paused.as_array().unwrap().len(), 2, "{paused}");
    assert_eq!(paused[1]["rotation"], "prod-b");
    let all = pairs(&[
        ("prod-a", "paused"),
        ("test-a", "new"),
        ("prod-b", "paused"),
    ]);
    assert_eq!(folder.states(target).await, all);
    let expected = pairs(&[("test-a", "new")]);
    assert_eq!(folder.states(&with(&["--state", "new"])).await, expected);
    assert_eq!(folder.states(&with(&["test-?"])).await, expected);
    assert_eq!(folder.states(&with(&["--engine", "mysql"])).await, []);
    // A misspelt filter does nothing, and says so.
    for (filter, words) in [
        (["--store", "nope"], "the stores are secrets"),
        (["--engine", "Postgres"], "the engines are postgres, mysql"),
    ] {
        for command in [
            &["pause", "--all"][..],
            &["resume", "--all"],
            &["rotate", "--all"],
            &["status"],
            &["check"],
            &["history"],
            &["pause", "prod-*"],
        ] {
            folder
                .fails(&with(&[command, &filter].concat()), words)
                .await;
        }
    }
    for (command, printed) in [
        (&["pause", "*"][..], "0 rotations paused"),
        (&["resume", "--all"], "0 rotations resumed"),
        (&["rotate", "--all"], "0 rotated"),
        (&["status"], "0 rotations selected"),
        (&["check"], "0 rotations checked"),
        (&["history"], "0 runs and other actions"),
    ] {
        let none = [command, &["--state", "failed"]].concat();
        let text = folder.ok(&with(&none)).await;
        assert!(text.contains(printed), "{none:?}: {text}");
    }
    let shown = folder.ok(&with(&["status"])).await;
    assert!(shown.contains("3 rotations: 2 paused, 1 new"), "{shown}");
    // What an operator must act on comes first.
    let place = |name: &str| shown.find(name).unwrap();
    assert!(place("prod-b") < place("test-a"), "{shown}");
    let resumed = folder.ok(&with(&["resume", "--all"])).await;
    assert!(resumed.contains("test-a: schedule resumed"), "{resumed}");
    let left = folder.states(&with(&["--state", "paused"])).await;
    assert_eq!(left, []);
    let one = folder.ok(&with(&["pause", "test-a", "--json"])).await;
    let one: Json = serde_json::from_str(&one).unwrap();
    assert_eq!(one["rotation"], "test-a", "one name has one result");
    folder.ok(&with(&["resume", "test-a"])).await;
}

#[tokio::test]
async fn commands_select_rotations_by_patterns() {
    let folder = Folder::new();
    folder.create_store().await;
    pauses_and_resumes(&folder, &[]).await;
    let checked = folder.ok(&["check", "--offline", "prod-*", "--json"]).await;
    let checked: Vec<Json> = serde_json::from_str(&checked).unwrap();
    let names = checked.iter().map(|report| report["rotation"].as_str());
    let names: Vec<&str> = names
        .flatten()
        .filter(|name| !name.starts_with('['))
        .collect();
    assert_eq!(names, ["prod-a", "prod-b"]);
    for (args, words) in [
        (vec!["status", "dev-*"], "no rotation matches"),
        (vec!["pause", "prod-c"], "did you mean"),
        (vec!["pause"], "NAME"),
        (vec!["pause", "prod-a", "--all"], "--all"),
        (
            vec!["status", "--state", "fine"],
            "the states are new, idle",
        ),
        (
            vec!["check", "--offline", "--store", "nope"],
            "the stores are secrets",
        ),
    ] {
        folder.fails(&args, words).await;
    }
}

#[tokio::test]
async fn a_worker_carries_them_out_too() {
    let folder = Folder::new();
    let (mut serve, url) = folder.serve().await;
    pauses_and_resumes(&folder, &["--server", &url]).await;
    serve.kill().await.unwrap();
}

/// The names on a page of the API, and the address of the next one.
async fn api_page(url: &str, path: &str) -> (Vec<String>, Option<String>) {
    let answer = reqwest::get(format!("{url}{path}")).await.unwrap();
    assert_eq!(answer.status(), 200, "{path}");
    let link = answer.headers().get("link").cloned();
    let views: Vec<Json> = answer.json().await.unwrap();
    let names = views.iter().map(|v| v["name"].as_str().unwrap().to_owned());
    let next = link.map(|link| {
        let link = link.to_str().unwrap();
        let address = link.strip_suffix("; rel=\"next\"").unwrap();
        address[1..address.len() - 1].to_owned()
    });
    (names.collect(), next)
}

#[tokio::test]
async fn the_api_lists_rotations_in_pages() {
    let folder = Folder::new();
    let (mut serve, url) = folder.serve().await;
    folder.ok(&["pause", "prod-b"]).await;
    for (path, expected) in [
        ("/v1/rotations", &["prod-a", "test-a", "prod-b"][..]),
        ("/v1/rotations?limit=500", &["prod-a", "prod-b", "test-a"]),
        ("/v1/rotations?after=prod-a", &["prod-b", "test-a"]),
        ("/v1/rotations?q=PROD", &["prod-a", "prod-b"]),
        ("/v1/rotations?state=new&limit=9", &["prod-a", "test-a"]),
        ("/v1/rotations?engine=mysql", &[]),
        ("/v1/rotations?engine=Postgres", &[]),
        ("/v1/rotations?store=nope&limit=9", &[]),
        ("/v1/rotations?code=db_unreachable", &[]),
    ] {
        let (names, next) = api_page(&url, path).await;
        assert_eq!(
            (names.as_slice(), next),
            (
                &*expected.iter().map(|&n| n.to_owned()).collect::<Vec<_>>(),
                None
            ),
            "{path}"
        );
    }
    for first in ["/v1/rotations?limit=1", "/v1/rotations?q=-&limit=1"] {
        let mut next = Some(first.to_owned());
        let mut names = Vec::new();
        while let Some(path) = next.take() {
            let page;
            (page, next) = api_page(&url, &path).await;
            assert_eq!(page.len(), 1, "{path}");
            names.extend(page);
        }
        assert_eq!(names, ["prod-a", "prod-b", "test-a"], "{first}");
    }
    for path in ["?limit=0", "?limit=501", "?state=fine", "?page=2"] {
        let answer = reqwest::get(format!("{url}/v1/rotations{path}")).await;
        assert_eq!(answer.unwrap().status(), 400, "{path}");
    }
    let page = reqwest::get(format!("{url}/?engine=postgres&state=paused")).await;
    let page = page.unwrap().text().await.unwrap();
    assert!(
        page.contains("data-rotation=\"prod-b\"") && !page.contains("data-rotation=\"prod-a\""),
        "{page}"
    );
    serve.kill().await.unwrap();
}

/// Rotates by a pattern, then what failed, with these arguments.
async fn rotates_many(pairs: &ManyPairs, target: &[&str]) {
    let env = &pairs.env;
    let rotate = async |args: &[&str], failed: usize| -> Json {
        let args = [&["rotate", "--json", "--force"], args, target].concat();
        let output = env.twinkey(&args).await;
        let errors = String::from_utf8_lossy(&output.stderr);
        let expected = i32::from(failed > 0);
        assert_eq!(output.status.code(), Some(expected), "{args:?}: {errors}");
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let good = env.run_ok(&["secret", "get", &secret(2)]).await;
    env.put(&secret(2), &env.document("p02", "not its password"))
        .await;
    let rotated = rotate(&["p0*"], 1).await;
    let rotated = rotated.as_array().unwrap();
    let of = |name: &str| rotated.iter().find(|one| one["rotation"] == name).unwrap();
    for name in ["p00", "p01"] {
        assert_eq!(of(name)["run"]["state"], "succeeded", "{rotated:?}");
    }
    let refused = of("p02");
    assert_eq!(
        refused["error"]["code"], "current_signin_failed",
        "{refused}"
    );
    let good: Json = serde_json::from_str(&good).unwrap();
    env.put(&secret(2), &good).await;
    let again = rotate(&["--all", "--state", "failed"], 0).await;
    assert_eq!(again.as_array().unwrap().len(), 1, "{again}");
    assert_eq!(again[0]["rotation"], "p02");
    let none = rotate(&["--all", "--state", "failed"], 0).await;
    assert_eq!(none, serde_json::json!([]));
    let shown = [&["history", "p00", "p02", "--json"], target].concat();
    let shown: Vec<Json> = serde_json::from_str(&env.run_ok(&shown).await).unwrap();
    assert!(shown.iter().any(|entry| entry["rotation"] == "p00"));
    assert!(
        shown.iter().all(|entry| entry["rotation"] != "p01"),
        "{shown:?}"
    );
    let times = |key: &str| -> Vec<&str> { shown.iter().filter_map(|e| e[key].as_str()).collect() };
    assert!(times("started").is_sorted_by(|a, b| a >= b), "{shown:?}");
    let limited = [&["history", "p0?", "--limit", "2", "--json"], target].concat();
    let limited: Vec<Json> = serde_json::from_str(&env.run_ok(&limited).await).unwrap();
    assert_eq!(limited.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_rotations_run_with_one_command() {
    let pairs = ManyPairs::open(3, Backend::Local).await;
    let address = free_address();
    let head = format!(
        "[server]\nlisten = \"{address}\"\n[secrets]\nbackend = \"local\"\npath = \"secrets.db\"\nkey_file = \"secrets.key\""
    );
    let env = &pairs.env;
    std::fs::write(env.config(), pairs.config(&head, "")).unwrap();
    rotates_many(&pairs, &[]).await;
    let text = env.run_ok(&["rotate", "p00", "p01", "--force"]).await;
    assert!(
        text.contains("2 rotated, 0 refused, 0 failed, 0 not started"),
        "{text}"
    );
    // Both ended less than `min_interval` ago.
    let again = env.twinkey(&["rotate", "p00", "p01"]).await;
    assert_eq!(again.status.code(), Some(1));
    let again = String::from_utf8(again.stdout).unwrap();
    assert!(again.contains("too_soon"), "{again}");
    assert!(
        again.contains("0 rotated, 2 refused, 0 failed, 0 not started"),
        "{again}"
    );
    // Problems first, and a summary.
    env.put(&secret(1), &env.document("p01", "not its password"))
        .await;
    let checked = env.twinkey(&["check"]).await;
    assert_eq!(checked.status.code(), Some(1));
    let checked = String::from_utf8(checked.stdout).unwrap();
    assert!(checked.starts_with("p01\n"), "{checked}");
    assert!(checked.contains("\n1 failed, "), "{checked}");

    let pairs = ManyPairs::open(3, Backend::Local).await;
    let env = &pairs.env;
    std::fs::write(env.config(), pairs.config(&head, "")).unwrap();
    let mut serve = env.serve(&address).await;
    rotates_many(&pairs, &["--server", &format!("http://{address}")]).await;
    serve.kill().await.unwrap();
}
