//! The cost of rotations, as ratios measured in one run: `make bench`, or `cargo bench -- one many
//! lag idle fleet` for some of them. docs/performance.md explains the results.
//!
//! # Failure modes
//! - The machine is noisy: both sides of a ratio are measured in turns or one after the other, on
//!   the same servers.

mod fixture;
mod fleet;
mod idle;
mod lag;
mod many;
mod one;

pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[tokio::main]
async fn main() -> Result<()> {
    let asked: Vec<String> = std::env::args().skip(1).collect();
    let names: Vec<&str> = asked
        .iter()
        .map(String::as_str)
        .filter(|name| !name.starts_with('-'))
        .collect();
    let wanted = |name: &str| names.is_empty() || names.contains(&name);
    if wanted("one") {
        one::run().await?;
    }
    if wanted("many") {
        many::run().await?;
    }
    if wanted("lag") {
        lag::run().await?;
    }
    if wanted("idle") {
        idle::run().await?;
    }
    if wanted("fleet") {
        fleet::run().await?;
    }
    Ok(())
}
