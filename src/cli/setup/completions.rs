//! `twinkey completions SHELL` and `twinkey man`, generated from the command line definition.

use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::Man;

use crate::cli::Cli;
use crate::cli::failure::Failure;
use twinkey_core::code::Code;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Shell
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ManArgs {
    /// Command of the page; the page of twinkey itself by default
    #[arg(value_name = "COMMAND")]
    command: Option<String>,
}

/// Prints the completion script of a shell.
pub(in crate::cli) fn completions(args: &Args) {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "twinkey", &mut script);
    anstream::print!("{}", String::from_utf8_lossy(&script));
}

/// Prints a manual page, in roff.
pub(in crate::cli) fn man(args: &ManArgs) -> Result<(), Failure> {
    let mut twinkey = Cli::command();
    twinkey.build();
    let command = match &args.command {
        None => twinkey,
        Some(name) => twinkey.find_subcommand(name).cloned().ok_or_else(|| {
            Failure::usage(
                format!("there is no command {name:?}"),
                "list the commands with `twinkey --help`",
            )
        })?,
    };
    let name = command
        .get_bin_name()
        .unwrap_or("twinkey")
        .replace(' ', "-");
    let mut page = Vec::new();
    let written = Man::new(command)
        .title(name.to_uppercase())
        .render(&mut page);
    written.map_err(|error| {
        Failure::problem(
            Code::Internal,
            format!("the page cannot be written: {error}"),
            "report this defect of twinkey",
        )
    })?;
    anstream::print!("{}", String::from_utf8_lossy(&page));
    Ok(())
}
