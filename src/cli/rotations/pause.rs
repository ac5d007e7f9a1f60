//! `twinkey pause` and `twinkey resume`: the schedule of a rotation.

use chrono::{DateTime, Utc};

use crate::cli::actor::cause;
use crate::cli::context::{Purpose, find, settings, with_journal};
use crate::cli::failure::Failure;
use crate::cli::output;
use crate::cli::remote::Target;
use crate::journal::{AuditAction, AuditRecord};
use twinkey_core::telemetry::Clock;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct PauseArgs {
    #[command(flatten)]
    schedule: Args,
    /// End of the pause (RFC 3339); without it, `twinkey resume` ends the pause
    #[arg(long, value_name = "TIME")]
    until: Option<DateTime<Utc>>,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Name of the rotation
    name: String,
    /// Reason, for the record
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

pub(in crate::cli) async fn pause(target: &Target<'_>, args: PauseArgs) -> Result<(), Failure> {
    let PauseArgs { schedule, until } = args;
    let now = Clock::system().now();
    if until.is_some_and(|until| until <= now) {
        return Err(Failure::usage(
            "--until is not in the future",
            "give a later time, such as 2027-01-31T08:00:00Z",
        ));
    }
    set_paused(target, &schedule, true, until).await?;
    if schedule.json {
        let result = serde_json::json!({"rotation": schedule.name, "paused": true, "until": until});
        return output::json(&result);
    }
    let end = until.map_or_else(String::new, |at| {
        format!(" until {}", output::time(Some(at)))
    });
    anstream::println!(
        "{}: paused{end}; `twinkey rotate` still works",
        schedule.name
    );
    Ok(())
}

pub(in crate::cli) async fn resume(target: &Target<'_>, args: Args) -> Result<(), Failure> {
    set_paused(target, &args, false, None).await?;
    if args.json {
        return output::json(&serde_json::json!({"rotation": args.name, "paused": false}));
    }
    anstream::println!("{}: schedule resumed", args.name);
    Ok(())
}

async fn set_paused(
    target: &Target<'_>,
    args: &Args,
    paused: bool,
    until: Option<DateTime<Utc>>,
) -> Result<(), Failure> {
    let action = if paused {
        AuditAction::Pause
    } else {
        AuditAction::Resume
    };
    match target {
        Target::Local(config) => {
            let settings = settings(*config)?;
            find(&settings, &args.name)?;
            let (cause, now) = (cause(args.reason.clone()), Clock::system().now());
            let record = AuditRecord::done(action, &args.name, cause, now);
            let pause = paused.then(|| record.as_pause(until));
            with_journal(&settings.journal, Purpose::Change, async |journal| {
                journal
                    .set_paused(&args.name, pause.as_ref(), &record)
                    .await
            })
            .await?;
            tracing::debug!(rotation = %args.name, paused, "schedule paused or resumed");
        }
        Target::Worker(worker) => {
            let mut body = serde_json::json!({});
            // A worker of version 0.1 refuses unknown fields.
            if let Some(reason) = &args.reason {
                body["reason"] = reason.as_str().into();
            }
            if let Some(until) = until {
                body["until"] = serde_json::json!(until);
            }
            let path = ["rotations", &args.name, action.as_str()];
            worker.post::<serde_json::Value>(&path, &body).await?;
        }
    }
    Ok(())
}
