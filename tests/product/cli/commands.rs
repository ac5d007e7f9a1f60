//! The commands and their output.

use serde_json::Value as Json;
use twinkey_stores::stage;

use twinkey_testkit::environment::{
    Backend, Environment, SECRET, Setup, free_address, quoted, run,
};

/// The statements in a part of the server's log.
fn statements(log: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for line in log.lines() {
        if let Some((_, statement)) = line.split_once("statement: ") {
            found.push(statement.to_owned());
        } else if let (Some(last), Some(more)) = (found.last_mut(), line.strip_prefix('\t')) {
            last.push('\n');
            last.push_str(more);
        }
    }
    found
}

/// A statement with `***` for its hash, as in the output of `plan`.
fn masked(statement: &str) -> String {
    match statement.find("'SCRAM-SHA-256$") {
        Some(at) => {
            let end = statement[at + 1..].find('\'').unwrap() + at + 2;
            format!("{}'***'{}", &statement[..at], &statement[end..])
        }
        None => statement.to_owned(),
    }
}

fn changes_anything(statement: &str) -> bool {
    [
        "ALTER ",
        "CREATE ",
        "GRANT ",
        "REVOKE ",
        "REASSIGN ",
        "DROP ",
    ]
    .iter()
    .any(|verb| statement.starts_with(verb))
}

#[tokio::test(flavor = "multi_thread")]
async fn plan_prints_exactly_the_statements_of_the_next_rotate() {
    let env = Environment::open(Setup::default()).await;
    let mut root = env.root("shop").await;
    run(
        &mut root,
        "ALTER ROLE app CONNECTION LIMIT 9 VALID UNTIL '2040-01-01 00:00:00+00'",
    )
    .await;
    run(&mut root, "ALTER ROLE app SET search_path = work, public").await;
    run(
        &mut root,
        "ALTER ROLE app IN DATABASE shop SET lock_timeout = '5s'",
    )
    .await;
    for round in 0..3 {
        if round == 2 {
            // The next run must revoke a manual grant and reassign an object of the clone.
            run(&mut root, "GRANT pg_monitor TO app_clone").await;
            run(
                &mut root,
                "CREATE TABLE work.astray (id int); ALTER TABLE work.astray OWNER TO app_clone",
            )
            .await;
        }
        let before = env.state().await;
        let plan: Json =
            serde_json::from_str(&env.run_ok(&["plan", "shop", "--json"]).await).unwrap();
        assert_eq!(env.state().await, before, "plan changes nothing");
        let planned: Vec<String> = plan["changes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|c| c["statement"].as_str().unwrap().to_owned())
            .collect();
        assert!(
            planned.last().unwrap().contains("PASSWORD '***'"),
            "{planned:?}"
        );
        assert!(
            plan["changes"]
                .as_array()
                .unwrap()
                .iter()
                .all(|c| !c["why"].as_str().unwrap().is_empty())
        );

        let from = env.log().len();
        env.run_ok(&["rotate", "shop"]).await;
        let ran: Vec<String> = statements(&env.log()[from..])
            .iter()
            .map(|s| masked(s))
            .filter(|s| changes_anything(s))
            .collect();
        assert_eq!(ran, planned, "round {round}");

        let text = env.run_ok(&["plan", "shop"]).await;
        assert!(text.contains("PASSWORD '***'"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rollback_requires_that_the_previous_user_signs_in() {
    let env = Environment::open(Setup::default()).await;
    env.fails(&["rollback", "shop"], 1, "secret_not_found")
        .await;
    env.run_ok(&["rotate", "shop"]).await;
    assert_eq!(env.read(stage::CURRENT).await.0["username"], "app_clone");
    let message = env
        .run_ok(&["rollback", "shop", "--reason", "a test"])
        .await;
    assert!(message.contains("app_clone"), "{message}");
    assert_eq!(env.read(stage::CURRENT).await.0["username"], "app");
    env.signed_in(stage::CURRENT).await;
    env.signed_in(stage::PREVIOUS).await;

    let mut root = env.root("shop").await;
    run(
        &mut root,
        "ALTER ROLE app_clone PASSWORD 'changed-behind-our-back'",
    )
    .await;
    env.refuses(&["rollback", "shop", "--again"], "pending_signin_failed")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn grants_verify_fails_on_a_difference_and_lists_it() {
    let env = Environment::open(Setup {
        rotation: "grants = \"verify\"".into(),
        ..Setup::default()
    })
    .await;
    env.run_ok(&["rotate", "shop"]).await;
    env.run_ok(&["rotate", "shop"]).await;
    let mut root = env.root("shop").await;
    run(&mut root, "ALTER ROLE app CONNECTION LIMIT 3").await;
    let message = env.refuses(&["rotate", "shop"], "privileges_differ").await;
    assert!(message.contains("CONNECTION LIMIT 3"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn standby_existing_never_creates_a_user() {
    let env = Environment::open(Setup {
        rotation: "standby = \"existing\"".into(),
        ..Setup::default()
    })
    .await;
    let message = env.refuses(&["rotate", "shop"], "privileges_differ").await;
    assert!(message.contains("app_clone"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_that_fails_stops_the_run_before_the_flip() {
    let plan = Setup {
        rotation: "probe = [\"SELECT 1\", \"SELECT 1 FROM nowhere\"]".into(),
        ..Setup::default()
    };
    let env = Environment::open(plan).await;
    let before = env.read(stage::CURRENT).await;
    env.fails(&["rotate", "shop"], 1, "db_refused").await;
    assert_eq!(env.read(stage::CURRENT).await, before);
    env.signed_in(stage::CURRENT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn status_and_history_show_runs_pauses_and_windows() {
    let plan = Setup {
        rotation: "schedule = \"cron(0 7 * * ? *)\"\nwindow = \"1h\"".into(),
        ..Setup::default()
    };
    let env = Environment::open(plan).await;
    let status = async || -> Json {
        serde_json::from_str(&env.run_ok(&["status", "--json"]).await).unwrap()
    };
    assert_eq!(status().await[0]["state"], "new");
    assert!(
        status().await[0]["next_window"]["opens"]
            .as_str()
            .unwrap()
            .ends_with("07:00:00Z")
    );

    env.run_ok(&["rotate", "shop"]).await;
    let after = status().await;
    assert_eq!(after[0]["active_user"], "app_clone");
    assert_eq!(after[0]["standby_user"], "app");
    assert_eq!(after[0]["engine"], "postgres");
    assert_eq!(after[0]["last_run"]["state"], "succeeded");
    assert_eq!(after[0]["last_run"]["from_user"], "app");

    env.run_ok(&["pause", "shop"]).await;
    let paused = status().await;
    assert_eq!(paused[0]["state"], "paused");
    assert_eq!(paused[0]["next_window"], Json::Null);
    env.run_ok(&["resume", "shop"]).await;
    assert_eq!(status().await[0]["state"], "idle");

    let text = env.run_ok(&["status"]).await;
    assert!(
        text.contains("ROTATION") && text.contains("app_clone"),
        "{text}"
    );
    let text = env.run_ok(&["history"]).await;
    assert!(text.contains("app -> app_clone"), "{text}");
    env.fails(&["status", "shup"], 2, "config_invalid").await;
    assert!(
        env.fails(&["plan", "shup"], 2, "config_invalid")
            .await
            .contains("\"shop\"")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn check_succeeds_on_a_correct_configuration() {
    let env = Environment::open(Setup::default()).await;
    let message = env.run_ok(&["check"]).await;
    assert!(message.contains("\"app\" signs in"), "{message}");
    assert!(
        message.contains("the master has all required privileges"),
        "{message}"
    );
    env.run_ok(&["check", "--offline"]).await;
    env.run_ok(&["rotate", "shop"]).await;
    let mut root = env.root("shop").await;
    run(
        &mut root,
        &format!("GRANT SELECT ON work.orders TO {}", quoted("app_clone")),
    )
    .await;
    env.run_ok(&["rotate", "shop"]).await;
    let message = env.run_ok(&["check"]).await;
    assert!(message.contains("app_clone"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_command_line_or_config_ends_with_status_2() {
    let folder = tempfile::tempdir().unwrap();
    let twinkey = async |args: &[&str]| {
        let program = env!("CARGO_BIN_EXE_twinkey");
        tokio::process::Command::new(program)
            .args(args)
            .current_dir(folder.path())
            .env_remove("TWINKEY_CONFIG")
            .output()
            .await
            .unwrap()
    };
    for args in [
        &["rotate"][..],
        &["nonsense"],
        &["schedule", "cron(0 25 * * ? *)"],
        &["status", "--config", "no.toml"],
    ] {
        assert_eq!(twinkey(args).await.status.code(), Some(2), "{args:?}");
    }
    std::fs::write(
        folder.path().join("bad.toml"),
        "[[rotation]]\nnaem = \"x\"\n[limits]\nconcurrency = 0\n",
    )
    .unwrap();
    let output = twinkey(&["check", "--offline", "--config", "bad.toml"]).await;
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        message.contains("naem") && message.contains("name") && message.contains("concurrency"),
        "all errors in one output: {message}"
    );
    assert!(message.contains("bad.toml"), "{message}");
    for args in [&["--help"][..], &["--version"], &["rotate", "--help"]] {
        assert_eq!(twinkey(args).await.status.code(), Some(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn schedule_shows_the_next_windows_or_marks_the_bad_field() {
    let folder = tempfile::tempdir().unwrap();
    let twinkey = async |args: &[&str]| {
        let program = env!("CARGO_BIN_EXE_twinkey");
        tokio::process::Command::new(program)
            .args(args)
            .current_dir(folder.path())
            .output()
            .await
            .unwrap()
    };
    let output = twinkey(&[
        "schedule",
        "cron(0 18 ? * SAT *)",
        "--from",
        "2026-11-23T00:00:00Z",
        "--count",
        "2",
        "--json",
    ])
    .await;
    let answer: Json = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["windows"][0]["opens"], "2026-11-28T18:00:00Z");
    assert_eq!(answer["windows"][1]["closes"], "2026-12-05T19:00:00Z");
    let output = twinkey(&["schedule", "cron(0 25 * * ? *)"]).await;
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(
        message.contains("cron(0 25 * * ? *)\n         ^^\n"),
        "{message}"
    );
    assert!(message.contains("error[config_invalid]"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_secret_is_replaced_by_a_document_that_signs_in() {
    use twinkey_testkit::environment::Backend;
    let env = Environment::open_with(Setup::default(), Backend::Local).await;
    let (current, _) = env.read(stage::CURRENT).await;
    let file = env.folder.path().join("document.json");
    let file_name = file.to_str().unwrap();
    let put = ["secret", "put", SECRET, "--file", file_name];
    let write = |document: &Json| std::fs::write(&file, document.to_string()).unwrap();

    let wrong = env.document("app", "Wrong-0123456789-abcdef");
    write(&wrong);
    let message = env.refuses(&put, "current_signin_failed").await;
    assert!(message.contains("nothing was stored"), "{message}");
    assert!(message.contains("--force"), "{message}");
    let mut elsewhere = current.clone();
    elsewhere["port"] = 1.into();
    write(&elsewhere);
    env.refuses(&put, "db_unreachable").await;

    let mut more = current.clone();
    more["comment"] = "by hand".into();
    write(&more);
    env.run_ok(&put).await;
    assert_eq!(env.read(stage::CURRENT).await.0["comment"], "by hand");
    write(&wrong);
    env.run_ok(&["secret", "put", "other/db", "--file", file_name])
        .await;
    env.run_ok(&["secret", "put", SECRET, "--force", "--file", file_name])
        .await;
    let stored = env.read(stage::CURRENT).await.0;
    assert_eq!(stored["password"], wrong["password"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_secret_commands_write_and_read_the_embedded_store() {
    use twinkey_testkit::environment::Backend;
    let env = Environment::open_with(Setup::default(), Backend::Local).await;
    let file = env.folder.path().join("new.json");
    std::fs::write(&file, r#"{"username":"u","password":"p","port":5432}"#).unwrap();
    env.run_ok(&["secret", "put", "new/one", "--file", file.to_str().unwrap()])
        .await;
    assert_eq!(
        env.run_ok(&["secret", "get", "new/one", "--field", "username"])
            .await,
        "u\n"
    );
    assert_eq!(
        env.run_ok(&["secret", "get", "new/one", "--field", "port"])
            .await,
        "5432\n"
    );
    assert_eq!(
        env.run_ok(&["secret", "list"]).await,
        "new/one\nprod/master\nprod/shop\n"
    );
    env.run_ok(&["rotate", "shop"]).await;
    let versions: Json = serde_json::from_str(
        &env.run_ok(&["secret", "versions", "prod/shop", "--json"])
            .await,
    )
    .unwrap();
    assert_eq!(versions.as_array().unwrap().len(), 2);
    let get = |stage| {
        [
            "secret",
            "get",
            "prod/shop",
            "--stage",
            stage,
            "--field",
            "username",
        ]
    };
    assert_eq!(env.run_ok(&get("AWSPREVIOUS")).await, "app\n");
    assert_eq!(env.run_ok(&get("AWSCURRENT")).await, "app_clone\n");
    env.fails(&["secret", "get", "nothing"], 1, "secret_not_found")
        .await;
    std::fs::write(&file, r#"{"username":"u"}"#).unwrap();
    env.fails(
        &["secret", "put", "new/two", "--file", file.to_str().unwrap()],
        1,
        "secret_malformed",
    )
    .await;
}

/// The names of the files of an environment, sorted.
fn files(env: &Environment) -> Vec<String> {
    let files = std::fs::read_dir(env.folder.path()).unwrap();
    let mut names: Vec<String> = files
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_commands_create_no_journal() {
    let env = Environment::open(Setup::default()).await;
    let before = files(&env);
    env.run_ok(&["check"]).await;
    env.run_ok(&["plan", "shop"]).await;
    env.run_ok(&["repair", "shop"]).await;
    let status = env.run_ok(&["status"]).await;
    assert!(status.contains("shop"), "{status}");
    assert_eq!(env.run_ok(&["history", "--json"]).await.trim(), "[]");
    assert_eq!(files(&env), before);
    env.run_ok(&["rotate", "shop"]).await;
    assert!(files(&env).contains(&"journal.db".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_secret_put_creates_a_store() {
    let env = Environment::open_with(Setup::default(), Backend::Local).await;
    let (document, _) = env.read(stage::CURRENT).await;
    let config = std::fs::read_to_string(env.config()).unwrap();
    let mistyped = config.replace("secrets.db", "secret.db");
    std::fs::write(env.config(), mistyped).unwrap();
    let before = files(&env);
    for command in [
        &["check"][..],
        &["plan", "shop"],
        &["repair", "shop"],
        &["repair", "shop", "--apply"],
        &["rotate", "shop"],
        &["rollback", "shop"],
        &["serve"],
        &["secret", "get", SECRET],
        &["secret", "list"],
        &["secret", "versions", SECRET],
        &["secret", "rekey"],
    ] {
        let message = env.fails(command, 1, "store_unavailable").await;
        assert!(message.contains("there is no store at"), "{message}");
        assert!(message.contains("secret put"), "{message}");
    }
    let mut after = files(&env);
    after.retain(|name| !name.starts_with("journal.db"));
    assert_eq!(after, before);
    let file = env.folder.path().join("document.json");
    std::fs::write(&file, document.to_string()).unwrap();
    let file = file.to_str().unwrap();
    env.run_ok(&["secret", "put", SECRET, "--file", file]).await;
    assert!(files(&env).contains(&"secret.db".into()));
}

/// Rolls back twice. The second one changes nothing, until it is asked for.
async fn rolls_back_once(env: Environment) {
    env.run_ok(&["rotate", "shop"]).await;
    env.run_ok(&["rollback", "shop"]).await;
    let message = env
        .refuses(&["rollback", "shop"], "already_rolled_back")
        .await;
    assert!(message.contains("--again"), "{message}");
    assert_eq!(env.read(stage::CURRENT).await.0["username"], "app");
    env.run_ok(&["rollback", "shop", "--again"]).await;
    assert_eq!(env.read(stage::CURRENT).await.0["username"], "app_clone");
    env.run_ok(&["rollback", "shop"]).await;
    env.run_ok(&["rotate", "shop"]).await;
    assert_eq!(env.read(stage::CURRENT).await.0["username"], "app_clone");
    env.run_ok(&["rollback", "shop"]).await;
    env.signed_in(stage::CURRENT).await;

    // A user that is named is the one afterwards, however often it is asked for.
    let to = async |user: &str, code: &str| {
        let message = env.refuses(&["rollback", "shop", "--to", user], code).await;
        assert!(message.contains(user), "{message}");
    };
    to("app", "already_rolled_back").await;
    to("root", "pending_conflict").await;
    env.run_ok(&["rollback", "shop", "--to", "app_clone"]).await;
    assert_eq!(env.read(stage::CURRENT).await.0["username"], "app_clone");
    to("app_clone", "already_rolled_back").await;
    env.run_ok(&["rollback", "shop", "--to", "app"]).await;
    assert_eq!(env.read(stage::CURRENT).await.0["username"], "app");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_rollback_is_refused_and_changes_nothing() {
    rolls_back_once(Environment::open(Setup::default()).await).await;
    rolls_back_once(Environment::open_with(Setup::default(), Backend::Local).await).await;
    let code = "already_rolled_back";
    let address = free_address();
    let env = Environment::open(Setup {
        config: format!("[server]\nlisten = \"{address}\""),
        ..Setup::default()
    })
    .await;
    env.run_ok(&["rotate", "shop"]).await;
    let mut serve = env.serve(&address).await;
    let client = reqwest::Client::new();
    let url = format!("http://{address}/v1/rotations/shop/rollback");
    for (status, body) in [
        (200, "{}"),
        (409, "{}"),
        (409, r#"{"reason": "the answer was lost"}"#),
        (200, r#"{"again": true}"#),
    ] {
        let answer = client.post(&url).body(body).send().await.unwrap();
        assert_eq!(answer.status(), status, "{body}");
        let answer: Json = answer.json().await.unwrap();
        if status == 409 {
            assert_eq!(answer["code"], code, "{answer:#}");
        }
    }
    serve.kill().await.unwrap();
}
