//! `twinkey rollback`: AWSCURRENT back to AWSPREVIOUS, after a sign-in test.

use crate::rotation::commands::rollback::{RollbackOrder, RollbackResult};

use crate::cli::actor::cause;
use crate::cli::context::{Context, Purpose};
use crate::cli::failure::Failure;
use crate::cli::output::{self, GOOD, STRONG};
use crate::cli::remote::Target;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Name of the rotation
    name: String,
    /// Reason, for the record
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Move AWSCURRENT also if it was rolled back before
    #[arg(long)]
    again: bool,
    /// The user that AWSCURRENT must have afterwards; by default the one of AWSPREVIOUS
    #[arg(long, value_name = "USER")]
    to: Option<String>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

pub(in crate::cli) async fn run(target: &Target<'_>, args: Args) -> Result<(), Failure> {
    let result = match target {
        Target::Local(config) => {
            Context::with(*config, Purpose::Change, async |context| {
                let rotation = context.rotation(&args.name)?;
                let order = RollbackOrder {
                    cause: cause(args.reason),
                    again: args.again,
                    to: args.to,
                };
                Ok(context.rotator.roll_back(rotation, order).await?.users)
            })
            .await?
        }
        Target::Worker(worker) => {
            let mut request = serde_json::json!({ "reason": args.reason });
            // A worker of version 0.1 refuses unknown fields.
            if args.again {
                request["again"] = true.into();
            }
            if let Some(to) = args.to {
                request["to"] = to.into();
            }
            let path = ["rotations", args.name.as_str(), "rollback"];
            worker.post::<RollbackResult>(&path, &request).await?
        }
    };
    if args.json {
        output::json(&result)
    } else {
        anstream::println!(
            "{GOOD}{}{GOOD:#}: rolled back from {} to {STRONG}{}{STRONG:#}",
            args.name,
            result.from_user,
            result.to_user
        );
        Ok(())
    }
}
