//! `twinkey iam-policy`: the minimal policy for the worker's role or for that of a store, or the network paths
//! that the worker needs.

use std::path::Path;
use std::sync::Arc;

use crate::config::settings::{AssumeRole, DEFAULT_STORE, SecretsBackend, Settings, StoreSettings};
use crate::iam::accounts::{assume_roles, merged, settings_of, trust_policy};
use crate::iam::lookup::look_up;
use crate::iam::{AccountScope, Known, policy};
use crate::store::aws_of;
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
    /// Print the policy of the role of this store; by default, and for `secrets`, that of the worker's own role
    #[arg(long, value_name = "NAME")]
    store: Option<String>,
    /// Print the trust policy of the role of --store instead
    #[arg(long, requires = "store", requires = "worker_role")]
    trust: bool,
    /// The worker's own role, which the trust policy names
    #[arg(long, value_name = "ARN", value_parser = role_arn)]
    worker_role: Option<String>,
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

/// An ARN of `sts`, which `aws sts get-caller-identity` prints, is that of one session.
fn role_arn(text: &str) -> Result<String, String> {
    arn::account_of_role(text)
        .map(|_| text.to_owned())
        .ok_or_else(|| "write the ARN of a role: arn:aws:iam::ACCOUNT:role/NAME".into())
}

fn named_id(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, id)) if !name.is_empty() && !id.is_empty() => Ok((name.into(), id.into())),
        _ => Err("write NAME=ID".into()),
    }
}

pub(in crate::cli) async fn run(config: Option<&Path>, args: Args) -> Result<(), Failure> {
    let settings = settings(config)?;
    // The worker's own role calls the store of `[secrets]`.
    let store = args.store.as_deref().filter(|name| *name != DEFAULT_STORE);
    let role = match store {
        None => None,
        Some(name) => Some(role_of(&settings, name)?),
    };
    if args.trust {
        return trust(&settings, role, args.worker_role.as_deref());
    }
    // The stores whose calls the role makes.
    let wanted = role.map(|role| &role.arn);
    let further = settings.stores.iter().filter(|store| {
        let own = store.assume_role.as_ref().map(|role| &role.arn);
        own == wanted
    });
    let default = role.is_none().then_some(None);
    let stores: Vec<Option<&Arc<StoreSettings>>> =
        default.into_iter().chain(further.map(Some)).collect();
    if args.network {
        let all = settings.stores.iter().map(Some);
        let all: Vec<_> = [None].into_iter().chain(all).collect();
        return network(&settings, &all, &args).await;
    }
    let mut policies = Vec::new();
    for store in stores {
        let of_store = settings_of(&settings, store);
        let (region, known) = facts(&of_store, store, &args).await?;
        let account = account_of(&of_store, store, &known, &args)?;
        let partition = args.partition.clone();
        let scope = AccountScope {
            partition: partition.unwrap_or_else(|| arn::partition(&region).to_owned()),
            region,
            account,
        };
        policies.push(policy(&of_store, &scope, &known));
    }
    let more = role.is_none().then(|| assume_roles(&settings)).flatten();
    let mut policy = merged(policies, more);
    if role.is_none() {
        for store in settings
            .stores
            .iter()
            .filter(|store| store.assume_role.is_some())
        {
            let name = &store.name;
            policy.notes.push(format!(
                "the role of store {name:?} has a policy of its own: --store {name}, and --store {name} --trust"
            ));
        }
    }
    for note in &policy.notes {
        anstream::eprintln!("{WARN}note:{WARN:#} {note}");
    }
    output::json(&policy)
}

/// The role of a store.
fn role_of<'a>(settings: &'a Settings, name: &str) -> Result<&'a AssumeRole, Failure> {
    let store = settings.stores.iter().find(|store| store.name == name);
    let Some(store) = store else {
        return Err(Failure::usage(
            format!("there is no [[store]] {name:?} in the config"),
            "leave --store out for the worker's own role",
        ));
    };
    store.assume_role.as_ref().ok_or_else(|| {
        Failure::usage(
            format!("store {name:?} has no role"),
            "leave --store out: the worker's own role calls it",
        )
    })
}

/// Prints the trust policy of a role.
fn trust(
    settings: &Settings,
    role: Option<&AssumeRole>,
    worker_role: Option<&str>,
) -> Result<(), Failure> {
    let (Some(role), Some(worker_role)) = (role, worker_role) else {
        return Err(Failure::usage(
            "a trust policy is that of a store's role, for the worker's role",
            "give --store NAME and --worker-role ARN",
        ));
    };
    output::json(&trust_policy(settings, &role.arn, worker_role))
}

/// The region of a store, and the facts about its secrets.
async fn facts(
    settings: &Settings,
    store: Option<&Arc<StoreSettings>>,
    args: &Args,
) -> Result<(String, Known), Failure> {
    let (configured, endpoint) = match &settings.secrets {
        SecretsBackend::Aws {
            region,
            endpoint_url,
        } => (region.clone(), endpoint_url.as_deref()),
        SecretsBackend::Local { .. } => (None, None),
    };
    let region = configured.or_else(|| args.region.clone());
    let region = region.or_else(|| first_arn(settings, arn::region));
    let unused = unused(settings).filter(|_| !args.network);
    let Some(region) = region.or(unused) else {
        return Err(Failure::usage(
            "the region is not known",
            "give --region, or secrets.region in the config",
        ));
    };
    let mut known = Known {
        kms_keys: args.kms_key.clone(),
        workgroup_ids: args.workgroup_id.iter().cloned().collect(),
        ..Known::default()
    };
    if args.ask && matches!(settings.secrets, SecretsBackend::Aws { .. }) {
        let aws = match store {
            Some(store) if args.network => {
                aws_of(store, &Aws::of_store(Some(&region), None), "iam-policy")
            }
            // The policy of a role is made before the role: the caller's own credentials read the secrets.
            _ => Aws::of_store(Some(&region), endpoint),
        };
        look_up(settings, &AwsStore::new(aws), &mut known).await?;
    }
    Ok((region, known))
}

/// The account of a store.
fn account_of(
    settings: &Settings,
    store: Option<&Arc<StoreSettings>>,
    known: &Known,
    args: &Args,
) -> Result<String, Failure> {
    let arns = known.secrets.values();
    let mut arns = arns.filter_map(|facts| facts.arn.as_deref());
    if let Some(account) = store.and_then(|store| store.account()) {
        let other = arns.filter_map(arn::account).find(|own| *own != account);
        return match other {
            None => Ok(account.to_owned()),
            Some(other) => Err(Failure::usage(
                format!("the role is of account {account}, and --ask read secrets of {other}"),
                format!("use --ask with credentials of account {account}"),
            )),
        };
    }
    let of_secrets = arns.find_map(arn::account).map(str::to_owned);
    let account = args.account.clone().or(of_secrets);
    let account = account.or_else(|| first_arn(settings, arn::account));
    account.or_else(|| unused(settings)).ok_or_else(|| {
        Failure::usage(
            "the account is not known",
            "give --account (`aws sts get-caller-identity` prints it), or --ask",
        )
    })
}

/// A region or account for a policy that has no resource of either: all rotations are in a `[[store]]`.
fn unused(settings: &Settings) -> Option<String> {
    let is_empty = settings.rotations.is_empty()
        && settings.discover.is_empty()
        && settings.notify.is_empty()
        && settings.hooks.is_empty();
    is_empty.then(|| "*".to_owned())
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

/// Prints the network paths to all stores.
async fn network(
    settings: &Settings,
    stores: &[Option<&Arc<StoreSettings>>],
    args: &Args,
) -> Result<(), Failure> {
    let mut paths = Vec::new();
    for store in stores {
        let of_store = settings_of(settings, *store);
        let (region, known) = facts(&of_store, *store, args).await?;
        paths.extend(crate::iam::network::paths(&of_store, &region, &known));
        if store.is_some_and(|store| store.assume_role.is_some()) {
            paths.push(crate::iam::network::sts(&region));
        }
    }
    paths.sort();
    paths.dedup();
    if args.json {
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
