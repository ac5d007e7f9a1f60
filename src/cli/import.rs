//! `twinkey import --from-aws`: the config that replaces an account's own rotations.

use std::collections::BTreeMap;
use std::path::Path;

use crate::import::ask::ask;
use crate::import::carry::carry;
use crate::import::text::{Source, config, count};
use twinkey_core::aws::{Aws, arn};
use twinkey_core::code::Code;

use super::failure::Failure;
use super::output::{self, DIM};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Read the secrets of an account that have rotation on in Secrets Manager
    #[arg(long, required = true)]
    from_aws: bool,
    /// The region; else the one of the SDK's own chain
    #[arg(long, env = "AWS_REGION", value_name = "NAME")]
    region: Option<String>,
    /// Where Secrets Manager is, for a stand-in
    #[arg(long, value_name = "URL")]
    endpoint_url: Option<String>,
    /// Only secrets whose names begin so
    #[arg(long, value_name = "TEXT")]
    name_prefix: Option<String>,
    /// Print what becomes of each secret as JSON, instead of a config
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: &Args) -> Result<(), Failure> {
    let aws = Aws::of_store(args.region.as_deref(), args.endpoint_url.as_deref());
    let sdk = aws.config().await;
    let Some(region) = sdk.region().map(ToString::to_string) else {
        return Err(Failure::usage(
            "the region is not known",
            "give --region, or set AWS_REGION",
        ));
    };
    let found = ask(sdk, args.name_prefix.as_deref())
        .await
        .map_err(Failure::Problem)?;
    let all = carry(&found, &region);
    if args.json {
        return output::json(&all);
    }
    let source = Source {
        account: found
            .iter()
            .find_map(|one| arn::account(&one.arn))
            .map(str::to_owned),
        region,
        endpoint_url: args.endpoint_url.clone(),
    };
    let text = config(&source, &all);
    // What is printed is what a worker reads.
    if let Err(errors) = crate::config::parse(Path::new("import.toml"), &text, &BTreeMap::new()) {
        return Err(Failure::problem(
            Code::Internal,
            format!("the config is not valid: {errors}"),
            "this is a defect of twinkey: please report it; --json tells what was found",
        ));
    }
    anstream::print!("{text}");
    let (carried, left) = count(&all);
    anstream::eprintln!(
        "{DIM}{carried} rotations, {left} secrets not carried over; next: save it, then `twinkey check`{DIM:#}"
    );
    Ok(())
}
