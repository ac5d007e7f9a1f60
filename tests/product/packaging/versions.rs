//! The version in shipped files, which is that of Cargo.toml.

use std::path::Path;

const VERSION: &str = env!("CARGO_PKG_VERSION");

fn read(file: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}

#[test]
fn all_shipped_files_have_the_version_of_the_crate() {
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
fn the_image_is_built_with_the_rust_version_of_the_crate() {
    let asked = env!("CARGO_PKG_RUST_VERSION");
    let says = format!("\nARG RUST=rust:{asked}-");
    assert!(read("Dockerfile").contains(&says), "{says:?}");
}
