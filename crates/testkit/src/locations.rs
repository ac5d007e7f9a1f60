//! Files of the checkout and of the build that tests use.

use std::path::{Path, PathBuf};

/// The folder of what `scripts/setup` installs beside the system's packages.
const CACHE_ENV: &str = "TWINKEY_CACHE";

/// The root of the checkout.
#[must_use]
pub fn workspace() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.ancestors().nth(2).unwrap_or(package)
}

/// `$TWINKEY_CACHE`, or `.cache` in the checkout.
#[must_use]
pub fn cache() -> PathBuf {
    std::env::var_os(CACHE_ENV).map_or_else(|| workspace().join(".cache"), PathBuf::from)
}

/// The `twinkey` program of this build: the one that Cargo built for the running test, else the
/// one beside the folder of the running program.
///
/// # Panics
/// The path of the running program is not available.
#[must_use]
pub fn twinkey_program() -> PathBuf {
    if let Some(program) = std::env::var_os("CARGO_BIN_EXE_twinkey") {
        return program.into();
    }
    let test = std::env::current_exe().expect("the path of the running test");
    let folder = test.ancestors().nth(2).expect("the build's folder");
    folder.join("twinkey")
}
