//! `twinkey iam-policy`: the minimal policy for the worker's role, or the network paths that it needs.

use std::path::Path;

use crate::config::settings::{SecretsBackend, Settings};
use crate::iam::lookup::look_up;
use crate::iam::network::paths;
use crate::iam::{AccountScope, Known, policy};
use twinkey_core::aws::{Aws, arn};
use twinkey_stores::aws::AwsStore;

use crate::cli::context::settings;
use crate::cli::failure::Failure;
use crate::cli::output::{self, Cell, WARN};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Account of the secrets, twelve digits. Optional if the config or --ask provides an ARN
    #[arg(long, value_name = "ID", value_parser = account)]
    account: Option<String>,
    /// Region; by default the config's, then $AWS_REGION
    #[arg(long, env = "AWS_REGION", value_name = "NAME")]
    region: Option<String>,
    /// Partition: aws, aws-cn or aws-us-gov; by default the region's
    #[arg(long, value_name = "NAME")]
    partition: Option<String>,
    /// Read the secrets, for their exact ARNs, keys, engines, masters and clusters
    #[arg(long)]
    ask: bool,
    /// Customer managed KMS key of the secrets; repeatable
    #[arg(long, value_name = "ARN")]
    kms_key: Vec<String>,
    /// Id of a Redshift Serverless workgroup, which is part of its ARN; repeatable
    #[arg(long, value_name = "NAME=ID", value_parser = named_id)]
    workgroup_id: Vec<(String, String)>,
    /// Print the network paths instead of the policy
    #[arg(long)]
    network: bool,
    /// Print the network paths as JSON; a policy is always JSON
    #[arg(long)]
    json: bool,
}

fn account(text: &str) -> Result<String, String> {
    let digits = text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit());
    digits
        .then(|| text.to_owned())
        .ok_or_else(|| "an account has twelve digits, such as 123456789012".into())
}

fn named_id(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, id)) if !name.is_empty() && !id.is_empty() => Ok((name.into(), id.into())),
        _ => Err("write NAME=ID".into()),
    }
}

pub(in crate::cli) async fn run(config: Option<&Path>, args: Args) -> Result<(), Failure> {
    let settings = settings(config)?;
    let (configured, endpoint) = match &settings.secrets {
        SecretsBackend::Aws {
            region,
            endpoint_url,
        } => (region.clone(), endpoint_url.as_deref()),
        SecretsBackend::Local { .. } => (None, None),
    };
    let region = configured.or(args.region);
    let region = region
        .or_else(|| first_arn(&settings, arn::region))
        .ok_or_else(|| {
            Failure::usage(
                "the region is not known",
                "give --region, or secrets.region in the config",
            )
        })?;
    let mut known = Known {
        kms_keys: args.kms_key,
        workgroup_ids: args.workgroup_id.into_iter().collect(),
        ..Known::default()
    };
    if args.ask && matches!(settings.secrets, SecretsBackend::Aws { .. }) {
        let aws = Aws::of_store(Some(&region), endpoint);
        let store = AwsStore::from_config(aws.config().await);
        look_up(&settings, &store, &mut known).await?;
    }
    if args.network {
        return network(&settings, &region, &known, args.json);
    }
    let account_of_secrets = known
        .secrets
        .values()
        .filter_map(|facts| facts.arn.as_deref());
    let account_of_secrets = account_of_secrets
        .filter_map(arn::account)
        .map(str::to_owned)
        .next();
    let account = args.account.or(account_of_secrets);
    let account = account
        .or_else(|| first_arn(&settings, arn::account))
        .ok_or_else(|| {
            Failure::usage(
                "the account is not known",
                "give --account (`aws sts get-caller-identity` prints it), or --ask",
            )
        })?;
    let partition = args.partition;
    let scope = AccountScope {
        partition: partition.unwrap_or_else(|| arn::partition(&region).to_owned()),
        region,
        account,
    };
    let policy = policy(&settings, &scope, &known);
    for note in &policy.notes {
        anstream::eprintln!("{WARN}note:{WARN:#} {note}");
    }
    output::json(&policy)
}

/// A part of the first ARN in the config.
fn first_arn(settings: &Settings, part: impl Fn(&str) -> Option<&str>) -> Option<String> {
    let names = settings.rotations.iter().flat_map(|rotation| {
        [Some(&rotation.secret), rotation.master_secret.as_ref()]
            .into_iter()
            .flatten()
    });
    names
        .filter_map(|name| part(name))
        .map(str::to_owned)
        .next()
}

fn network(settings: &Settings, region: &str, known: &Known, json: bool) -> Result<(), Failure> {
    let paths = paths(settings, region, known);
    if json {
        return output::json(&paths);
    }
    let rows: Vec<Vec<Cell>> = paths
        .iter()
        .map(|path| {
            let port = path
                .port
                .map_or_else(|| "the secret's".into(), |port| port.to_string());
            [
                path.direction.to_owned(),
                path.host.clone(),
                port,
                path.why.clone(),
                output::or_dash(path.vpc_endpoint.as_deref()).to_owned(),
            ]
            .map(Cell::plain)
            .into()
        })
        .collect();
    output::table(&["", "HOST", "PORT", "WHY", "VPC ENDPOINT"], &rows);
    Ok(())
}
