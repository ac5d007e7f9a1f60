//! A text as the output of `SHOW GRANTS`: parsed lines are parsed completely, and stay the same
//! when written and parsed again.
//!
//! The parser is exported with `--cfg fuzzing` only, which cargo-fuzz sets.
#![no_main]
#![cfg(fuzzing)]

use libfuzzer_sys::fuzz_target;
use twinkey_engines::mysql::fuzzing::parses_completely;

fuzz_target!(|text: &str| {
    for line in text.lines() {
        parses_completely(line);
    }
});
