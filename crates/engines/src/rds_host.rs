//! Host names of Amazon RDS, Aurora, DocumentDB and RDS Proxy. Pure.
//!
//! The forms are `NAME.ID.REGION.rds.amazonaws.com` and, in China,
//! `NAME.ID.rds.REGION.amazonaws.com.cn` ("Connecting to a DB instance" in the Amazon RDS user guide
//! and in the guide for the China regions).

/// The suffixes of AWS's partitions with published endpoints.
const SUFFIXES: [&str; 3] = ["amazonaws.com", "amazonaws.com.cn", "amazonaws.eu"];
/// The services whose certificates are signed by the roots of RDS. Elastic clusters of DocumentDB
/// have public certificates.
const SERVICES: [&str; 2] = ["rds", "docdb"];

/// The labels of the host before the suffix, if the host is of these services.
fn labels(host: &str) -> Option<Vec<String>> {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let name = SUFFIXES
        .iter()
        .find_map(|suffix| host.strip_suffix(suffix)?.strip_suffix('.'))?;
    let labels: Vec<String> = name.split('.').map(str::to_owned).collect();
    let end = &labels[labels.len().saturating_sub(2)..];
    let is_of_rds = end.iter().any(|label| SERVICES.contains(&label.as_str()));
    is_of_rds.then_some(labels)
}

/// The region of a host of RDS, Aurora or DocumentDB.
#[must_use]
pub fn region(host: &str) -> Option<String> {
    let labels = labels(host)?;
    let end = &labels[labels.len().saturating_sub(2)..];
    end.iter()
        .find(|label| !SERVICES.contains(&label.as_str()) && is_region(label))
        .cloned()
}

/// Letters, then groups of letters, then a number: `us-gov-west-1`.
fn is_region(label: &str) -> bool {
    let Some((name, number)) = label.rsplit_once('-') else {
        return false;
    };
    number.parse::<u8>().is_ok()
        && name.split('-').count() > 1
        && (name.split('-'))
            .all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase()))
}

/// Whether the host is `name.proxy-abc.region.rds.amazonaws.com`, another endpoint of a proxy, or
/// either in China (Amazon RDS user guide, "Connecting to a database through RDS Proxy").
#[must_use]
pub fn is_proxy(host: &str) -> bool {
    labels(host).is_some_and(|labels| {
        let mut before = labels.iter().skip(1);
        before.any(|label| label.starts_with("proxy-"))
    })
}

/// Whether the host is of Aurora DSQL, `ID.dsql.REGION.on.aws`, which signs in with tokens only.
#[must_use]
pub fn is_dsql(host: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    host.strip_suffix(".on.aws")
        .is_some_and(|name| name.split('.').any(|label| label == "dsql"))
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
            "p.proxy-c0ffee.rds.cn-north-1.amazonaws.com.cn",
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

    #[test]
    fn aurora_dsql_is_known_by_its_hosts() {
        assert!(is_dsql("abc.dsql.us-east-1.on.aws"));
        assert!(!is_dsql("dsql.example.com") && !is_dsql("abc.eu-west-1.on.aws"));
    }

    #[test]
    fn the_region_is_read_from_each_form_of_a_host() {
        for (host, expected) in [
            ("db.c0ffee.il-central-1.rds.amazonaws.com", "il-central-1"),
            (
                "c.cluster-ro-x.US-GOV-WEST-1.rds.amazonaws.com",
                "us-gov-west-1",
            ),
            (
                "c.cluster-x.mx-central-1.docdb.amazonaws.com",
                "mx-central-1",
            ),
            ("db.x.rds.cn-north-1.amazonaws.com.cn", "cn-north-1"),
            ("db.x.eusc-de-east-1.rds.amazonaws.eu.", "eusc-de-east-1"),
        ] {
            assert_eq!(region(host).as_deref(), Some(expected), "{host}");
        }
        for host in [
            "db.internal",
            "rds.amazonaws.com",
            "amazonaws.com",
            "",
            "secretsmanager.eu-west-1.amazonaws.com",
            "e-1.eu-west-1.docdb-elastic.amazonaws.com",
        ] {
            assert_eq!(region(host), None, "{host}");
        }
    }
}
