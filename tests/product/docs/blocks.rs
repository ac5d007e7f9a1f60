//! The code blocks of pages and their marks.

use std::path::{Path, PathBuf};

/// The mark in a comment before a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mark {
    None,
    /// Between `<!-- walk -->` and `<!-- /walk -->`: executed by scripts/readme-walk.
    Walk,
    /// `<!-- run -->` or `<!-- run postgres -->`: executed.
    Run(Option<String>),
    /// `<!-- needs AWS -->`: parsed, because it cannot run here.
    Needs(String),
    /// `<!-- example -->`: incomplete, or not the input of a program.
    Example,
    /// `<!-- file PATH -->`: the content of that file.
    File(String),
    Unknown(String),
}

#[derive(Debug, Clone)]
pub struct Block {
    /// The path from the root of the repository.
    pub page: String,
    /// The number of its first line.
    pub line: usize,
    pub language: String,
    pub text: String,
    pub mark: Mark,
}

pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The path of every page, from the root of the repository.
pub fn pages() -> Vec<PathBuf> {
    let mut pages = Vec::new();
    let mut folders = vec![repository().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let ours = !name.starts_with('.') && name != "target" && name != "node_modules";
            if ours && path.is_dir() {
                folders.push(path);
            } else if ours && name.ends_with(".md") {
                pages.push(path.strip_prefix(repository()).unwrap().to_owned());
            }
        }
    }
    pages.sort();
    pages
}

pub fn all_blocks() -> Vec<Block> {
    let page = |path: PathBuf| {
        let text = std::fs::read_to_string(repository().join(&path)).unwrap();
        read(&path.to_string_lossy(), &text)
    };
    pages().into_iter().flat_map(page).collect()
}

pub fn read(page: &str, text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    let (mut mark, mut walk) = (Mark::None, false);
    for (n, whole) in text.lines().enumerate() {
        let line = whole.trim_start();
        if let Some(block) = &mut open {
            if line.starts_with("```") {
                blocks.extend(open.take());
            } else {
                block.text.push_str(whole);
                block.text.push('\n');
            }
        } else if let Some(language) = line.strip_prefix("```") {
            let marked = std::mem::replace(&mut mark, Mark::None);
            open = Some(Block {
                page: page.to_owned(),
                line: n + 2,
                language: language.to_owned(),
                text: String::new(),
                mark: if walk && marked == Mark::None {
                    Mark::Walk
                } else {
                    marked
                },
            });
        } else if let Some(comment) = line
            .strip_prefix("<!-- ")
            .and_then(|l| l.strip_suffix(" -->"))
        {
            match comment {
                "walk" => walk = true,
                "/walk" => walk = false,
                comment => mark = read_mark(comment),
            }
        } else if !line.is_empty() {
            mark = Mark::None;
        }
    }
    assert!(open.is_none(), "{page}: a block has no end");
    blocks
}

fn read_mark(comment: &str) -> Mark {
    match comment.split_once(' ').unwrap_or((comment, "")) {
        ("run", "") => Mark::Run(None),
        ("run", what) => Mark::Run(Some(what.to_owned())),
        ("needs", what) if !what.is_empty() => Mark::Needs(what.to_owned()),
        ("example", "") => Mark::Example,
        ("file", path) if !path.is_empty() => Mark::File(path.to_owned()),
        _ => Mark::Unknown(comment.to_owned()),
    }
}
