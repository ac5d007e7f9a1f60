//! What is searched, and for what: eight characters in a row of any password, as they are or in base64.
//!
//! What can go wrong: nothing is found because nothing was looked at, or because a password was not
//! known. Empty texts are refused where there must be some, and what is kept is searched in the end, when
//! every password is known.

use std::collections::{BTreeSet, HashSet};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

const PIECE: usize = 8;

#[derive(Default)]
pub struct Scan {
    passwords: BTreeSet<String>,
    /// What left the process, and by which way.
    kept: Vec<(String, Vec<u8>)>,
}

impl Scan {
    /// There is, or was, this password.
    pub fn knows(&mut self, password: &str) {
        assert!(password.len() >= PIECE, "too short to be searched for");
        self.passwords.insert(password.to_owned());
    }

    pub fn passwords(&self) -> usize {
        self.passwords.len()
    }

    /// Keeps what is to be searched.
    pub fn keep(&mut self, what: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.kept.push((what.into(), bytes.into()));
    }

    /// Keeps the command line and the environment of a running process.
    pub fn keep_process(&mut self, pid: u32, what: &str) {
        for file in ["cmdline", "environ"] {
            if let Ok(bytes) = std::fs::read(format!("/proc/{pid}/{file}")) {
                self.keep(format!("{file} of {what}"), bytes);
            }
        }
    }

    /// Keeps what must not be empty.
    pub fn keep_some(&mut self, what: &str, bytes: impl Into<Vec<u8>>) {
        let bytes = bytes.into();
        assert!(!bytes.is_empty(), "{what} is empty: nothing was looked at");
        self.keep(what, bytes);
    }

    /// Keeps every file in a folder and below it, and gives their names.
    pub fn keep_files(&mut self, folder: &Path) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                names.extend(self.keep_files(&path));
            } else {
                let bytes = std::fs::read(&path).unwrap();
                names.insert(path.file_name().unwrap().to_string_lossy().into_owned());
                self.keep(format!("the file {}", path.display()), bytes);
            }
        }
        names
    }

    /// Where in these bytes a piece of a password begins, if one is there.
    pub fn finds(&self, bytes: &[u8]) -> Option<usize> {
        find(&self.pieces(), bytes)
    }

    fn pieces(&self) -> HashSet<[u8; PIECE]> {
        let mut texts: Vec<String> = self.passwords.iter().cloned().collect();
        for password in &self.passwords {
            // In a longer text that is encoded, a password begins at any of three places; the characters
            // at its ends depend on its neighbours.
            for skipped in 0..3 {
                let encoded = STANDARD.encode(&password.as_bytes()[skipped..]);
                texts.push(encoded[..encoded.len() - 4].to_owned());
            }
        }
        let pieces = texts.iter().flat_map(|text| text.as_bytes().windows(PIECE));
        pieces.map(|piece| piece.try_into().unwrap()).collect()
    }

    /// Nothing of what was kept holds a piece. Says where one is, and never which.
    pub fn assert_clean(&self) {
        let pieces = self.pieces();
        let leaks: Vec<String> = self
            .kept
            .iter()
            .filter_map(|(what, bytes)| Some(format!("{what}, byte {}", find(&pieces, bytes)?)))
            .collect();
        assert!(
            leaks.is_empty(),
            "a piece of a password is in:\n{}",
            leaks.join("\n")
        );
        let bytes: usize = self.kept.iter().map(|(_, bytes)| bytes.len()).sum();
        println!(
            "{} passwords, nowhere in {bytes} bytes of {} texts and files",
            self.passwords.len(),
            self.kept.len()
        );
    }
}

fn find(pieces: &HashSet<[u8; PIECE]>, bytes: &[u8]) -> Option<usize> {
    bytes
        .windows(PIECE)
        .position(|window| <[u8; PIECE]>::try_from(window).is_ok_and(|w| pieces.contains(&w)))
}

#[test]
fn a_piece_is_found_wherever_it_stands_and_encoded_too() {
    let mut scan = Scan::default();
    scan.knows("correct-horse-battery");
    for leak in [
        "x=correct-h",
        "…ct-horse-…",
        "battery correct-horse-battery",
    ] {
        assert!(scan.finds(leak.as_bytes()).is_some(), "{leak}");
    }
    for before in ["", "a", "ab"] {
        let encoded = STANDARD.encode(format!("{before}correct-horse-battery;"));
        assert!(scan.finds(encoded.as_bytes()).is_some(), "{encoded}");
    }
    assert_eq!(scan.finds(b"correct horse battery, correct"), None);
}
