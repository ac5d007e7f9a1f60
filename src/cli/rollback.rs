//! `twinkey rollback`: AWSCURRENT back to AWSPREVIOUS, once that is proved to sign in.

use std::path::Path;

use crate::rotation::event::Event;
use crate::rotation::rollback::rollback;
use crate::rotation::scene::Task;

use crate::telemetry::AUDIT;

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
    let rotator = &context.rotator;
    let task = Task {
        lock: true,
        ..context.preview(rotation).await?
    };
    let done = rollback(&rotator.site, &task).await?;
    let now = rotator.site.clock.now();
    rotator.journal.flipped(&rotation.name, now).await?;
    rotator
        .journal
        .seen(None, &rotation.name, &done.seen)
        .await?;
    tracing::warn!(target: AUDIT, rotation = %rotation.name, from = %done.from_user, to = %done.to_user, reason = args.reason.as_deref().unwrap_or_default(), "rolled back");
    rotator.events.send(Event::RolledBack {
        rotation: rotation.name.clone(),
        from_user: done.from_user.clone(),
        to_user: done.to_user.clone(),
        reason: args.reason,
    });
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
