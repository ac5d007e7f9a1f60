//! The command line: one file a command. Each parses, calls, and prints, as text or as JSON.
//!
//! Exit status: 0 done; 1 it failed; 2 the command line or the config is wrong. Errors go to standard
//! error as `error[CODE]: what` and a `hint:` line.

mod check;
mod completions;
mod context;
mod failure;
mod grants;
mod healthz;
mod history;
mod iam_policy;
mod import;
mod keys;
mod manager;
mod output;
mod pause;
mod plan;
mod remote;
mod repair;
mod rollback;
mod rotate;
mod schedule;
mod secret;
mod serve;
mod served;
mod status;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgAction, Parser, Subcommand};

use failure::Failure;
use remote::Whom;
use twinkey_core::telemetry::LogFormat;

/// Rotates database credentials without downtime: two users, one secret, proven before every flip.
#[derive(Debug, Parser)]
#[command(name = "twinkey", version, propagate_version = true)]
pub struct Cli {
    /// The config; else ./twinkey.toml, else /etc/twinkey/twinkey.toml
    #[arg(long, global = true, value_name = "FILE", env = "TWINKEY_CONFIG")]
    config: Option<PathBuf>,
    /// How the log on standard error is written
    #[arg(long, global = true, value_enum, default_value = "text")]
    log_format: LogFormat,
    /// Say more in the log; twice for more still
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,
    #[command(flatten)]
    remote: remote::Args,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the worker: scheduler and admin endpoint, until SIGTERM
    Serve,
    /// Ask whether the worker of this config is alive, for health checks
    Healthz(healthz::Args),
    /// Look for everything that speaks against a rotation; changes nothing
    Check(check::Args),
    /// Show the exact statements that a rotation would carry out now; changes nothing
    Plan(plan::Args),
    /// Rotate one secret now, and show its steps
    Rotate(rotate::Args),
    /// Move AWSCURRENT back to AWSPREVIOUS, after proving that it still signs in
    Rollback(rollback::Args),
    /// Explain what is stuck about a secret, and put it right with --apply
    Repair(repair::Args),
    /// Show where the rotations stand
    Status(status::Args),
    /// Show the runs, newest first
    History(history::Args),
    /// Let no scheduled run of a rotation begin
    Pause(pause::Args),
    /// Let scheduled runs of a rotation begin again
    Resume(pause::Args),
    /// Show the next windows of a schedule, or what is wrong with it
    Schedule(schedule::Args),
    /// Read and write secrets in the embedded store
    #[command(subcommand)]
    Secret(secret::Command),
    /// Say who may read and write the served store
    #[command(subcommand)]
    Keys(keys::Command),
    /// Print the least policy for the worker's role in AWS, from the config
    IamPolicy(iam_policy::Args),
    /// Print the statements that give a master what twinkey needs, and no more
    GrantsForMaster(grants::Args),
    /// Print the config that replaces AWS's own rotations
    Import(import::Args),
    /// Print a script that completes commands in a shell
    Completions(completions::Args),
    /// Print a manual page, in roff
    Man(completions::ManArgs),
}

/// Reads the command line and carries it out.
pub async fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let status = if error.use_stderr() { 2 } else { 0 };
            // Nothing is left to be done where standard error itself is gone.
            let _ = error.print();
            return ExitCode::from(status);
        }
    };
    match run(cli).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

async fn run(cli: Cli) -> Result<(), Failure> {
    let quiet = !matches!(cli.command, Command::Serve);
    twinkey_core::telemetry::init(cli.log_format, cli.verbose, quiet)?;
    let config = cli.config.as_deref();
    let whom = match cli.remote.remote()? {
        Some(remote) => Whom::There(remote),
        None => Whom::Here(config),
    };
    match (cli.command, &whom) {
        (Command::Check(args), _) => check::run(&whom, args).await,
        (Command::Plan(args), _) => plan::run(&whom, args).await,
        (Command::Rotate(args), _) => rotate::run(&whom, args).await,
        (Command::Rollback(args), _) => rollback::run(&whom, args).await,
        (Command::Status(args), _) => status::run(&whom, args).await,
        (Command::History(args), _) => history::run(&whom, args).await,
        (Command::Pause(args), _) => pause::run(&whom, args, true).await,
        (Command::Resume(args), _) => pause::run(&whom, args, false).await,
        (_, Whom::There(_)) => Err(Failure::usage(
            "a worker cannot be asked for this command",
            "leave out --server; check, plan, rotate, rollback, status, history, pause and resume take it",
        )),
        (Command::Serve, _) => serve::run(config).await,
        (Command::Healthz(args), _) => healthz::run(config, args).await,
        (Command::Repair(args), _) => repair::run(config, args).await,
        (Command::Schedule(args), _) => schedule::run(&args),
        (Command::Secret(command), _) => secret::run(config, command).await,
        (Command::IamPolicy(args), _) => iam_policy::run(config, args).await,
        (Command::GrantsForMaster(args), _) => grants::run(args),
        (Command::Import(args), _) => import::run(&args).await,
        (Command::Completions(args), _) => {
            completions::completions(&args);
            Ok(())
        }
        (Command::Man(args), _) => completions::man(&args),
        (Command::Keys(command), _) => keys::run(config, command).await,
    }
}
