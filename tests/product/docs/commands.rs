//! Blocks of commands, parsed by the shell and by the command line of twinkey.

use clap::CommandFactory;
use clap::error::ErrorKind;

use super::blocks::{Block, repository};
use super::parsed::parse_with;

/// Programs that a page may use without a mark.
const PLAIN: [&str; 17] = [
    "[", "cargo", "cat", "cd", "cp", "curl", "df", "echo", "env", "export", "grep", "kill", "ls",
    "mkdir", "sqlite3", "test", "wait",
];

/// Checks a block. With `anything`, other programs are allowed.
pub fn read(block: &Block, anything: bool) -> Result<(), String> {
    let script = script(block);
    parse_with("bash", &["-n"], &script)?;
    for words in commands(&script) {
        let Some(program) = words.first() else {
            continue;
        };
        match program.as_str() {
            "twinkey" => twinkey(&words)?,
            "make" => make(&words)?,
            other if anything || PLAIN.contains(&other) => {}
            other => {
                return Err(format!(
                    "{other:?} is not allowed here: mark the block <!-- needs WHAT --> or <!-- run -->"
                ));
            }
        }
    }
    Ok(())
}

/// The script of a block; of a console, the lines after `$ `.
pub fn script(block: &Block) -> String {
    if block.language != "console" {
        return block.text.clone();
    }
    let mut script = String::new();
    let mut goes_on = false;
    for line in block.text.lines() {
        if let Some(command) = line.strip_prefix("$ ").or(goes_on.then_some(line)) {
            script.push_str(command);
            script.push('\n');
            goes_on = command.ends_with('\\');
        }
    }
    script
}

fn twinkey(words: &[String]) -> Result<(), String> {
    match twinkey::cli::Cli::command().try_get_matches_from(words) {
        Ok(_) => Ok(()),
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
            ) =>
        {
            Ok(())
        }
        Err(error) => Err(error.to_string()),
    }
}

fn make(words: &[String]) -> Result<(), String> {
    let makefile = std::fs::read_to_string(repository().join("Makefile")).unwrap();
    let targets = words[1..]
        .iter()
        .filter(|word| !word.contains('=') && !word.starts_with('-'));
    for target in targets {
        if !makefile.contains(&format!("\n{target}:")) {
            return Err(format!("the Makefile has no {target}"));
        }
    }
    Ok(())
}

/// The simple commands of a script as words, without variables, redirections and here-documents. It
/// supports the part of the shell's grammar that pages use.
fn commands(script: &str) -> Vec<Vec<String>> {
    let mut all = Vec::new();
    let mut lines = script.lines();
    while let Some(first) = lines.next() {
        let mut line = first.to_owned();
        // Quotes and backslashes continue in the next line.
        while line.ends_with('\\') || line.matches('\'').count() % 2 == 1 {
            let Some(next) = lines.next() else { break };
            line = match line.strip_suffix('\\') {
                Some(begun) => format!("{begun} {next}"),
                None => format!("{line}\n{next}"),
            };
        }
        if let Some((_, end)) = line.split_once("<<") {
            let end = end
                .trim_start_matches('-')
                .split_whitespace()
                .next()
                .unwrap_or_default();
            let end = end.trim_matches(['\'', '"', '<']).to_owned();
            // `<<<` is a here-string and not a here-document.
            if !line.contains("<<<") {
                lines.by_ref().find(|line| line.trim() == end);
            }
        }
        all.extend(in_line(&line));
    }
    all
}

fn in_line(line: &str) -> Vec<Vec<String>> {
    let mut all = vec![Vec::new()];
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (Some('"'), '\\') => word.get_or_insert_default().extend(chars.next()),
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                word.get_or_insert_default();
                quote = Some(c);
            }
            (None, '\\') => word.get_or_insert_default().extend(chars.next()),
            (None, '#') if word.is_none() => break,
            // `2>&1` is one word.
            (None, '&') if word.as_deref().is_some_and(|word| word.ends_with('>')) => {
                word.get_or_insert_default().push(c);
            }
            (None, '|' | '&' | ';' | '(' | ')') => {
                end(&mut all, word.take());
                all.push(Vec::new());
            }
            (None, c) if c.is_whitespace() => end(&mut all, word.take()),
            (None, c) => word.get_or_insert_default().push(c),
        }
    }
    end(&mut all, word);
    all.into_iter()
        .map(plain)
        .filter(|words| !words.is_empty())
        .collect()
}

fn end(all: &mut [Vec<String>], word: Option<String>) {
    if let Some((last, word)) = all.last_mut().zip(word) {
        last.push(word);
    }
}

/// The words without redirections and variable assignments.
fn plain(words: Vec<String>) -> Vec<String> {
    let mut kept = Vec::new();
    let mut skip = false;
    for word in words {
        let bare = word.trim_start_matches(|c: char| c.is_ascii_digit());
        if std::mem::take(&mut skip) {
        } else if bare.starts_with(['>', '<']) {
            skip = bare.trim_start_matches(['>', '<', '&']).is_empty();
        } else if !(kept.is_empty() && is_setting(&word)) && word != "$" {
            kept.push(word);
        }
    }
    kept
}

fn is_setting(word: &str) -> bool {
    let name = word.split_once('=').map(|(name, _)| name);
    name.is_some_and(|name| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    })
}

#[test]
fn commands_are_found_as_the_shell_finds_them() {
    let script = "PGPASSWORD=$(twinkey secret get a --field password) \\\n  psql -U \"$user\" > x 2>&1\n\
        cat > f <<'T'\ntwinkey nonsense\nT\ntwinkey serve &   # a comment\ntwinkey rotate a --reason \"first one\" | cat\n";
    let words = |text: &str| -> Vec<String> { text.split(' ').map(str::to_owned).collect() };
    let mut reason = words("twinkey rotate a --reason");
    reason.push("first one".into());
    assert_eq!(
        commands(script),
        [
            words("twinkey secret get a --field password"),
            words("psql -U $user"),
            words("cat"),
            words("twinkey serve"),
            reason,
            words("cat"),
        ]
    );
}
