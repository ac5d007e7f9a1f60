//! `twinkey rollback`: AWSCURRENT back to AWSPREVIOUS, once that is proved to sign in.

use std::path::Path;

use super::context::Context;
use super::failure::Failure;
use super::output::{self, GOOD, STRONG};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The rotation
    name: String,
    /// Why, for the log
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Print what was done as JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(config: Option<&Path>, args: Args) -> Result<(), Failure> {
    let context = Context::open(config).await?;
    let rotation = context.rotation(&args.name)?;
    let done = context.rotator.roll_back(rotation, args.reason).await?;
    if args.json {
        output::json(&done)
    } else {
        anstream::println!(
            "{GOOD}{}{GOOD:#}: back from {} to {STRONG}{}{STRONG:#}",
            rotation.name,
            done.from_user,
            done.to_user
        );
        Ok(())
    }
}
