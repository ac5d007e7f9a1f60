//! `twinkey check`: the read-only preflight, one line a finding, each with the fix.

use std::path::Path;

use crate::rotation::commands::check::{Report, offline};
use crate::worker::views::RotationView;
use twinkey_engines::{Finding, Severity};

use super::context::{Context, find, settings};
use super::failure::Failure;
use super::output::{self, BAD, DIM, GOOD, STRONG, WARN};
use super::remote::{Remote, Whom};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The rotations; all of them when none is named
    names: Vec<String>,
    /// Look at the config alone
    #[arg(long)]
    offline: bool,
    /// Print the findings as JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(whom: &Whom<'_>, args: Args) -> Result<(), Failure> {
    let reports = match whom {
        Whom::Here(config) if args.offline => offline_reports(*config, &args.names)?,
        Whom::Here(config) => reports(*config, &args.names).await?,
        Whom::There(_) if args.offline => {
            return Err(Failure::usage(
                "--offline looks at a config here, and --server at a worker's",
                "leave out one of them",
            ));
        }
        Whom::There(worker) => there(worker, &args.names).await?,
    };
    if args.json {
        output::json(&reports)?;
    } else {
        for report in &reports {
            print(report);
        }
    }
    if reports.iter().any(Report::failed) {
        return Err(Failure::Printed);
    }
    Ok(())
}

fn offline_reports(config: Option<&Path>, names: &[String]) -> Result<Vec<Report>, Failure> {
    let settings = settings(config)?;
    for name in names {
        find(&settings, name)?;
    }
    Ok(settings
        .rotations
        .iter()
        .filter(|r| names.is_empty() || names.contains(&r.name))
        .map(|r| Report {
            rotation: r.name.clone(),
            passed: vec!["the config is valid".into()],
            findings: offline(r),
            standby_sessions: None,
        })
        .collect())
}

async fn reports(config: Option<&Path>, names: &[String]) -> Result<Vec<Report>, Failure> {
    Context::with(config, async |context| {
        for name in names {
            context.rotation(name)?;
        }
        let mut reports = Vec::new();
        for rotation in &context.settings.rotations {
            if names.is_empty() || names.contains(&rotation.name) {
                reports.push(context.rotator.check(rotation).await?);
            }
        }
        Ok(reports)
    })
    .await
}

async fn there(worker: &Remote, names: &[String]) -> Result<Vec<Report>, Failure> {
    let names = if names.is_empty() {
        let all: Vec<RotationView> = worker.get(&["rotations"], &[]).await?;
        all.into_iter().map(|rotation| rotation.name).collect()
    } else {
        names.to_vec()
    };
    let mut reports = Vec::new();
    for name in &names {
        reports.push(worker.get(&["rotations", name, "check"], &[]).await?);
    }
    Ok(reports)
}

fn print(report: &Report) {
    anstream::println!("{STRONG}{}{STRONG:#}", report.rotation);
    for passed in &report.passed {
        anstream::println!("  {GOOD}ok{GOOD:#}       {passed}");
    }
    for finding in &report.findings {
        anstream::println!("  {}", severity(finding));
    }
}

/// A finding as one line, with its fix under it.
pub(super) fn severity(finding: &Finding) -> String {
    let (style, word) = match finding.severity {
        Severity::Note => (DIM, "note"),
        Severity::Warning => (WARN, "warning"),
        Severity::Error => (BAD, "error"),
    };
    let code = finding
        .code
        .map_or_else(String::new, |code| format!(" {DIM}[{code}]{DIM:#}"));
    let fix = finding.fix.as_ref().map_or_else(String::new, |fix| {
        format!("\n           {DIM}fix:{DIM:#} {fix}")
    });
    format!("{style}{word:<7}{style:#}  {}{code}{fix}", finding.what)
}
