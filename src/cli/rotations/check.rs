//! `twinkey check`: a read-only check that a rotation would succeed.

use std::cmp::Reverse;
use std::path::Path;

use futures_util::{StreamExt, TryStreamExt, stream};

use crate::admin::exposure::plain_http;
use crate::config::file_access::FileFinding;
use crate::config::settings::{Server, Settings};
use crate::rotation::commands::check::{Report, offline};
use crate::worker::state::MAX_OBSERVATIONS;
use twinkey_core::printable::escaped;
use twinkey_engines::{Finding, Severity};

use crate::cli::context::{Context, Purpose, check_files, settings};
use crate::cli::failure::Failure;
use crate::cli::output::{self, DIM, GOOD, STRONG};
use crate::cli::remote::{RemoteWorker, Target};
use crate::cli::rotations::named_files;
use crate::cli::selection::Selection;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    selection: Selection,
    /// Check only the config
    #[arg(long)]
    offline: bool,
    /// Print the findings as JSON
    #[arg(long)]
    json: bool,
}

pub(in crate::cli) async fn run(target: &Target<'_>, args: Args) -> Result<(), Failure> {
    let mut reports = match target {
        Target::Local(config) if args.offline => offline_reports(*config, &args.selection)?,
        Target::Local(config) => local_reports(*config, &args.selection).await?,
        Target::Worker(_) if args.offline => {
            return Err(Failure::usage(
                "--offline checks a local config, and --server checks through a worker",
                "leave out one of them",
            ));
        }
        Target::Worker(worker) => remote_reports(worker, &args.selection).await?,
    };
    if args.json {
        output::json(&reports)?;
    } else {
        // The sort is stable: among equals, the config's order stays.
        reports.sort_by_key(|report| Reverse(worst(report)));
        for report in &reports {
            print(report);
        }
        if !reports.iter().any(is_of_rotation) {
            output::no_rotations("checked");
        }
        if reports.len() > 1 {
            anstream::println!("{DIM}{}{DIM:#}", totals(&reports));
        }
    }
    if reports.iter().any(Report::failed) {
        return Err(Failure::Printed);
    }
    Ok(())
}

fn offline_reports(config: Option<&Path>, selection: &Selection) -> Result<Vec<Report>, Failure> {
    let settings = settings(config)?;
    let names = selection.names_of_config(&settings)?;
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

async fn local_reports(
    config: Option<&Path>,
    selection: &Selection,
) -> Result<Vec<Report>, Failure> {
    // Before the store opens the key file.
    let settings = settings(config)?;
    let files = file_report(check_files(config, &settings)?, &settings);
    Context::with(config, Purpose::Read, async |context| {
        let Context {
            settings, rotator, ..
        } = context;
        let names = selection.names(settings, &*rotator.journal).await?;
        let rotations = settings.rotations.iter();
        let selected = rotations.filter(|rotation| names.contains(&rotation.name));
        let checks = selected.map(|rotation| rotator.check(rotation));
        let checks = stream::iter(checks).buffered(MAX_OBSERVATIONS);
        let mut reports: Vec<Report> = checks.try_collect().await?;
        reports.extend(server_report(&settings.server));
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

async fn remote_reports(
    worker: &RemoteWorker,
    selection: &Selection,
) -> Result<Vec<Report>, Failure> {
    let names = selection.names_of(worker).await?;
    let checks = names.iter().map(|name| async move {
        worker
            .get::<Report>(&["rotations", name, "check"], &[])
            .await
    });
    stream::iter(checks)
        .buffered(MAX_OBSERVATIONS)
        .try_collect()
        .await
}

/// Whether a report is about a rotation, and not about `[server]` or `[files]`.
fn is_of_rotation(report: &Report) -> bool {
    !report.rotation.starts_with('[')
}

/// The most severe finding of a report. `None`: it has none but notes.
fn worst(report: &Report) -> Option<Severity> {
    let severities = report.findings.iter().map(|finding| finding.severity);
    severities.max().filter(|worst| *worst != Severity::Note)
}

/// The number of reports with an error, with a warning, and without both.
fn totals(reports: &[Report]) -> String {
    let count = |severity| {
        reports
            .iter()
            .filter(|report| worst(report) == severity)
            .count()
    };
    format!(
        "{} failed, {} with warnings, {} ok",
        count(Some(Severity::Error)),
        count(Some(Severity::Warning)),
        count(None)
    )
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
