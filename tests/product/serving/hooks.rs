//! Hooks: the programs and calls after a rotation, their limits, and their independence of
//! rotations.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value as Json;
use tokio::process::Command;

use twinkey_testkit::aws::StandIn;
use twinkey_testkit::aws::recorder::{RecordedCall, Recorder};
use twinkey_testkit::environment::{
    Backend, Environment, MASTER_SECRET, Setup, free_address, until,
};

/// A worker with hooks.
struct HookWorker {
    env: Environment,
    url: String,
    serve: tokio::process::Child,
}

impl HookWorker {
    async fn open(hooks: &str, backend: Backend) -> Self {
        let address = free_address();
        let plan = Setup {
            config: format!("{hooks}\n[server]\nlisten = \"{address}\"\n"),
            ..Setup::default()
        };
        let env = Environment::open_with(plan, backend).await;
        Self {
            serve: env.serve(&address).await,
            env,
            url: format!("http://{address}"),
        }
    }

    async fn on_local(hooks: &str) -> Self {
        Self::open(hooks, Backend::Local).await
    }

    async fn post(&self, what: &str) -> Json {
        let url = format!("{}/v1/rotations/shop/{what}", self.url);
        let answer = reqwest::Client::new().post(url).send().await.unwrap();
        answer.json().await.unwrap()
    }

    async fn rotate(&self, state: &str) {
        let id = self.post("rotate").await["id"].as_str().unwrap().to_owned();
        let url = format!("{}/v1/runs/{id}", self.url);
        until("the run has finished", async || {
            let run: Json = reqwest::get(&url).await.unwrap().json().await.unwrap();
            run["state"] == state
        })
        .await;
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.env.folder.path().join("serve.log")).unwrap()
    }

    async fn logged(&self, what: &str) {
        until(what, async || self.log().contains(what)).await;
    }

    async fn counts(&self, sample: &str) {
        let metrics = reqwest::get(format!("{}/metrics", self.url)).await.unwrap();
        let metrics = metrics.text().await.unwrap();
        let sample = format!("twinkey_hooks_total{{{sample}");
        assert!(metrics.contains(&sample), "{sample}: {metrics}");
    }
}

/// A hook with a shell script.
fn exec(more: &str, script: &str) -> String {
    let script = Json::from(script);
    format!("[[hook]]\nkind = \"exec\"\n{more}\ncommand = [\"/bin/sh\", \"-c\", {script}]\n")
}

fn lines(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_runs_for_each_move_of_awscurrent_only() {
    let folder = tempfile::tempdir().unwrap();
    let record = folder.path().join("record");
    let script = format!(
        "echo $TWINKEY_EVENT $TWINKEY_ROTATION $TWINKEY_SECRET $TWINKEY_FROM_USER $TWINKEY_TO_USER >> {}; echo spoken; echo loud >&2",
        record.display()
    );
    let worker = HookWorker::on_local(&exec("rotations = [\"shop\"]", &script)).await;
    worker.rotate("succeeded").await;
    until("the first hook has run", async || lines(&record).len() == 1).await;
    worker.post("rollback").await;
    until("the second hook has run", async || {
        lines(&record).len() == 2
    })
    .await;
    let wrong = worker.env.document("rdsmaster", "Wrong-0123456789");
    worker.env.put(MASTER_SECRET, &wrong).await;
    worker.rotate("failed").await;
    worker.logged("run failed").await;
    assert_eq!(
        lines(&record),
        [
            "succeeded shop prod/shop app app_clone",
            "rolled_back shop prod/shop app_clone app"
        ]
    );
    let log = worker.log();
    assert!(
        log.contains("spoken\\n") && log.contains("loud\\n"),
        "{log}"
    );
    worker
        .counts("kind=\"exec\",outcome=\"succeeded\"} 2")
        .await;
    worker
        .counts("kind=\"exec\",outcome=\"timed_out\"} 0")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_that_fails_or_hangs_does_not_affect_rotations() {
    let hooks = [
        exec("", "exit 7"),
        exec("timeout = \"1s\"", "sleep 600"),
        "[[hook]]\nkind = \"exec\"\ncommand = [\"/nowhere/to/be/found\"]\n".to_owned(),
    ];
    let worker = HookWorker::on_local(&hooks.concat()).await;
    for _ in 0..2 {
        worker.rotate("succeeded").await;
    }
    worker.logged("the program ended with exit status: 7").await;
    worker.logged("the timeout expired").await;
    worker.logged("the program cannot be started").await;
    let (document, _) = worker.env.read("AWSCURRENT").await;
    assert_eq!(document["username"], "app");
    worker.env.signed_in("AWSCURRENT").await;
    assert!(worker.log().contains("hook failed, rotation unaffected"));
}

#[tokio::test(flavor = "multi_thread")]
async fn hooks_run_up_to_their_concurrency_and_the_others_wait() {
    let folder = tempfile::tempdir().unwrap();
    let (record, go) = (folder.path().join("record"), folder.path().join("go"));
    let script = format!(
        "echo x >> {}; until test -e {}; do sleep 0.05; done",
        record.display(),
        go.display()
    );
    let worker = HookWorker::on_local(&exec("concurrency = 2", &script)).await;
    for _ in 0..3 {
        worker.rotate("succeeded").await;
    }
    until("two have begun", async || lines(&record).len() == 2).await;
    // Without the limit, a third hook would have started before this rotation ended.
    worker.rotate("succeeded").await;
    assert_eq!(lines(&record).len(), 2);
    std::fs::write(go, "").unwrap();
    until("all have begun", async || lines(&record).len() == 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_stops_kills_its_programs() {
    let folder = tempfile::tempdir().unwrap();
    let pid = folder.path().join("pid");
    let script = format!(
        "echo $$ > {0}.new; mv {0}.new {0}; sleep 600",
        pid.display()
    );
    let mut worker = HookWorker::on_local(&exec("", &script)).await;
    worker.rotate("succeeded").await;
    until("the program has begun", async || pid.exists()).await;
    let worker_pid = worker.serve.id().unwrap().to_string();
    let killed = Command::new("kill").args(["-TERM", &worker_pid]).status();
    assert!(killed.await.unwrap().success());
    assert!(worker.serve.wait().await.unwrap().success());
    let program = PathBuf::from(format!("/proc/{}", lines(&pid)[0]));
    until("the program is gone", async || {
        let stat = std::fs::read_to_string(program.join("stat"));
        stat.map_or(true, |stat| stat.contains(") Z "))
    })
    .await;
}

/// The signature of botocore for this request.
async fn signature_by_botocore(call: &RecordedCall, url: &str) -> String {
    let script = r#"
import json, sys
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
call = json.load(sys.stdin)
request = AWSRequest("POST", call["url"], data=call["body"], headers=call["headers"])
request.context["timestamp"] = call["date"]
auth = SigV4Auth(Credentials("test", "test"), "ecs", "eu-west-1")
auth.timestamp = call["date"]
text = auth.string_to_sign(request, auth.canonical_request(request))
print(auth.signature(text, request))
"#;
    let header = |name: &str| call.headers[name].to_str().unwrap().to_owned();
    let host = header("host");
    let headers = serde_json::json!({
        "host": host, "content-type": header("content-type"), "x-amz-date": header("x-amz-date"),
        "x-amz-target": header("x-amz-target"),
    });
    let asked = serde_json::json!({
        "url": url, "body": call.body, "headers": headers, "date": header("x-amz-date"),
    });
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache/venv/bin/python");
    let mut child = Command::new(python)
        .args(["-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stdin, asked.to_string().as_bytes())
        .await
        .unwrap();
    drop(stdin);
    let output = child.wait_with_output().await.unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn ecs_services_are_redeployed_with_the_signature_of_botocore() {
    let stand_in = StandIn::start().await;
    let recorder = Recorder::start(&stand_in.url()).await;
    // A throttled call, a missing service, and a success.
    recorder.ecs_answers(&[
        (400, "ThrottlingException"),
        (400, "ServiceNotFoundException"),
    ]);
    let address = free_address();
    let hook = "[[hook]]\nkind = \"ecs-redeploy\"\ncluster = \"prod\"\nservices = [\"orders\", \"gone\"]\n";
    let plan = Setup {
        config: format!("{hook}[server]\nlisten = \"{address}\"\n"),
        ..Setup::default()
    };
    let env = Environment::open_with(plan, Backend::StandIn(stand_in)).await;
    let config = std::fs::read_to_string(env.config()).unwrap();
    let through = config.replace(&env.stand_in().url(), recorder.url());
    std::fs::write(env.config(), through).unwrap();
    let worker = HookWorker {
        serve: env.serve(&address).await,
        url: format!("http://{address}"),
        env,
    };
    worker.rotate("succeeded").await;
    until("three calls are made", async || {
        recorder.calls_of("ecs").len() == 3
    })
    .await;
    let calls = recorder.calls_of("ecs");
    let services: Vec<&str> = calls
        .iter()
        .map(|call| call.parameters["service"].as_str().unwrap())
        .collect();
    assert_eq!(services, ["orders", "gone", "orders"]);
    for call in &calls {
        assert_eq!(call.action, "UpdateService");
        assert_eq!(call.parameters["cluster"], "prod");
        assert_eq!(call.parameters["forceNewDeployment"], true);
    }
    let call = &calls[2];
    let signed = call.headers["authorization"].to_str().unwrap();
    let expected = signature_by_botocore(call, &format!("{}/", recorder.url())).await;
    assert!(
        signed.ends_with(&format!("Signature={expected}")),
        "{signed} {expected}"
    );
    worker
        .logged("gone: ECS responds ServiceNotFoundException")
        .await;
    worker
        .counts("kind=\"ecs-redeploy\",outcome=\"failed\"} 1")
        .await;
}
