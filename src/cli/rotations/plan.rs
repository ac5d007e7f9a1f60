//! `twinkey plan`: the exact statements that the step `set` would execute now.

use crate::rotation::commands::plan::Plan;

use crate::cli::context::{Context, Purpose};
use crate::cli::failure::Failure;
use crate::cli::output::{self, DIM, STRONG};
use crate::cli::remote::Target;
use twinkey_core::printable::escaped;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Name of the rotation
    name: String,
    /// Print the plan as JSON
    #[arg(long)]
    json: bool,
}

pub(in crate::cli) async fn run(target: &Target<'_>, args: Args) -> Result<(), Failure> {
    let plan: Plan = match target {
        Target::Local(config) => {
            Context::with(*config, Purpose::Read, async |context| {
                let rotation = context.rotation(&args.name)?;
                Ok(context.rotator.plan(rotation).await?)
            })
            .await?
        }
        Target::Worker(worker) => {
            let path = ["rotations", args.name.as_str(), "plan"];
            worker.get(&path, &[]).await?
        }
    };
    if args.json {
        output::json(&plan)?;
    } else {
        print(&plan);
    }
    match plan.refused {
        None => Ok(()),
        Some(_) if args.json => Err(Failure::Printed),
        Some(problem) => Err(Failure::Problem(problem)),
    }
}

fn print(plan: &Plan) {
    let store = (plan.store.as_ref()).map_or_else(String::new, |name| format!(" in {name}"));
    anstream::println!(
        "{STRONG}{}{STRONG:#}{store}: {} -> {STRONG}{}{STRONG:#}  {DIM}{}{DIM:#}",
        plan.rotation,
        escaped(&plan.active_user),
        escaped(&plan.standby_user),
        escaped(&plan.server)
    );
    for change in &plan.changes {
        let database = change
            .database
            .as_ref()
            .map_or_else(String::new, |db| format!(" (in database {db:?})"));
        anstream::println!(
            "\n{DIM}-- {}{database}{DIM:#}\n{};",
            change.why,
            escaped_lines(&change.statement.to_string())
        );
    }
    if !plan.findings.is_empty() {
        anstream::println!();
    }
    for finding in &plan.findings {
        anstream::println!("{}", output::finding_line(finding));
    }
}

/// A statement may have lines. Names in it are as the database has them.
fn escaped_lines(statement: &str) -> String {
    let lines: Vec<_> = statement.split('\n').map(escaped).collect();
    lines.join("\n")
}
