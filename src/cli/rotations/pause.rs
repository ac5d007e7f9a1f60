//! `twinkey pause` and `twinkey resume`: the schedule of a rotation.

use crate::cli::context::{Purpose, find, settings, with_journal};
use crate::cli::failure::Failure;
use crate::cli::output;
use crate::cli::remote::Target;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Name of the rotation
    name: String,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

pub(in crate::cli) async fn run(
    target: &Target<'_>,
    args: Args,
    paused: bool,
) -> Result<(), Failure> {
    match target {
        Target::Local(config) => {
            let settings = settings(*config)?;
            find(&settings, &args.name)?;
            with_journal(&settings.journal, Purpose::Change, async |journal| {
                journal.set_paused(&args.name, paused).await
            })
            .await?;
            tracing::debug!(rotation = %args.name, paused, "schedule paused or resumed");
        }
        Target::Worker(worker) => {
            let action = if paused { "pause" } else { "resume" };
            let body = serde_json::json!({});
            worker
                .post::<serde_json::Value>(&["rotations", &args.name, action], &body)
                .await?;
        }
    }
    if args.json {
        return output::json(&serde_json::json!({"rotation": args.name, "paused": paused}));
    }
    if paused {
        anstream::println!("{}: paused; `twinkey rotate` still works", args.name);
    } else {
        anstream::println!("{}: schedule resumed", args.name);
    }
    Ok(())
}
