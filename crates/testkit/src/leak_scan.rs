//! A search for pieces of passwords: eight consecutive characters, in plain text or in base64.
//!
//! # Failure modes
//! - A text is empty and the search passes: [`LeakScan::add_nonempty`] rejects empty texts.
//! - A password is added after its leak: texts are searched at the end, for all passwords.

use std::collections::{BTreeSet, HashSet};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

const PIECE: usize = 8;

/// The passwords to search for, and the texts to search in.
#[derive(Default)]
pub struct LeakScan {
    passwords: BTreeSet<String>,
    /// Each text with its description.
    texts: Vec<(String, Vec<u8>)>,
}

impl LeakScan {
    /// Adds a password to search for.
    pub fn add_password(&mut self, password: &str) {
        assert!(password.len() >= PIECE, "the password is too short");
        self.passwords.insert(password.to_owned());
    }

    pub fn passwords(&self) -> usize {
        self.passwords.len()
    }

    /// Adds a text to search in.
    pub fn add_text(&mut self, what: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.texts.push((what.into(), bytes.into()));
    }

    /// Adds the command line and the environment of a running process.
    pub fn add_process(&mut self, pid: u32, what: &str) {
        for file in ["cmdline", "environ"] {
            if let Ok(bytes) = std::fs::read(format!("/proc/{pid}/{file}")) {
                self.add_text(format!("{file} of {what}"), bytes);
            }
        }
    }

    /// Adds a text that must not be empty.
    pub fn add_nonempty(&mut self, what: &str, bytes: impl Into<Vec<u8>>) {
        let bytes = bytes.into();
        assert!(!bytes.is_empty(), "{what} is empty");
        self.add_text(what, bytes);
    }

    /// Adds every file of a folder and its subfolders, and returns their names.
    pub fn add_files(&mut self, folder: &Path) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                names.extend(self.add_files(&path));
            } else {
                let bytes = std::fs::read(&path).unwrap();
                names.insert(path.file_name().unwrap().to_string_lossy().into_owned());
                self.add_text(format!("the file {}", path.display()), bytes);
            }
        }
        names
    }

    /// The offset of the first piece of a password in `bytes`.
    pub fn find_in(&self, bytes: &[u8]) -> Option<usize> {
        find(&self.pieces(), bytes)
    }

    fn pieces(&self) -> HashSet<[u8; PIECE]> {
        let mut texts: Vec<String> = self.passwords.iter().cloned().collect();
        for password in &self.passwords {
            // In an encoded text a password starts at one of three alignments. The characters at
            // its ends depend on its neighbours.
            for skipped in 0..3 {
                let encoded = STANDARD.encode(&password.as_bytes()[skipped..]);
                texts.push(encoded[..encoded.len() - 4].to_owned());
            }
        }
        let pieces = texts.iter().flat_map(|text| text.as_bytes().windows(PIECE));
        pieces.map(|piece| piece.try_into().unwrap()).collect()
    }

    /// Fails if a text contains a piece. The message has the offset and not the piece.
    pub fn assert_clean(&self) {
        let pieces = self.pieces();
        let leaks: Vec<String> = self
            .texts
            .iter()
            .filter_map(|(what, bytes)| Some(format!("{what}, byte {}", find(&pieces, bytes)?)))
            .collect();
        assert!(
            leaks.is_empty(),
            "a piece of a password is in:\n{}",
            leaks.join("\n")
        );
        let bytes: usize = self.texts.iter().map(|(_, bytes)| bytes.len()).sum();
        println!(
            "{} passwords, 0 found in {bytes} bytes of {} texts and files",
            self.passwords.len(),
            self.texts.len()
        );
    }
}

fn find(pieces: &HashSet<[u8; PIECE]>, bytes: &[u8]) -> Option<usize> {
    bytes
        .windows(PIECE)
        .position(|window| <[u8; PIECE]>::try_from(window).is_ok_and(|w| pieces.contains(&w)))
}

#[test]
fn a_piece_is_found_in_plain_text_and_in_base64() {
    let mut scan = LeakScan::default();
    scan.add_password("correct-horse-battery");
    for leak in [
        "x=correct-h",
        "…ct-horse-…",
        "battery correct-horse-battery",
    ] {
        assert!(scan.find_in(leak.as_bytes()).is_some(), "{leak}");
    }
    for before in ["", "a", "ab"] {
        let encoded = STANDARD.encode(format!("{before}correct-horse-battery;"));
        assert!(scan.find_in(encoded.as_bytes()).is_some(), "{encoded}");
    }
    assert_eq!(scan.find_in(b"correct horse battery, correct"), None);
}
