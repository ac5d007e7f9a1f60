//! The `twinkey` program, run in an environment.

use std::process::{Output, Stdio};

use tokio::process::{Child, Command};

use crate::locations::twinkey_program;

use super::{Database, Environment, until};

impl<D: Database> Environment<D> {
    /// A command of the program with the config of the environment.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env("TWINKEY_CONFIG", self.config())
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env_remove("RUST_BACKTRACE")
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Runs the program.
    pub async fn twinkey(&self, args: &[&str]) -> Output {
        self.command(twinkey_program())
            .args(args)
            .output()
            .await
            .unwrap()
    }

    /// Runs the program, which must succeed, and returns its output.
    pub async fn run_ok(&self, args: &[&str]) -> String {
        let output = self.twinkey(args).await;
        assert!(
            output.status.success(),
            "twinkey {args:?}: {}\n{}",
            String::from_utf8_lossy(&output.stderr),
            String::from_utf8_lossy(&output.stdout)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs the program, which must exit with this status, this code and a hint. Returns its errors.
    pub async fn fails(&self, args: &[&str], status: i32, code: &str) -> String {
        let output = self.twinkey(args).await;
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(status), "{args:?}: {message}");
        assert!(
            message.contains(&format!("error[{code}]: ")),
            "{args:?}: {message}"
        );
        let hint = message.split_once("hint: ").map(|(_, hint)| hint.trim());
        assert!(hint.is_some_and(|h| !h.is_empty()), "{args:?}: {message}");
        message
    }

    /// Runs the program, which must exit with status 1 and this code, and change nothing.
    pub async fn refuses(&self, args: &[&str], code: &str) -> String {
        let before = self.state().await;
        let message = self.fails(args, 1, code).await;
        assert_eq!(self.state().await, before, "{args:?}: {code}");
        message
    }

    /// Starts `serve` and waits until it is ready at `address`.
    pub async fn serve(&self, address: &str) -> Child {
        let mut command = self.command(twinkey_program());
        command.arg("serve");
        self.start(command, address).await
    }

    /// As [`Environment::serve`], with a hard limit of file descriptors.
    pub async fn serve_with_descriptors(&self, address: &str, limit: u32) -> Child {
        let mut command = self.command("sh");
        let script = format!("ulimit -n {limit} && exec \"$0\" serve");
        command.args(["-c", &script]).arg(twinkey_program());
        self.start(command, address).await
    }

    /// As [`Environment::serve`], by another command.
    pub async fn start(&self, mut command: Command, address: &str) -> Child {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.folder.path().join("serve.log"))
            .unwrap();
        let mut child = command.stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let url = format!("http://{address}/readyz");
        until("the worker is ready", async || {
            if let Some(status) = child.try_wait().unwrap() {
                let log = std::fs::read_to_string(self.folder.path().join("serve.log")).unwrap();
                panic!("serve exited: {status}\n{log}");
            }
            reqwest::get(&url)
                .await
                .is_ok_and(|r| r.status().is_success())
        })
        .await;
        child
    }
}
