//! The image from `make test-image`, run like the ECS task in `deploy/ecs/` on the test servers.
//!
//! Docker is not necessary: the test mounts the root and the volume as the image and the task
//! declare, with a read-only root, and switches to their user.

use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use reqwest::StatusCode;
use serde_json::Value as Json;
use tokio::process::Command;
use twinkey_stores::stage;

use twinkey_testkit::environment::{Environment, Setup, free_address, until};

const TOKEN: &str = "an-admin-token-of-some-length";
const USER: u32 = 65532;

/// Runs in a mount namespace: the root is read-only, and the volume is mounted in it. The remaining
/// arguments run as the user in the root. Each step replaces its process with the next, so that
/// signals reach the program.
const RUN: &str = r#"
set -e
root=$1 state=$2 at=$3 user=$4
shift 4
mount --bind "$root" "$root"
mount -o remount,bind,ro "$root"
mount --bind "$state" "$root$at"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
exec chroot --userspec="$user" "$root" "$@"
"#;

fn json(file: &Path) -> Json {
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

fn strings(value: &Json) -> Vec<String> {
    let each = value.as_array().into_iter().flatten();
    each.map(|s| s.as_str().unwrap().to_owned()).collect()
}

/// The image, the containers of the task, and their volume.
struct EcsTask {
    root: PathBuf,
    image: Json,
    containers: Vec<Json>,
    state: PathBuf,
}

impl EcsTask {
    fn new(state: PathBuf) -> Self {
        let variable =
            |name| PathBuf::from(std::env::var_os(name).expect("make test-image sets it"));
        let task = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/ecs/task-definition.json");
        std::fs::create_dir(&state).unwrap();
        // A volume belongs to the owner of the image's folder.
        chown(&state, Some(USER), Some(USER)).unwrap();
        Self {
            root: variable("TWINKEY_IMAGE_ROOT"),
            image: json(&variable("TWINKEY_IMAGE"))["Docker"]["config"].clone(),
            containers: json(&task)["containerDefinitions"]
                .as_array()
                .unwrap()
                .clone(),
            state,
        }
    }

    fn container(&self, name: &str) -> &Json {
        self.containers.iter().find(|c| c["name"] == name).unwrap()
    }

    /// A container of the task with variables from ECS. `command` replaces its own.
    fn run(&self, name: &str, command: Option<&Json>, handed: &[(&str, &str)]) -> Command {
        let container = self.container(name);
        let mount = &container["mountPoints"][0];
        assert_eq!(container["readonlyRootFilesystem"], true);
        assert_eq!(
            container["user"], self.image["User"],
            "the image's own user"
        );
        let mut run = Command::new("unshare");
        run.args(["--mount", "sh", "-c", RUN, "sh"])
            .arg(&self.root)
            .arg(&self.state)
            .arg(mount["containerPath"].as_str().unwrap())
            .arg(container["user"].as_str().unwrap())
            .args(["env", "--ignore-environment"])
            .arg(format!(
                "--chdir={}",
                self.image["WorkingDir"].as_str().unwrap()
            ))
            .args(strings(&self.image["Env"]));
        for pair in container["environment"].as_array().into_iter().flatten() {
            let text = |key: &str| pair[key].as_str().unwrap().to_owned();
            run.arg(format!("{}={}", text("name"), text("value")));
        }
        for (name, value) in handed {
            run.arg(format!("{name}={value}"));
        }
        match command {
            Some(command) => run.args(strings(command)),
            None => run
                .args(strings(match &container["entryPoint"] {
                    Json::Null => &self.image["Entrypoint"],
                    own => own,
                }))
                .args(strings(&container["command"])),
        };
        run.stdin(Stdio::null()).kill_on_drop(true);
        run
    }
}

/// A line of a file in /proc/ID.
fn of_process(id: u32, file: &str, begins: &str) -> String {
    let text = std::fs::read_to_string(format!("/proc/{id}/{file}")).unwrap();
    let found = text.lines().find(|line| line.starts_with(begins));
    found
        .unwrap_or_else(|| panic!("{begins}: {text}"))
        .to_owned()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs an image: make test-image"]
async fn the_image_rotates_as_an_ecs_task_on_a_read_only_root() {
    let env = Environment::open(Setup::default()).await;
    let address = free_address();
    let task = EcsTask::new(env.folder.path().join("state"));
    let config = std::fs::read_to_string(env.config()).unwrap();

    let written = task
        .run("config", None, &[("TWINKEY_TOML", &config)])
        .output()
        .await;
    let written = written.unwrap();
    assert!(written.status.success(), "{written:?}");
    let file = std::fs::metadata(task.state.join("twinkey.toml")).unwrap();
    assert_eq!(file.uid(), USER);

    let handed = [
        ("TWINKEY_ADMIN_TOKEN", TOKEN),
        // The port of the task may be in use on this machine. The stand-in accepts any key.
        (
            "TWINKEY__SERVER__LISTEN",
            &address.replace("127.0.0.1", "0.0.0.0"),
        ),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
    ];
    let health = &task.container("twinkey")["healthCheck"]["command"];
    let health = Json::from(strings(health)[1..].to_vec());
    let check = || task.run("twinkey", Some(&health), &handed).output();
    assert!(
        !check().await.unwrap().status.success(),
        "the worker has not started"
    );
    let log = std::fs::File::create(env.folder.path().join("serve.log")).unwrap();
    let mut serve = task
        .run("twinkey", None, &handed)
        .stderr(log)
        .spawn()
        .unwrap();
    let url = format!("http://{address}");
    until("the worker is ready", async || {
        let ended = serve.try_wait().unwrap();
        let log = || std::fs::read_to_string(env.folder.path().join("serve.log")).unwrap();
        assert!(ended.is_none(), "{ended:?}: {}", log());
        let ready = reqwest::get(format!("{url}/readyz")).await;
        ready.is_ok_and(|answer| answer.status().is_success())
    })
    .await;
    let well = check().await.unwrap();
    assert!(well.status.success(), "{well:?}");

    let id = serve.id().unwrap();
    assert!(of_process(id, "status", "Uid:").ends_with(&format!("\t{USER}")));
    assert!(of_process(id, "status", "CapEff:").ends_with("0000000000000000"));
    let mounts = std::fs::read_to_string(format!("/proc/{id}/mountinfo")).unwrap();
    let root = mounts
        .lines()
        .find(|line| line.split(' ').nth(4) == Some("/"));
    let options = root.and_then(|line| line.split(' ').nth(5));
    assert!(
        options.is_some_and(|options| options.starts_with("ro")),
        "{mounts}"
    );

    let client = reqwest::Client::new();
    let begun = client
        .post(format!("{url}/v1/rotations/shop/rotate"))
        .bearer_auth(TOKEN)
        .send()
        .await
        .unwrap();
    assert_eq!(begun.status(), StatusCode::ACCEPTED);
    until("it has rotated", async || {
        env.read(stage::CURRENT).await.0["username"] == "app_clone"
    })
    .await;
    drop(env.signed_in(stage::CURRENT).await);

    let ended = std::process::Command::new("kill")
        .arg(id.to_string())
        .status();
    assert!(ended.unwrap().success());
    assert!(serve.wait().await.unwrap().success());
    assert!(
        !check().await.unwrap().status.success(),
        "the worker has stopped"
    );
}

#[tokio::test]
#[ignore = "needs an image: make test-image"]
async fn the_image_declares_version_user_volume_and_health_check() {
    let folder = tempfile::tempdir().unwrap();
    let task = EcsTask::new(folder.path().join("state"));
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        task.image["Labels"]["org.opencontainers.image.version"],
        version
    );
    assert_eq!(task.image["User"], format!("{USER}:{USER}"));
    assert_eq!(task.image["Cmd"], serde_json::json!(["serve"]));
    let volumes = &task.image["Volumes"];
    assert!(volumes.get("/var/lib/twinkey").is_some(), "{volumes}");
    let health = &task.container("twinkey")["healthCheck"]["command"];
    assert_eq!(
        &task.image["Healthcheck"]["Test"], health,
        "the task's is the image's"
    );

    let asked = serde_json::json!(["/usr/local/bin/twinkey", "--version"]);
    let message = task
        .run("twinkey", Some(&asked), &[])
        .output()
        .await
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&message.stdout),
        format!("twinkey {version}\n")
    );
}
