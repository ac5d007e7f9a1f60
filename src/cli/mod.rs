//! Command line: one file per command, which parses arguments, calls the product and prints text or JSON.
//!
//! Exit status: 0 for success, 1 for a failure, 2 for an invalid command line or config. Errors go to
//! standard error as `error[CODE]: message` and a `hint:` line.

mod actor;
mod context;
mod discover;
mod failure;
mod keys;
mod output;
mod remote;
mod rotations;
mod secret;
mod selection;
mod serve;
mod setup;
mod style;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgAction, Parser, Subcommand};

use failure::Failure;
use remote::Target;
use twinkey_core::telemetry::LogFormat;

/// Rotates database credentials without downtime: two users, one secret, tested before every flip.
#[derive(Debug, Parser)]
#[command(name = "twinkey", version, propagate_version = true)]
pub struct Cli {
    /// Config file; by default ./twinkey.toml, then /etc/twinkey/twinkey.toml
    #[arg(long, global = true, value_name = "FILE", env = "TWINKEY_CONFIG")]
    config: Option<PathBuf>,
    /// Format of the log on standard error
    #[arg(long, global = true, value_enum, default_value = "text")]
    log_format: LogFormat,
    /// Log more; give it twice for even more
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
    /// Check that the worker of this config is alive, for health checks
    Healthz(serve::healthz::Args),
    /// Check that a rotation would succeed; read-only
    Check(rotations::check::Args),
    /// Show the exact statements that a rotation would execute now; read-only
    Plan(rotations::plan::Args),
    /// Rotate one secret now and show the steps
    Rotate(rotations::rotate::Args),
    /// Move AWSCURRENT back to AWSPREVIOUS, after a test that it still signs in
    Rollback(rotations::rollback::Args),
    /// Diagnose an interrupted rotation, and repair it with --apply
    Repair(rotations::repair::Args),
    /// Show the state of the rotations
    Status(rotations::status::Args),
    /// Show the runs, newest first
    History(rotations::history::Args),
    /// Pause the schedule of a rotation
    Pause(rotations::pause::PauseArgs),
    /// Resume the schedule of a rotation
    Resume(rotations::pause::Args),
    /// List the secrets that `[[discover]]` finds, and arm their rotations
    Discover(discover::Args),
    /// Show the next windows of a schedule, or its error
    Schedule(setup::schedule::Args),
    /// Read and write secrets in the embedded store
    #[command(subcommand)]
    Secret(secret::Command),
    /// Manage access keys of the served store
    #[command(subcommand)]
    Keys(keys::Command),
    /// Print the minimal IAM policy for the worker's role, from the config
    #[cfg(feature = "aws")]
    IamPolicy(setup::iam_policy::Args),
    /// Print the statements that grant a master exactly the privileges that twinkey needs
    GrantsForMaster(setup::grants::Args),
    /// Print a config that replaces AWS's own rotations
    #[cfg(feature = "aws")]
    Import(setup::import::Args),
    /// Print a shell completion script
    Completions(setup::completions::Args),
    /// Print a manual page, in roff
    Man(setup::completions::ManArgs),
}

/// Parses the command line and runs the command.
pub async fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let status = if error.use_stderr() { 2 } else { 0 };
            // A failed write to standard error cannot be reported.
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
    let target = match cli.remote.remote()? {
        Some(remote) => Target::Worker(remote),
        None => Target::Local(config),
    };
    match (cli.command, &target) {
        (Command::Check(args), _) => rotations::check::run(&target, args).await,
        (Command::Plan(args), _) => rotations::plan::run(&target, args).await,
        (Command::Rotate(args), _) => rotations::rotate::run(&target, args).await,
        (Command::Rollback(args), _) => rotations::rollback::run(&target, args).await,
        (Command::Status(args), _) => rotations::status::run(&target, args).await,
        (Command::History(args), _) => rotations::history::run(&target, args).await,
        (Command::Pause(args), _) => rotations::pause::pause(&target, args).await,
        (Command::Resume(args), _) => rotations::pause::resume(&target, args).await,
        (_, Target::Worker(_)) => Err(Failure::usage(
            "this command does not support --server",
            "leave out --server; only check, plan, rotate, rollback, status, history, pause and resume support it",
        )),
        (Command::Serve, _) => serve::run(config).await,
        (Command::Healthz(args), _) => serve::healthz::run(config, args).await,
        (Command::Repair(args), _) => rotations::repair::run(config, args).await,
        (Command::Discover(args), _) => discover::run(config, args).await,
        (Command::Schedule(args), _) => setup::schedule::run(&args),
        (Command::Secret(command), _) => secret::run(config, command).await,
        #[cfg(feature = "aws")]
        (Command::IamPolicy(args), _) => setup::iam_policy::run(config, args).await,
        (Command::GrantsForMaster(args), _) => setup::grants::run(args),
        #[cfg(feature = "aws")]
        (Command::Import(args), _) => setup::import::run(&args).await,
        (Command::Completions(args), _) => {
            setup::completions::completions(&args);
            Ok(())
        }
        (Command::Man(args), _) => setup::completions::man(&args),
        (Command::Keys(command), _) => keys::run(config, command).await,
    }
}
