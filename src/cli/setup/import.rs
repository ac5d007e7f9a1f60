//! `twinkey import --from-aws`: a config that replaces the rotations of an AWS account.

use std::collections::BTreeMap;
use std::path::Path;

use crate::import::convert::convert;
use crate::import::list::list_rotated_secrets;
use crate::import::text::{Source, config, count};
use twinkey_core::aws::{Aws, arn};
use twinkey_core::code::Code;

use crate::cli::failure::Failure;
use crate::cli::output::{self, DIM};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Read the secrets of an account with rotation enabled in Secrets Manager
    #[arg(long, required = true)]
    from_aws: bool,
    /// Region; by default the one that the AWS SDK finds
    #[arg(long, env = "AWS_REGION", value_name = "NAME")]
    region: Option<String>,
    /// Endpoint of Secrets Manager, for an emulator
    #[arg(long, value_name = "URL")]
    endpoint_url: Option<String>,
    /// Prefix of the names of the secrets
    #[arg(long, value_name = "TEXT")]
    name_prefix: Option<String>,
    /// Print the outcome of each secret as JSON, instead of a config
    #[arg(long)]
    json: bool,
}

pub(in crate::cli) async fn run(args: &Args) -> Result<(), Failure> {
    let aws = Aws::of_store(args.region.as_deref(), args.endpoint_url.as_deref());
    let sdk = aws.config().await;
    let Some(region) = sdk.region().map(ToString::to_string) else {
        return Err(Failure::usage(
            "the region is not known",
            "give --region, or set AWS_REGION",
        ));
    };
    let found = list_rotated_secrets(sdk, args.name_prefix.as_deref())
        .await
        .map_err(Failure::Problem)?;
    let all = convert(&found, &region);
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
    // A worker must be able to read the printed config.
    if let Err(errors) = crate::config::parse(Path::new("import.toml"), &text, &BTreeMap::new()) {
        return Err(Failure::problem(
            Code::Internal,
            format!("the config is not valid: {errors}"),
            "report this defect of twinkey; --json prints the secrets that were read",
        ));
    }
    anstream::print!("{text}");
    let (converted, skipped) = count(&all);
    anstream::eprintln!(
        "{DIM}{converted} rotations, {skipped} secrets not converted; next: save the config, then run `twinkey check`{DIM:#}"
    );
    Ok(())
}
