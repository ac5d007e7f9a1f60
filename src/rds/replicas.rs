//! The readers of a database among what the RDS API lists. Pure.
//!
//! # Failure modes
//! - The secret names a replica, or the reader endpoint of a cluster. All copies of the same source are
//!   its readers.
//! - A replica replicates from a replica. Replicas are followed to their end.
//! - A replica is being created and has no endpoint: no application connects to it.
//! - A replica is in another region: another listing has it, so that it has to be named in the config.

use std::collections::BTreeSet;

use super::DatabaseIds;
use super::response::Database;
use crate::config::settings::HostPort;

/// All instances and clusters of an account and region.
#[derive(Debug, Clone, Default)]
pub(super) struct Listing {
    pub instances: Vec<Database>,
    pub clusters: Vec<Database>,
}

impl Listing {
    /// The readers of the database with one of these identifiers, or else hosts. `None`: no database
    /// has them.
    pub(super) fn readers(&self, ids: DatabaseIds<'_>, hosts: &[&str]) -> Option<Vec<HostPort>> {
        let is_named = |one: &&Database, id: Option<&str>| {
            id.is_some_and(|id| one.identifier.eq_ignore_ascii_case(id))
        };
        let is_host = |name: &str| hosts.iter().any(|host| host.eq_ignore_ascii_case(name));
        let has_host = |one: &&Database| {
            let own = one.endpoint.as_ref().is_some_and(|at| is_host(&at.host));
            own || one.replication.reader_host.as_deref().is_some_and(is_host)
        };
        let (instances, clusters) = (|| self.instances.iter(), || self.clusters.iter());
        if let Some(cluster) = clusters().find(|one| is_named(one, ids.cluster)) {
            return Some(self.of_cluster(cluster));
        }
        let instance = instances().find(|one| is_named(one, ids.instance));
        let by_host = || instances().find(has_host);
        if instance.is_none()
            && let Some(cluster) = clusters().find(has_host)
        {
            return Some(self.of_cluster(cluster));
        }
        let instance = instance.or_else(by_host)?;
        let of = instance.replication.cluster.as_deref();
        if let Some(cluster) = clusters().find(|one| is_named(one, of)) {
            return Some(self.of_cluster(cluster));
        }
        Some(self.of_instance(self.source_of(instance)))
    }

    fn instance(&self, id: &str) -> Option<&Database> {
        self.instances.iter().find(|one| one.identifier == id)
    }

    /// The first source of a chain of replicas, as far as it is listed.
    fn source_of<'a>(&'a self, instance: &'a Database) -> &'a Database {
        let mut source = instance;
        // A listing has no circles; the limit is for one that does.
        for _ in 0..self.instances.len() {
            let next = source.replication.source.as_deref();
            let Some(next) = next.and_then(|id| self.instance(id)) else {
                break;
            };
            source = next;
        }
        source
    }

    fn of_instance(&self, source: &Database) -> Vec<HostPort> {
        let mut known: BTreeSet<&str> = [source.identifier.as_str()].into();
        let mut todo: Vec<&Database> = vec![source];
        let mut all = Vec::new();
        while let Some(one) = todo.pop() {
            for id in &one.replication.replicas {
                if let Some(replica) = self.instance(id).filter(|_| known.insert(id)) {
                    all.extend(replica.endpoint.clone());
                    todo.push(replica);
                }
            }
        }
        all
    }

    fn of_cluster(&self, cluster: &Database) -> Vec<HostPort> {
        let readers = &cluster.replication.readers;
        let instances = readers.iter().filter_map(|id| self.instance(id));
        let mut all: Vec<HostPort> = instances.filter_map(|one| one.endpoint.clone()).collect();
        // Without readers, it is the writer.
        if let Some(host) = cluster
            .replication
            .reader_host
            .clone()
            .filter(|_| !all.is_empty())
        {
            let port = cluster.endpoint.as_ref().and_then(|at| at.port);
            all.push(HostPort { host, port });
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::super::response::Replication;
    use super::*;

    fn database(id: &str, host: &str, replication: Replication) -> Database {
        Database {
            identifier: id.into(),
            replication,
            endpoint: (!host.is_empty()).then(|| format!("{host}:5432").parse().unwrap()),
            master_secret: None,
        }
    }

    fn instance(id: &str, host: &str, source: &str, replicas: &[&str]) -> Database {
        let replication = Replication {
            source: (!source.is_empty()).then(|| source.to_owned()),
            replicas: replicas.iter().map(|&id| id.into()).collect(),
            ..Replication::default()
        };
        database(id, host, replication)
    }

    fn listing() -> Listing {
        let member = |id: &str, host| {
            let cluster = Some("c".to_owned());
            let replication = Replication {
                cluster,
                ..Replication::default()
            };
            database(id, host, replication)
        };
        let cluster = |id: &str, host, readers: &[&str], reader_host: &str| {
            let replication = Replication {
                readers: readers.iter().map(|&id| id.into()).collect(),
                reader_host: Some(reader_host.into()),
                ..Replication::default()
            };
            database(id, host, replication)
        };
        Listing {
            instances: vec![
                instance(
                    "a",
                    "a.db",
                    "",
                    &["a-1", "a-2", "arn:aws:rds:us-east-1:1:db:far"],
                ),
                instance("a-1", "a1.db", "a", &["a-1-1"]),
                instance("a-1-1", "a11.db", "a-1", &[]),
                instance("a-2", "", "a", &[]),
                instance("alone", "alone.db", "", &[]),
                member("c-1", "c1.db"),
                member("c-2", "c2.db"),
            ],
            clusters: vec![
                cluster("c", "c.db", &["c-2"], "c-ro.db"),
                cluster("single", "s.db", &[], "s-ro.db"),
            ],
        }
    }

    #[test]
    fn replicas_are_followed_from_any_name_of_the_database() {
        let all = listing();
        let none = DatabaseIds::default();
        let of = |ids, host: &str| -> Option<Vec<String>> {
            let found = all.readers(ids, &[host])?;
            Some(found.iter().map(ToString::to_string).collect())
        };
        let replicas = Some(vec!["a1.db:5432".to_owned(), "a11.db:5432".into()]);
        for host in ["a.db", "A.DB", "a1.db", "a11.db"] {
            assert_eq!(of(none, host), replicas, "{host}");
        }
        let by_id = DatabaseIds {
            instance: Some("A"),
            cluster: None,
        };
        assert_eq!(of(by_id, "an.alias"), replicas);
        let readers = Some(vec!["c2.db:5432".to_owned(), "c-ro.db:5432".into()]);
        for host in ["c.db", "c-ro.db", "c1.db", "c2.db"] {
            assert_eq!(of(none, host), readers, "{host}");
        }
        let by_id = DatabaseIds {
            instance: None,
            cluster: Some("c"),
        };
        assert_eq!(of(by_id, "an.alias"), readers);
        assert_eq!(of(none, "alone.db"), Some(vec![]));
        assert_eq!(of(none, "s.db"), Some(vec![]));
        assert_eq!(of(none, "other.db"), None);
    }
}
