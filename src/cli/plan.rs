//! `twinkey plan`: the exact statements that `set` would carry out now.

use crate::rotation::commands::plan::Plan;

use super::check::severity;
use super::context::Context;
use super::failure::Failure;
use super::output::{self, DIM, STRONG};
use super::remote::Whom;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The rotation
    name: String,
    /// Print the plan as JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(whom: &Whom<'_>, args: Args) -> Result<(), Failure> {
    let plan: Plan = match whom {
        Whom::Here(config) => {
            Context::with(*config, async |context| {
                let rotation = context.rotation(&args.name)?;
                Ok(context.rotator.plan(rotation).await?)
            })
            .await?
        }
        Whom::There(worker) => {
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
    anstream::println!(
        "{STRONG}{}{STRONG:#}: {} -> {STRONG}{}{STRONG:#}  {DIM}{}{DIM:#}",
        plan.rotation,
        plan.active_user,
        plan.standby_user,
        plan.server
    );
    for change in &plan.changes {
        let place = change
            .database
            .as_ref()
            .map_or_else(String::new, |db| format!(" (in database {db:?})"));
        anstream::println!(
            "\n{DIM}-- {}{place}{DIM:#}\n{};",
            change.why,
            change.statement
        );
    }
    if !plan.findings.is_empty() {
        anstream::println!();
    }
    for finding in &plan.findings {
        anstream::println!("{}", severity(finding));
    }
}
