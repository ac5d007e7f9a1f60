//! `twinkey check`: a read-only check that a rotation would succeed.

use std::path::Path;

use crate::admin::exposure::plain_http;
use crate::config::file_access::FileFinding;
use crate::config::settings::{Server, Settings};
use crate::rotation::commands::check::{Report, offline};
use twinkey_core::printable::escaped;
use twinkey_engines::{Finding, Severity};

use crate::cli::context::{self, Context, Purpose, check_files, settings};
use crate::cli::failure::Failure;
use crate::cli::output::{self, GOOD, STRONG};
use crate::cli::remote::{RemoteWorker, Target};
use crate::cli::rotations::named_files;
use crate::cli::selection::{self, select};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Names of rotations, or patterns such as 'prod-*'; all by default
    names: Vec<String>,
    /// Check only the config
    #[arg(long)]
    offline: bool,
    /// Print the findings as JSON
    #[arg(long)]
    json: bool,
}

pub(in crate::cli) async fn run(target: &Target<'_>, args: Args) -> Result<(), Failure> {
    let reports = match target {
        Target::Local(config) if args.offline => offline_reports(*config, &args.names)?,
        Target::Local(config) => local_reports(*config, &args.names).await?,
        Target::Worker(_) if args.offline => {
            return Err(Failure::usage(
                "--offline checks a local config, and --server checks through a worker",
                "leave out one of them",
            ));
        }
        Target::Worker(worker) => remote_reports(worker, &args.names).await?,
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
    let names = select(names, &context::names(&settings))?;
    let files = file_report(check_files(config, &settings)?, &settings);
    let selected = settings.rotations.iter();
    Ok(selected
        .filter(|r| names.contains(&r.name))
        .map(|r| Report {
            rotation: r.name.clone(),
            passed: vec!["the config is valid".into()],
            findings: [offline(r), named_files::of_rotation(r)].concat(),
            standby_sessions: None,
        })
        .chain(server_report(&settings.server))
        .chain(files)
        .collect())
}

async fn local_reports(config: Option<&Path>, names: &[String]) -> Result<Vec<Report>, Failure> {
    // Before the store opens the key file.
    let settings = settings(config)?;
    let files = file_report(check_files(config, &settings)?, &settings);
    Context::with(config, Purpose::Read, async |context| {
        let names = select(names, &context::names(&context.settings))?;
        let mut reports = Vec::new();
        let server = server_report(&context.settings.server);
        for rotation in &context.settings.rotations {
            if names.contains(&rotation.name) {
                reports.push(context.rotator.check(rotation).await?);
            }
        }
        reports.extend(server);
        reports.extend(files);
        Ok(reports)
    })
    .await
}

/// The findings about `[server]`, which is no name of a rotation; `None` without any.
fn server_report(server: &Server) -> Option<Report> {
    let finding = plain_http(server)?;
    Some(Report {
        rotation: "[server]".into(),
        passed: Vec::new(),
        findings: vec![finding],
        standby_sessions: None,
    })
}

/// The findings about files, which is no name of a rotation; `None` without any.
fn file_report(files: Vec<FileFinding>, settings: &Settings) -> Option<Report> {
    let files = files.into_iter().map(finding);
    let findings: Vec<Finding> = files.chain(named_files::of_worker(settings)).collect();
    (!findings.is_empty()).then(|| Report {
        rotation: "[files]".into(),
        passed: Vec::new(),
        findings,
        standby_sessions: None,
    })
}

fn finding(file: FileFinding) -> Finding {
    Finding {
        severity: Severity::Warning,
        code: None,
        what: match &*file.key {
            "" => file.what,
            key => format!("{key}: {}", file.what),
        },
        fix: Some(file.fix),
    }
}

async fn remote_reports(worker: &RemoteWorker, names: &[String]) -> Result<Vec<Report>, Failure> {
    let mut reports = Vec::new();
    for name in &selection::of_worker(worker, names).await? {
        reports.push(worker.get(&["rotations", name, "check"], &[]).await?);
    }
    Ok(reports)
}

fn print(report: &Report) {
    anstream::println!("{STRONG}{}{STRONG:#}", report.rotation);
    for passed in &report.passed {
        anstream::println!("  {GOOD}ok{GOOD:#}       {}", escaped(passed));
    }
    for finding in &report.findings {
        anstream::println!("  {}", output::finding_line(finding));
    }
}
