//! Execution of blocks: statements on servers, and commands in an empty folder.

use secrecy::ExposeSecret;
use twinkey_testkit::mysql::LocalMysql;
use twinkey_testkit::postgres::LocalPostgres;

use super::blocks::{Block, Mark, all_blocks, repository};
use super::commands::script;
use super::quiet;
use twinkey_testkit::environment::mariadb;
use twinkey_testkit::environment::{Database, Setup, run};

fn marked(what: Option<&str>) -> Vec<Block> {
    let mark = Mark::Run(what.map(str::to_owned));
    let mut blocks = all_blocks();
    blocks.retain(|block| block.mark == mark);
    assert!(!blocks.is_empty(), "no block is marked {mark:?}");
    blocks
}

async fn server<D: Database>() -> D {
    let start = || D::start(&Setup::default());
    tokio::task::spawn_blocking(start).await.unwrap()
}

/// The server has the role `app`; statements run as a superuser.
#[tokio::test(flavor = "multi_thread")]
async fn statements_for_postgresql_run_on_a_server() {
    let server = server::<LocalPostgres>().await;
    let root = Database::superuser(&server);
    let root = server
        .connect(&root.username, &root.password, "postgres")
        .await;
    let mut root = root.unwrap();
    run(&mut root, "CREATE ROLE app LOGIN").await;
    for block in marked(Some("postgres")) {
        println!("{}:{}", block.page, block.line);
        run(&mut root, &block.text).await;
    }
}

/// The server has the schema `shop`; statements run as the superuser.
#[tokio::test(flavor = "multi_thread")]
async fn statements_for_mariadb_run_on_a_server() {
    let server = server::<LocalMysql>().await;
    let root = Database::superuser(&server);
    let root = server
        .connect(&root.username, &root.password, "mysql")
        .await;
    let mut root = root.unwrap();
    mariadb::run(&mut root, "CREATE DATABASE shop").await;
    for block in marked(Some("mariadb")) {
        println!("{}:{}", block.page, block.line);
        mariadb::run(&mut root, &block.text).await;
    }
    assert!(
        !Database::superuser(&server)
            .password
            .expose_secret()
            .is_empty()
    );
}

/// The folder has config/examples/aws.toml. A console block must have the output of its commands; a
/// line `…` matches the rest.
#[test]
fn marked_commands_run_and_print_what_the_page_shows() {
    for block in marked(None) {
        let folder = tempfile::tempdir().unwrap();
        let example = repository().join("config/examples/aws.toml");
        std::fs::copy(example, folder.path().join("twinkey.toml")).unwrap();
        let program = std::path::Path::new(env!("CARGO_BIN_EXE_twinkey"));
        let path = format!(
            "{}:{}",
            program.parent().unwrap().display(),
            std::env::var("PATH").unwrap()
        );
        let is_console = block.language == "console";
        let mut bash = quiet("bash");
        // The commands of a console may fail.
        bash.args(if is_console {
            ["-uo", "pipefail"]
        } else {
            ["-euo", "pipefail"]
        });
        let script = format!("exec 2>&1\n{}", script(&block));
        let output = bash
            .args(["-c", &script])
            .current_dir(folder.path())
            .env("PATH", path)
            .env("NO_COLOR", "1")
            .output()
            .unwrap();
        let at = format!("{}:{}", block.page, block.line);
        let printed = String::from_utf8(output.stdout).unwrap();
        if is_console {
            assert!(is_shown(&block, &printed), "{at}: it printed\n{printed}");
        } else {
            assert!(output.status.success(), "{at}: {printed}");
        }
    }
}

fn is_shown(block: &Block, printed: &str) -> bool {
    let command = script(block);
    let shown = block.text.lines().filter(|line| {
        let bare = line.strip_prefix("$ ").unwrap_or(line);
        !command.lines().any(|one| one == bare)
    });
    let mut printed = printed.lines().map(str::trim_end);
    for line in shown {
        if line.trim() == "…" {
            return true;
        }
        if printed.next() != Some(line.trim_end()) {
            return false;
        }
    }
    printed.next().is_none()
}
