//! `kind = "exec"`: a program with arguments, without a shell.
//!
//! What can go wrong, and what prevents it:
//! - its children outlive it, or hold its output open: it is the head of a process group, which is killed whole
//!   when it ends, when its time is over, and when the worker forgets it ([`Group`]);
//! - it writes without end, and fills memory or the log: of each stream the first [`KEPT`] bytes are logged, as one
//!   field with everything escaped, and the rest is read and thrown away.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;

use super::Undone;
use super::occasion::Occasion;

/// Of each stream, in bytes.
const KEPT: usize = 4096;

pub(super) struct Exec {
    program: PathBuf,
    arguments: Vec<String>,
    /// Variables that it is not given.
    withheld: Vec<String>,
}

/// What a stream has given.
#[derive(Default)]
struct Output {
    kept: Vec<u8>,
    /// How many bytes more there were.
    more: usize,
}

impl Output {
    /// Reads to the end.
    async fn read(&mut self, stream: Option<impl AsyncRead + Unpin>) {
        let Some(mut stream) = stream else { return };
        let mut buffer = [0; 4096];
        // A stream that cannot be read is at its end.
        while let Ok(read @ 1..) = stream.read(&mut buffer).await {
            let room = (KEPT - self.kept.len()).min(read);
            self.kept
                .extend_from_slice(buffer.get(..room).unwrap_or_default());
            self.more += read - room;
        }
    }

    fn log(&self, stream: &str, program: &Path, rotation: &str) {
        if self.kept.is_empty() {
            return;
        }
        let text = String::from_utf8_lossy(&self.kept);
        tracing::info!(program = %program.display(), rotation, stream, output = ?text, more_bytes = self.more, "a hook wrote");
    }
}

/// A process group that is killed at the latest when it is dropped.
struct Group(Option<Pid>);

impl Group {
    fn kill(&mut self) {
        if let Some(pid) = self.0.take() {
            // Nobody being left in it is as good.
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Exec {
    pub(super) fn new(program: &Path, arguments: &[String], withheld: Vec<String>) -> Self {
        Self {
            program: program.to_owned(),
            arguments: arguments.to_vec(),
            withheld,
        }
    }

    pub(super) async fn run(&self, occasion: &Occasion, limit: Duration) -> Result<(), Undone> {
        let mut command = Command::new(&self.program);
        for name in &self.withheld {
            command.env_remove(name);
        }
        command
            .args(&self.arguments)
            .envs(occasion.variables())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        let mut child = command
            .spawn()
            .map_err(|error| Undone::because(format!("it cannot be started: {error}")))?;
        let pid = child.id().and_then(|id| i32::try_from(id).ok());
        let mut group = Group(pid.and_then(Pid::from_raw));
        let (mut said, mut complained) = (Output::default(), Output::default());
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let ended = async {
            let ended = child.wait().await;
            // What it left behind would keep the streams open.
            group.kill();
            ended
        };
        let all = async { tokio::join!(ended, said.read(stdout), complained.read(stderr)).0 };
        let ended = tokio::time::timeout(limit, all).await;
        said.log("stdout", &self.program, &occasion.rotation);
        complained.log("stderr", &self.program, &occasion.rotation);
        let status = ended
            .map_err(|_| Undone::TimedOut)?
            .map_err(Undone::because)?;
        judge(status)
    }
}

fn judge(status: ExitStatus) -> Result<(), Undone> {
    if status.success() {
        return Ok(());
    }
    // "exit status: 1", "signal: 9 (SIGKILL)"
    Err(Undone::because(format!("it ended with {status}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn occasion() -> Occasion {
        Occasion {
            event: "succeeded",
            rotation: "orders".into(),
            secret: None,
            run: None,
            version_id: None,
            from_user: None,
            to_user: None,
            at: "2026-11-24T07:00:00+00:00".into(),
        }
    }

    async fn shell(script: &str, limit: Duration) -> Result<(), Undone> {
        let arguments = ["-c".to_owned(), script.to_owned()];
        let exec = Exec::new(Path::new("/bin/sh"), &arguments, vec!["HOME".into()]);
        exec.run(&occasion(), limit).await
    }

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn what_a_program_ends_with_is_told() {
        shell("exit 0", LONG).await.unwrap();
        let failed = shell("exit 3", LONG).await.unwrap_err();
        assert_eq!(failed.to_string(), "it ended with exit status: 3");
        let exec = Exec::new(Path::new("/nowhere/to/be/found"), &[], Vec::new());
        let failed = exec.run(&occasion(), LONG).await.unwrap_err();
        assert!(failed.to_string().starts_with("it cannot be started: "));
    }

    #[tokio::test]
    async fn a_program_is_told_of_the_rotation_and_not_given_what_is_withheld() {
        let script = "test $TWINKEY_ROTATION = orders && test -z \"${HOME+set}\" && test -z \"${TWINKEY_RUN+set}\"";
        shell(script, LONG).await.unwrap();
    }

    #[tokio::test]
    async fn at_its_time_limit_a_program_is_killed_with_its_children() {
        let folder = tempfile::tempdir().unwrap();
        let pid = folder.path().join("pid");
        // The child says who it is before the parent begins to wait.
        let script = format!(
            "sleep 600 & echo $! > {0}.new; mv {0}.new {0}; wait",
            pid.display()
        );
        let ended = shell(&script, Duration::from_secs(1)).await;
        assert!(matches!(ended, Err(Undone::TimedOut)), "{ended:?}");
        let child = std::fs::read_to_string(pid).unwrap();
        // A killed child is a zombie until its new parent notices; it runs no more.
        let state = || std::fs::read_to_string(format!("/proc/{}/stat", child.trim()));
        while state().is_ok_and(|stat| !stat.contains(") Z ")) {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_child_that_a_program_leaves_behind_ends_with_it() {
        shell("sleep 600 & exit 0", LONG).await.unwrap();
    }

    #[tokio::test]
    async fn of_endless_output_the_beginning_is_kept() {
        let mut output = Output::default();
        let bytes = vec![b'x'; 3 * KEPT + 7];
        output.read(Some(bytes.as_slice())).await;
        assert_eq!((output.kept.len(), output.more), (KEPT, 2 * KEPT + 7));
    }
}
