//! The documentation: every code block of every page is executed or parsed. docs/writing.md
//! explains the marks.
//!
//! # Failure modes
//! - A block is neither executed nor parsed, or has an unknown mark: the test fails.

mod blocks;
mod commands;
mod consumers;
mod parsed;
mod run;

use std::process::Stdio;

use blocks::{Block, Mark, all_blocks};

/// Executes or parses a block, and returns what was done.
fn check_block(block: &Block) -> Result<&'static str, String> {
    let text = &block.text;
    match (block.language.as_str(), &block.mark) {
        (_, Mark::Unknown(mark)) => Err(format!("unknown mark {mark:?}")),
        (_, Mark::File(file)) => parsed::is_file(block, file).map(|()| "a file of its own"),
        ("sh" | "console", Mark::Walk) => commands::read(block, true).map(|()| "walked"),
        ("sh" | "console", Mark::Run(None)) => commands::read(block, true).map(|()| "executed"),
        ("sql", Mark::Run(Some(_))) => Ok("executed"),
        (_, Mark::Run(_)) => Err("this language is not executed".into()),
        ("sh" | "console", Mark::Needs(_)) => commands::read(block, true).map(|()| "read"),
        ("sh" | "console", _) => commands::read(block, false).map(|()| "read"),
        ("" | "text", _) => Ok("shown"),
        ("json", _) => parsed::json(text).map(|()| "read"),
        ("yaml", _) => parsed::yaml(text).map(|()| "read"),
        ("toml", Mark::Example) => parsed::toml(text).map(|()| "read"),
        ("toml", _) => parsed::config(text).map(|()| "read as a config"),
        ("python", _) => {
            let ast = "import ast, sys; ast.parse(sys.stdin.read())";
            parsed::parse_with("python3", &["-c", ast], text).map(|()| "read")
        }
        ("js", _) => parsed::parse_with("node", &["--check", "-"], text).map(|()| "read"),
        (_, Mark::Example | Mark::Needs(_)) => Ok("shown"),
        (other, Mark::None | Mark::Walk) => Err(format!(
            "{other:?} is not parsed: mark it <!-- example -->, <!-- file PATH --> or <!-- needs WHAT -->"
        )),
    }
}

#[test]
fn every_block_of_every_page_is_executed_or_parsed() {
    let mut done = std::collections::BTreeMap::<&str, usize>::new();
    let mut wrong = Vec::new();
    let blocks = all_blocks();
    assert!(blocks.len() > 40, "{}", blocks.len());
    for block in &blocks {
        match check_block(block) {
            Ok(how) => *done.entry(how).or_default() += 1,
            Err(why) => wrong.push(format!("{}:{}: {why}", block.page, block.line)),
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    println!("{} blocks: {done:?}", blocks.len());
}

/// Each block is wrong in another way.
#[test]
fn a_wrong_block_is_reported() {
    let page = "<!-- example -->\n```toml\na = [\n```\n\n```toml\n[[rotation]]\nnam = \"x\"\n```\n\n\
        ```sh\ntwinkey rotat x\n```\n\n```sh\naws s3 ls\n```\n\n```json\n{\"a\": }\n```\n\n```rust\nlet x;\n```\n\n\
        <!-- needs AWS -->\n```sh\ntwinkey check --offlin\n```\n\n<!-- perhaps -->\n```json\n{}\n```\n\n\
        ```sh\nmake demmo\n```\n\n<!-- file consumers/reader.py -->\n```python\npass\n```\n\n```console\n$ twinkey 'status\n```\n";
    let blocks = blocks::read("docs/none.md", page);
    assert_eq!(blocks.len(), 11);
    for block in &blocks {
        let looked = check_block(block);
        assert!(looked.is_err(), "line {}: {looked:?}", block.line);
    }
}

/// Blocks that docs/writing.md allows.
#[test]
fn a_correct_block_is_accepted() {
    let page = "```sh\ntwinkey check --offline | cat > x && make demo\n```\n\n<!-- needs AWS -->\n```sh\naws s3 ls \\\n  --no-sign-request\n```\n\n\
        ```console\n$ twinkey status\nNAME\n```\n\n```toml\n[[rotation]]\nname = \"x\"\nsecret = \"y\"\n```\n";
    for block in &blocks::read("docs/none.md", page) {
        check_block(block).unwrap_or_else(|why| panic!("line {}: {why}", block.line));
    }
}

fn quiet(program: &str) -> std::process::Command {
    let mut command = std::process::Command::new(program);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}
