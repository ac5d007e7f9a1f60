//! Network paths that a config needs.

use serde::Serialize;

use super::known::{Known, known_rotations, uses_aws_store};
use crate::config::settings::{Destination, HookActionSettings, Settings};
use twinkey_core::aws::arn;
use twinkey_engines::{EngineKind, RedshiftProbe};

/// A network path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Path {
    /// `out` for connections from the worker, `in` for connections to it.
    pub direction: &'static str,
    /// The host name, or a description of it.
    pub host: String,
    /// `None` for the port of the secret, if it is not known.
    pub port: Option<u16>,
    pub why: String,
    /// The VPC endpoint service that replaces a path to the internet, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vpc_endpoint: Option<String>,
}

const HTTPS: Option<u16> = Some(443);

/// The path to STS, which a store with a role needs.
#[must_use]
pub fn sts(region: &str) -> Path {
    Path {
        direction: "out",
        host: format!("sts.{region}.{}", arn::dns_suffix(region)),
        port: HTTPS,
        why: "the roles of the stores".into(),
        vpc_endpoint: Some(format!("com.amazonaws.{region}.sts")),
    }
}

/// The distinct paths of this config.
#[must_use]
pub fn paths(settings: &Settings, region: &str, known: &Known) -> Vec<Path> {
    let mut all = Vec::new();
    let service = |service: &str, region: &str, why: &str| Path {
        direction: "out",
        host: format!("{service}.{region}.{}", arn::dns_suffix(region)),
        port: HTTPS,
        why: why.to_owned(),
        vpc_endpoint: Some(format!("com.amazonaws.{region}.{service}")),
    };
    if uses_aws_store(settings) {
        all.push(service("secretsmanager", region, "the secrets"));
    }
    for one in known_rotations(settings, known) {
        let rotation = one.rotation;
        let name = &rotation.name;
        if one.asks_rds() || one.rotation.readers.by_rds {
            all.push(service(
                "rds",
                region,
                "the hosts of masters that RDS manages",
            ));
        }
        if let Some(address) = &rotation.master_host {
            all.push(Path {
                direction: "out",
                host: address.host.clone(),
                port: address
                    .port
                    .or(one.facts.port)
                    .or(one.engine.map(EngineKind::default_port)),
                why: format!("the master of {name}"),
                vpc_endpoint: None,
            });
        }
        if one.is_redshift() {
            all.push(service(
                "redshift-data",
                region,
                "the statements of Redshift",
            ));
            if rotation.options.redshift.probe == RedshiftProbe::Secret {
                if !uses_aws_store(settings) {
                    all.push(service(
                        "secretsmanager",
                        region,
                        "probe secrets of Redshift",
                    ));
                }
                continue;
            }
        }
        let secret = &rotation.secret;
        let known_host = one.facts.host.clone();
        let unknown = known_host.is_none();
        all.push(Path {
            direction: "out",
            host: known_host.unwrap_or_else(|| format!("the host in {secret}, and its master's")),
            port: (one.facts.port).or(one
                .engine
                .filter(|_| !unknown)
                .map(EngineKind::default_port)),
            why: format!("the database of {name}"),
            vpc_endpoint: None,
        });
        for reader in &rotation.readers.addresses {
            all.push(Path {
                direction: "out",
                host: reader.host.clone(),
                port: reader.port.or(one.facts.port),
                why: format!("a reader of {name}"),
                vpc_endpoint: None,
            });
        }
        for pooler in &rotation.poolers {
            all.push(Path {
                direction: "out",
                host: pooler.address.host.clone(),
                port: pooler.address.port.or(one.facts.port),
                why: format!("a pooler of {name}"),
                vpc_endpoint: None,
            });
        }
    }
    for notify in &settings.notify {
        all.push(match &notify.to {
            Destination::Webhook { url, .. } => Path {
                direction: "out",
                host: url.host_str().unwrap_or_default().to_owned(),
                port: url.port_or_known_default(),
                why: "a webhook".into(),
                vpc_endpoint: None,
            },
            Destination::Sns { topic_arn } => {
                let region = arn::region(topic_arn).unwrap_or(region);
                service("sns", region, "notifications")
            }
            Destination::EventBridge { bus } => {
                let region = arn::region(bus).unwrap_or(region);
                service("events", region, "notifications")
            }
        });
    }
    for hook in &settings.hooks {
        if let HookActionSettings::EcsRedeploy { cluster, .. } = &hook.action {
            let region = arn::region(cluster).unwrap_or(region);
            all.push(service("ecs", region, "redeployments"));
        }
    }
    if !settings.server.listen.ip().is_loopback() {
        all.push(Path {
            direction: "in",
            host: settings.server.listen.ip().to_string(),
            port: Some(settings.server.listen.port()),
            why: "the admin endpoint: operators, Prometheus, health checks".into(),
            vpc_endpoint: None,
        });
    }
    all.sort();
    all.dedup();
    all
}
