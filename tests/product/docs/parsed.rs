//! Parsers of blocks.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;

use config::{Config, File, FileFormat};

use super::blocks::{Block, repository};
use super::quiet;

pub fn json(text: &str) -> Result<(), String> {
    let read: Result<serde_json::Value, _> = serde_json::from_str(text);
    read.map(drop).map_err(|error| error.to_string())
}

pub fn yaml(text: &str) -> Result<(), String> {
    of_format(text, FileFormat::Yaml)
}

pub fn toml(text: &str) -> Result<(), String> {
    of_format(text, FileFormat::Toml)
}

fn of_format(text: &str, format: FileFormat) -> Result<(), String> {
    let read = Config::builder()
        .add_source(File::from_str(text, format))
        .build();
    read.map(drop).map_err(|error| error.to_string())
}

/// A config or a part of one. Required sections that are missing are added.
pub fn config(text: &str) -> Result<(), String> {
    let mut whole = String::new();
    if !text.contains("[secrets]") {
        whole.push_str("[secrets]\nbackend = \"aws\"\n");
    }
    whole.push_str(text);
    // A hook may name a rotation outside the block.
    if text.contains("[[hook]]") && !text.contains("[[rotation]]") {
        whole.push_str("\n[[rotation]]\nname = \"orders\"\nsecret = \"prod/orders/db\"\n");
    }
    let read = twinkey::config::parse(Path::new("twinkey.toml"), &whole, &BTreeMap::new());
    read.map(drop).map_err(|errors| errors.to_string())
}

/// Parses a text with a program that exits with status 0 for valid input.
pub fn parse_with(program: &str, arguments: &[&str], text: &str) -> Result<(), String> {
    let mut child = quiet(program)
        .args(arguments)
        .spawn()
        .map_err(|e| format!("{program}: {e}"))?;
    child
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    if output.status.success() {
        return Ok(());
    }
    Err(format!(
        "{program}: {}",
        String::from_utf8_lossy(&output.stderr)
    ))
}

/// Checks that a block equals a file, whose path is relative to the page.
pub fn is_file(block: &Block, file: &str) -> Result<(), String> {
    let folder = repository().join(&block.page);
    let path = folder.parent().unwrap().join(file);
    let held = std::fs::read_to_string(&path).map_err(|e| format!("{file}: {e}"))?;
    (held == block.text)
        .then_some(())
        .ok_or_else(|| format!("the block differs from {file}"))
}
