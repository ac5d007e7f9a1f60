//! `twinkey grants-for-master ENGINE`: the statements that grant a master exactly the needed privileges.

use twinkey_engines::master::{MasterGrants, MasterRequest};
use twinkey_engines::{EngineKind, grants_for_master};

use crate::cli::failure::Failure;
use crate::cli::output;
use crate::cli::selection::engine;
use twinkey_core::code::Diagnostic;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Engine: postgres, mysql, mariadb, documentdb or redshift
    #[arg(value_name = "ENGINE", value_parser = engine)]
    engine: EngineKind,
    /// Name of the master
    #[arg(long, value_name = "NAME", default_value = "twinkey_master")]
    master: String,
    /// User of the application, which is the base user of the pair
    #[arg(long, value_name = "NAME", default_value = "app")]
    user: String,
    /// Clone of the pair, if another master already created it
    #[arg(long, value_name = "NAME")]
    clone: Option<String>,
    /// Database of the application
    #[arg(long, value_name = "NAME", default_value = "app")]
    database: String,
    /// Print the statements as JSON
    #[arg(long)]
    json: bool,
}

pub(in crate::cli) fn run(args: Args) -> Result<(), Failure> {
    let request = MasterRequest {
        master: args.master,
        user: args.user,
        clone: args.clone,
        database: args.database,
    };
    let grants = grants_for_master(args.engine, &request)
        .map_err(|error| Failure::usage(error.to_string(), error.hint()))?;
    if args.json {
        return output::json(&grants);
    }
    anstream::print!("{}", text(&grants));
    Ok(())
}

/// A script for the engine's shell; text that is not a statement is a comment.
fn text(grants: &MasterGrants) -> String {
    let comment = grants.comment;
    let mut text = String::new();
    for grant in &grants.grants {
        let optional = if grant.optional { "optional: " } else { "" };
        text.push_str(&format!(
            "{comment} {optional}{}\n{};\n",
            grant.why, grant.statement
        ));
    }
    if let Some(last) = &grants.set_password {
        text.push_str(&format!(
            "{comment} Last, with a password of your own, which you then store in the master secret:\n{comment} {last};\n"
        ));
    }
    text
}
