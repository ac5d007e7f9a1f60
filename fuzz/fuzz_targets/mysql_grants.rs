//! Any text as the answer of `SHOW GRANTS`: what is understood, is understood whole, and written out
//! and read again it is the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use twinkey_engines::mysql::fuzzing::parses_completely;

fuzz_target!(|text: &str| {
    for line in text.lines() {
        parses_completely(line);
    }
});
