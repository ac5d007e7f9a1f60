//! `twinkey completions SHELL` and `twinkey man`: made from the command line itself.

use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::Man;

use super::Cli;
use super::failure::Failure;
use twinkey_core::code::Code;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Debug, clap::Args)]
pub(super) struct ManArgs {
    /// The command whose page it is; twinkey's own without one
    #[arg(value_name = "COMMAND")]
    command: Option<String>,
}

/// Prints what a shell is to source.
pub(super) fn completions(args: &Args) {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "twinkey", &mut script);
    anstream::print!("{}", String::from_utf8_lossy(&script));
}

/// Prints a manual page, in roff.
pub(super) fn man(args: &ManArgs) -> Result<(), Failure> {
    let mut twinkey = Cli::command();
    twinkey.build();
    let command = match &args.command {
        None => twinkey,
        Some(name) => twinkey.find_subcommand(name).cloned().ok_or_else(|| {
            Failure::usage(
                format!("there is no command {name:?}"),
                "`twinkey --help` lists them",
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
            "this is a defect of twinkey: please report it",
        )
    })?;
    anstream::print!("{}", String::from_utf8_lossy(&page));
    Ok(())
}
