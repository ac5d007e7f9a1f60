//! Generated completions and manual pages.

use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

async fn printed(args: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_twinkey"));
    let output = command.args(args).output().await.unwrap();
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The commands in the output of `--help`.
async fn commands() -> Vec<String> {
    let help = printed(&["--help"]).await;
    let (_, rest) = help.split_once("Commands:\n").unwrap();
    let (list, _) = rest.split_once("\n\n").unwrap();
    let name = |line: &str| {
        line.strip_prefix("  ")?
            .split_whitespace()
            .next()
            .map(str::to_owned)
    };
    let is_name = |line: &&str| !line.starts_with("   ");
    let commands: Vec<String> = list.lines().filter(is_name).filter_map(name).collect();
    assert!(commands.len() > 15, "{commands:?}");
    commands
}

#[tokio::test]
async fn completions_include_every_command_and_work_in_bash() {
    let commands = commands().await;
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = printed(&["completions", shell]).await;
        for command in &commands {
            assert!(script.contains(command.as_str()), "{shell}: {command}");
        }
    }
    // bash is installed: it loads the script and completes.
    let script = printed(&["completions", "bash"]).await;
    let ask = "\nCOMP_WORDS=(twinkey iam-); COMP_CWORD=1; _twinkey twinkey iam- twinkey; echo \"${COMPREPLY[*]}\"\n";
    let mut bash = Command::new("bash")
        .args(["-euo", "pipefail"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = bash.stdin.take().unwrap();
    stdin
        .write_all(format!("{script}{ask}").as_bytes())
        .await
        .unwrap();
    drop(stdin);
    let output = bash.wait_with_output().await.unwrap();
    assert_eq!(
        String::from_utf8(output.stdout).unwrap().trim(),
        "iam-policy"
    );
}

#[tokio::test]
async fn every_command_has_a_manual_page() {
    let page = printed(&["man"]).await;
    assert!(page.contains(".TH TWINKEY 1"), "{page}");
    for command in commands().await {
        assert!(page.contains(&command.replace('-', "\\-")), "{command}");
        if command != "help" {
            let own = printed(&["man", &command]).await;
            assert!(
                own.contains(&format!(".TH TWINKEY-{} 1", command.to_uppercase())),
                "{own}"
            );
        }
    }
}
