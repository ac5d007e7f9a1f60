//! `twinkey pause` and `twinkey resume`.

use super::context::{find, settings, with_journal};
use super::failure::Failure;
use super::output;
use super::remote::Whom;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The rotation
    name: String,
    /// Print what was done as JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(whom: &Whom<'_>, args: Args, paused: bool) -> Result<(), Failure> {
    match whom {
        Whom::Here(config) => {
            let settings = settings(*config)?;
            find(&settings, &args.name)?;
            with_journal(&settings.journal, async |journal| {
                journal.set_paused(&args.name, paused).await
            })
            .await?;
            tracing::debug!(rotation = %args.name, paused, "schedule paused or resumed");
        }
        Whom::There(worker) => {
            let action = if paused { "pause" } else { "resume" };
            let nothing = serde_json::json!({});
            worker
                .post::<serde_json::Value>(&["rotations", &args.name, action], &nothing)
                .await?;
        }
    }
    if args.json {
        return output::json(&serde_json::json!({"rotation": args.name, "paused": paused}));
    }
    if paused {
        anstream::println!("{}: paused; `twinkey rotate` still works", args.name);
    } else {
        anstream::println!("{}: its schedule is armed again", args.name);
    }
    Ok(())
}
