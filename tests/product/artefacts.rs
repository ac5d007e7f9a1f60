//! The version, which is Cargo.toml's in everything that is shipped.

use std::path::Path;

const VERSION: &str = env!("CARGO_PKG_VERSION");

fn read(file: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}

#[test]
fn everything_that_is_shipped_says_the_version_of_the_crate() {
    for (file, says) in [
        ("Dockerfile", format!("\nARG VERSION={VERSION}\n")),
        ("docs/openapi.json", format!("\"version\": \"{VERSION}\"")),
        (
            "deploy/ecs/task-definition.json",
            format!("/twinkey:{VERSION}\""),
        ),
    ] {
        assert!(read(file).contains(&says), "{file} does not say {says:?}");
    }
}

#[test]
fn the_image_is_built_with_the_rust_that_the_crate_asks_for() {
    let asked = env!("CARGO_PKG_RUST_VERSION");
    let says = format!("\nARG RUST=rust:{asked}-");
    assert!(read("Dockerfile").contains(&says), "{says:?}");
}
