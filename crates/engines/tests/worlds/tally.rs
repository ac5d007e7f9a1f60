//! Numbers of the worlds of a server: outcomes, and statements by kind.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::seeds::MANY;

/// How a world ended.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    Rotated,
    /// A run was refused, and succeeded after the fixes of its findings.
    Mended,
}

/// The outcomes of all worlds.
#[derive(Default)]
pub struct Tally {
    /// Statements that succeeded and that failed, by kind.
    statements: BTreeMap<&'static str, [u32; 2]>,
    outcomes: BTreeMap<Outcome, u32>,
    failed: Vec<u64>,
}

impl Tally {
    pub fn statement(&mut self, kind: &'static str, succeeded: bool) {
        self.statements.entry(kind).or_default()[usize::from(!succeeded)] += 1;
    }

    /// A world that ended. The script and the reason of a failure are printed.
    pub fn world(&mut self, seed: u64, script: &str, outcome: Result<Outcome, String>) {
        match outcome {
            Ok(outcome) => *self.outcomes.entry(outcome).or_default() += 1,
            Err(failure) => {
                println!("{script}\n-- world {seed}: {failure}\n");
                println!("TWINKEY_WORLD_SEED={seed} TWINKEY_WORLDS=1 repeats it\n");
                self.failed.push(seed);
            }
        }
    }

    /// Prints the numbers, and fails if a world failed or none had a kind of statement.
    pub fn finish(self, server: &str, seeds: &Range<u64>) {
        println!("{server}, worlds {seeds:?}: {:#?}", self.outcomes);
        println!("statements [succeeded, failed]: {:?}", self.statements);
        println!("{} failures", self.failed.len());
        assert!(self.failed.is_empty(), "worlds failed: {:?}", self.failed);
        if seeds.end - seeds.start >= MANY {
            let never = self.statements.iter().filter(|(_, [done, _])| *done == 0);
            let never: Vec<_> = never.map(|(kind, _)| kind).collect();
            assert!(never.is_empty(), "no statement succeeded: {never:?}");
        }
    }
}
