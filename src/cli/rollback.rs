//! `twinkey rollback`: AWSCURRENT back to AWSPREVIOUS, once that is proved to sign in.

use crate::rotation::commands::rollback::RollbackResult;

use super::context::Context;
use super::failure::Failure;
use super::output::{self, GOOD, STRONG};
use super::remote::Whom;

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

pub(super) async fn run(whom: &Whom<'_>, args: Args) -> Result<(), Failure> {
    let done = match whom {
        Whom::Here(config) => {
            Context::with(*config, async |context| {
                let rotation = context.rotation(&args.name)?;
                Ok(context.rotator.roll_back(rotation, args.reason).await?.users)
            })
            .await?
        }
        Whom::There(worker) => {
            let wish = serde_json::json!({ "reason": args.reason });
            let path = ["rotations", args.name.as_str(), "rollback"];
            worker.post::<RollbackResult>(&path, &wish).await?
        }
    };
    if args.json {
        output::json(&done)
    } else {
        anstream::println!(
            "{GOOD}{}{GOOD:#}: back from {} to {STRONG}{}{STRONG:#}",
            args.name,
            done.from_user,
            done.to_user
        );
        Ok(())
    }
}
