//! Hook `kind = "exec"`: a program with arguments, without a shell.
//!
//! # Failure modes
//! - Child processes outlive the program or hold its output open: it leads a process group, which is killed
//!   when the program exits, at its timeout, and when the future is dropped ([`ProcessGroup`]).
//! - The program receives a token or password of the worker: its environment starts empty, and only the
//!   variables of [`environment`] are added.
//! - The program writes without end: the first [`LOGGED_BYTES`] bytes of each stream are logged as one
//!   escaped field, and the rest is discarded.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;

use super::HookFailure;
use super::payload::HookPayload;

/// The bytes of each stream that are logged.
const LOGGED_BYTES: usize = 4096;

/// Variables of the worker that every program gets.
const BASE_VARIABLES: [&str; 2] = ["PATH", "HOME"];
/// Variables of the worker that a program gets with `aws = true`: those that the SDKs and the AWS CLI
/// read for credentials, region, endpoints and roots.
const AWS_VARIABLES: [&str; 31] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_CREDENTIAL_EXPIRATION",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_SDK_LOAD_CONFIG",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CA_BUNDLE",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_SECRETS_MANAGER",
    "AWS_ENDPOINT_URL_STS",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
    "AWS_STS_REGIONAL_ENDPOINTS",
    "AWS_USE_DUALSTACK_ENDPOINT",
    "AWS_USE_FIPS_ENDPOINT",
    "AWS_EC2_METADATA_DISABLED",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE",
    "AWS_MAX_ATTEMPTS",
    "AWS_RETRY_MODE",
];

pub(super) struct Exec {
    program: PathBuf,
    arguments: Vec<String>,
    /// The variables of the worker that it gets.
    environment: Vec<(&'static str, OsString)>,
}

/// The variables of the worker that a program gets; `worker` returns the value of a variable.
fn environment(
    aws: bool,
    worker: impl Fn(&'static str) -> Option<OsString>,
) -> Vec<(&'static str, OsString)> {
    let aws: &[&str] = if aws { &AWS_VARIABLES } else { &[] };
    BASE_VARIABLES
        .iter()
        .chain(aws)
        .filter_map(|name| Some((*name, worker(name)?)))
        .collect()
}

/// The output of a stream.
#[derive(Default)]
struct Output {
    logged: Vec<u8>,
    /// The number of discarded bytes.
    discarded: usize,
}

impl Output {
    /// Reads to the end.
    async fn read(&mut self, stream: Option<impl AsyncRead + Unpin>) {
        let Some(mut stream) = stream else { return };
        let mut buffer = [0; 4096];
        // A read error ends the stream.
        while let Ok(read @ 1..) = stream.read(&mut buffer).await {
            let count = (LOGGED_BYTES - self.logged.len()).min(read);
            self.logged
                .extend_from_slice(buffer.get(..count).unwrap_or_default());
            self.discarded += read - count;
        }
    }

    fn log(&self, stream: &str, program: &Path, rotation: &str) {
        if self.logged.is_empty() {
            return;
        }
        let text = String::from_utf8_lossy(&self.logged);
        tracing::info!(program = %program.display(), rotation, stream, output = ?text, discarded_bytes = self.discarded, "hook output");
    }
}

/// A process group that is killed on drop.
struct ProcessGroup(Option<Pid>);

impl ProcessGroup {
    fn kill(&mut self) {
        if let Some(pid) = self.0.take() {
            // An error means that the group has no process left.
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Exec {
    /// A program; `aws` also passes the AWS variables of the worker.
    pub(super) fn new(program: &Path, arguments: &[String], aws: bool) -> Self {
        Self {
            program: program.to_owned(),
            arguments: arguments.to_vec(),
            environment: environment(aws, std::env::var_os),
        }
    }

    pub(super) async fn run(
        &self,
        payload: &HookPayload,
        limit: Duration,
    ) -> Result<(), HookFailure> {
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .envs(payload.variables())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        let mut child = command.spawn().map_err(|error| {
            HookFailure::error(format!("the program cannot be started: {error}"))
        })?;
        let pid = child.id().and_then(|id| i32::try_from(id).ok());
        let mut group = ProcessGroup(pid.and_then(Pid::from_raw));
        let (mut out, mut err) = (Output::default(), Output::default());
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let exited = async {
            let status = child.wait().await;
            // Remaining children would keep the streams open.
            group.kill();
            status
        };
        let all = async { tokio::join!(exited, out.read(stdout), err.read(stderr)).0 };
        let status = tokio::time::timeout(limit, all).await;
        out.log("stdout", &self.program, &payload.rotation);
        err.log("stderr", &self.program, &payload.rotation);
        let status = status
            .map_err(|_| HookFailure::TimedOut)?
            .map_err(HookFailure::error)?;
        check_status(status)
    }
}

fn check_status(status: ExitStatus) -> Result<(), HookFailure> {
    if status.success() {
        return Ok(());
    }
    // "exit status: 1", "signal: 9 (SIGKILL)"
    Err(HookFailure::error(format!(
        "the program ended with {status}"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload() -> HookPayload {
        HookPayload {
            event: "succeeded",
            rotation: "orders".into(),
            secret: None,
            run: None,
            version_id: None,
            from_user: None,
            to_user: None,
            at: "2026-11-24T07:00:00+00:00".into(),
            endpoints: None,
        }
    }

    async fn shell(script: &str, limit: Duration) -> Result<(), HookFailure> {
        let arguments = ["-c".to_owned(), script.to_owned()];
        let exec = Exec::new(Path::new("/bin/sh"), &arguments, false);
        exec.run(&payload(), limit).await
    }

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn the_exit_status_is_reported() {
        shell("exit 0", LONG).await.unwrap();
        let failed = shell("exit 3", LONG).await.unwrap_err();
        assert_eq!(failed.to_string(), "the program ended with exit status: 3");
        let exec = Exec::new(Path::new("/no/such/program"), &[], false);
        let failed = exec.run(&payload(), LONG).await.unwrap_err();
        assert!(
            failed
                .to_string()
                .starts_with("the program cannot be started: ")
        );
    }

    #[tokio::test]
    async fn a_program_gets_the_payload_and_nothing_of_the_test_runner() {
        // Cargo sets CARGO_MANIFEST_DIR in the environment of tests.
        assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
        let script = "test $TWINKEY_ROTATION = orders && test -n \"$PATH\" \
            && test -z \"${CARGO_MANIFEST_DIR+set}\" && test -z \"${TWINKEY_RUN+set}\"";
        shell(script, LONG).await.unwrap();
    }

    #[test]
    fn only_listed_variables_are_passed() {
        let names = |aws| -> Vec<&str> {
            let passed = environment(aws, |name| Some(name.into()));
            passed.into_iter().map(|(name, _)| name).collect()
        };
        assert_eq!(names(false), ["PATH", "HOME"]);
        let with_aws = names(true);
        assert_eq!(with_aws.len(), 2 + AWS_VARIABLES.len());
        assert!(with_aws[2..].iter().all(|name| name.starts_with("AWS_")));
        assert!(environment(true, |_| None).is_empty());
    }

    #[tokio::test]
    async fn a_timeout_kills_a_program_with_its_children() {
        let folder = tempfile::tempdir().unwrap();
        let pid = folder.path().join("pid");
        // The child writes its id before the parent waits.
        let script = format!(
            "sleep 600 & echo $! > {0}.new; mv {0}.new {0}; wait",
            pid.display()
        );
        let ended = shell(&script, Duration::from_secs(1)).await;
        assert!(matches!(ended, Err(HookFailure::TimedOut)), "{ended:?}");
        let child = std::fs::read_to_string(pid).unwrap();
        // A killed child is a zombie until its new parent reaps it.
        let state = || std::fs::read_to_string(format!("/proc/{}/stat", child.trim()));
        while state().is_ok_and(|stat| !stat.contains(") Z ")) {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_child_is_killed_when_its_program_exits() {
        shell("sleep 600 & exit 0", LONG).await.unwrap();
    }

    #[tokio::test]
    async fn only_the_start_of_the_output_is_logged() {
        let mut output = Output::default();
        let bytes = vec![b'x'; 3 * LOGGED_BYTES + 7];
        output.read(Some(bytes.as_slice())).await;
        assert_eq!(
            (output.logged.len(), output.discarded),
            (LOGGED_BYTES, 2 * LOGGED_BYTES + 7)
        );
    }
}
