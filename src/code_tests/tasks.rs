//! Tasks are started in one module, which names and supervises them.

use std::path::{Path, PathBuf};

/// The module that starts tasks.
const MODULE: &str = "crates/core/src/tasks.rs";

/// The sources of the program.
const SOURCES: [&str; 4] = [
    "src",
    "crates/core/src",
    "crates/engines/src",
    "crates/stores/src",
];

/// What starts a task without a name, or a thread.
const STARTS: [&str; 7] = [
    "tokio::spawn(",
    "task::spawn(",
    "spawn_on(",
    "spawn_local(",
    "thread::spawn(",
    "thread::Builder",
    "JoinSet",
];

/// The Rust files below a folder, without tests.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap();
        if stem == "tests" || stem == "code_tests" {
            continue;
        }
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The lines of a file that start tasks, outside its tests.
fn starts(text: &str) -> Vec<&str> {
    let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    let lines = code.lines().map(str::trim_start);
    let mut found: Vec<&str> = lines
        .filter(|line| !line.starts_with("//"))
        .filter(|line| STARTS.iter().any(|start| line.contains(start)))
        .collect();
    // The first argument of `Tasks::spawn` is a name, and `Command::spawn` has none.
    let unnamed = (code.split(".spawn(").skip(1))
        .filter(|arguments| !arguments.trim_start().starts_with(['"', ')']))
        .filter_map(|arguments| arguments.lines().next());
    found.extend(unnamed);
    found
}

#[test]
fn tasks_are_started_in_one_module() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in SOURCES {
        sources(&root.join(folder), &mut files);
    }
    assert!(files.len() > 300, "{} files", files.len());
    assert!(files.contains(&root.join(MODULE)));
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let found = starts(&text);
        assert_eq!(
            file == root.join(MODULE),
            !found.is_empty(),
            "{}: start tasks with `Tasks` ({MODULE}): {found:?}",
            file.display()
        );
    }
}
