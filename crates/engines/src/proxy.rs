//! Host names of RDS Proxy, which admin connections must not use: it shares and pins sessions.

use super::EngineError;

/// # Errors
/// [`EngineError::Refused`] for a host name of RDS Proxy.
pub(super) fn refuse(host: &str) -> Result<(), EngineError> {
    if !is_proxy(host) {
        return Ok(());
    }
    Err(EngineError::Refused {
        what: format!("an admin connection to {host}"),
        reason: "it is an RDS Proxy endpoint".into(),
        hint: "give the master secret the host of the cluster or instance itself; applications may go on using the proxy".into(),
    })
}

/// Whether the host is `name.proxy-abc.region.rds.amazonaws.com`, another endpoint of a proxy, or
/// either in China (Amazon RDS user guide, "Connecting to a database through RDS Proxy").
fn is_proxy(host: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let on_rds = [".rds.amazonaws.com", ".rds.amazonaws.com.cn"]
        .iter()
        .any(|end| host.ends_with(end));
    on_rds
        && host
            .split('.')
            .skip(1)
            .any(|label| label.starts_with("proxy-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxy_endpoints_differ_from_clusters_and_instances() {
        for host in [
            "p.proxy-c0ffee.eu-west-1.rds.amazonaws.com",
            "ro.endpoint.proxy-c0ffee.eu-west-1.rds.amazonaws.com.",
            "p.proxy-c0ffee.cn-north-1.rds.amazonaws.com.cn",
        ] {
            assert!(is_proxy(host), "{host}");
        }
        for host in [
            "proxy-db.c0ffee.eu-west-1.rds.amazonaws.com",
            "db.cluster-ro-c0ffee.eu-west-1.rds.amazonaws.com",
            "db.proxy-x.example.com",
        ] {
            assert!(!is_proxy(host), "{host}");
        }
    }
}
