//! Addresses of the name of a reader or a pooler.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use super::{Answers, Endpoint, EndpointKind, NotAccepted};
use crate::config::settings::HostPort;
use crate::rotation::observe::resolve::ResolvedSecret;
use twinkey_engines::{EngineError, Target};

const RESOLVE_LIMIT: Duration = Duration::from_secs(5);
/// Addresses of one name that are tried; Amazon Aurora has at most 15 readers.
const MAX_ADDRESSES: usize = 32;

/// Resolves a name now.
///
/// # Errors
/// The endpoint without an address, if the name has none.
pub(super) async fn resolve(
    kind: EndpointKind,
    named: &HostPort,
    resolved: &ResolvedSecret,
) -> Result<Vec<Endpoint>, Box<NotAccepted>> {
    let port = named.port.unwrap_or(resolved.port());
    let endpoint = |address| Endpoint {
        kind,
        name: HostPort {
            port: Some(port),
            ..named.clone()
        }
        .to_string(),
        target: Target {
            host: named.host.clone(),
            address,
            port: Some(port),
            ..resolved.target.clone()
        },
    };
    let lookup = tokio::net::lookup_host((named.host.as_str(), port));
    let reason = match tokio::time::timeout(RESOLVE_LIMIT, lookup).await {
        Ok(Ok(found)) => {
            let all: BTreeSet<IpAddr> = found.map(|address| address.ip()).collect();
            if !all.is_empty() {
                let all = all.into_iter().take(MAX_ADDRESSES);
                return Ok(all.map(|address| endpoint(Some(address))).collect());
            }
            "the name has no address".to_owned()
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!(
            "the name was not resolved within {} seconds",
            RESOLVE_LIMIT.as_secs()
        ),
    };
    Err(Box::new(NotAccepted {
        endpoint: endpoint(None),
        error: EngineError::Unreachable {
            host: named.host.clone(),
            port,
            reason,
        },
    }))
}

/// Removes the unreachable addresses of a family of which none answered, if those of another family
/// did. The answers are those of one name.
pub(super) fn without_unused_family(mut answers: Answers) -> Answers {
    let is_v6 = |endpoint: &Endpoint| endpoint.target.address.is_some_and(|a| a.is_ipv6());
    let answered: BTreeSet<bool> = (answers.accepted.iter().map(|(endpoint, _)| endpoint))
        .chain(answers.behind.iter().map(|one| &one.endpoint))
        .map(is_v6)
        .collect();
    if !answered.is_empty() {
        answers
            .unreachable
            .retain(|one| answered.contains(&is_v6(&one.endpoint)));
    }
    answers
}

#[cfg(test)]
mod tests {
    use super::*;
    use twinkey_engines::{Replication, SignedIn, Tls, TlsMode};

    fn endpoint(address: &str) -> Endpoint {
        Endpoint {
            kind: EndpointKind::Reader,
            name: "db-ro:5432".into(),
            target: Target {
                address: Some(address.parse().unwrap()),
                host: "db-ro".into(),
                port: Some(5432),
                dbname: None,
                tls: Tls {
                    mode: TlsMode::VerifyFull,
                    ca_file: None,
                },
            },
        }
    }

    fn answers(accepted: &[&str], unreachable: &[&str]) -> Answers {
        let signed_in = SignedIn {
            user: "app".into(),
            server_identity: None,
            is_pooled: false,
            stored_form: None,
            replication: Replication::default(),
            sees_mark: None,
        };
        Answers {
            accepted: (accepted.iter())
                .map(|address| (endpoint(address), signed_in.clone()))
                .collect(),
            behind: Vec::new(),
            unreachable: (unreachable.iter())
                .map(|address| NotAccepted {
                    endpoint: endpoint(address),
                    error: EngineError::Unreachable {
                        host: "db-ro".into(),
                        port: 5432,
                        reason: "no route".into(),
                    },
                })
                .collect(),
        }
    }

    #[test]
    fn a_family_without_an_answer_is_left_out() {
        for (accepted, unreachable, left) in [
            (&["10.0.0.7"][..], &["fd00::7", "fd00::8"][..], 0),
            (&["10.0.0.7"], &["10.0.0.8", "fd00::7"], 1),
            (&["10.0.0.7", "fd00::7"], &["fd00::8"], 1),
            (&[], &["10.0.0.7", "fd00::7"], 2),
        ] {
            let rest = without_unused_family(answers(accepted, unreachable));
            assert_eq!(rest.unreachable.len(), left, "{accepted:?} {unreachable:?}");
        }
    }

    #[test]
    fn an_address_follows_its_name_in_messages() {
        let text = "the reader db-ro:5432 (10.0.0.7)";
        assert_eq!(endpoint("10.0.0.7").to_string(), text);
    }
}
