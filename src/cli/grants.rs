//! `twinkey grants-for-master ENGINE`: the statements that give a master what twinkey needs, and no more.

use twinkey_engines::{EngineKind, grants_for_master};
use twinkey_engines::master::{MasterGrants, MasterRequest};

use super::failure::Failure;
use super::output;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// postgres, mysql, mariadb, documentdb or redshift
    #[arg(value_name = "ENGINE", value_parser = engine)]
    engine: EngineKind,
    /// The master's name
    #[arg(long, value_name = "NAME", default_value = "twinkey_master")]
    master: String,
    /// The application's user: the first one of the pair
    #[arg(long, value_name = "NAME", default_value = "app")]
    user: String,
    /// The second one, where it is there already and another master made it
    #[arg(long, value_name = "NAME")]
    clone: Option<String>,
    /// The database in which the application works
    #[arg(long, value_name = "NAME", default_value = "app")]
    database: String,
    /// Print the statements as JSON
    #[arg(long)]
    json: bool,
}

fn engine(text: &str) -> Result<EngineKind, String> {
    text.parse()
        .map_err(|()| "the engines are postgres, mysql, mariadb, documentdb and redshift".into())
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
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

/// To be piped into the engine's own shell: what is no statement is a comment.
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
            "{comment} Last, with a password of your own, which then goes into the master secret:\n{comment} {last};\n"
        ));
    }
    text
}
