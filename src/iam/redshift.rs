//! What Redshift's Data API takes ("Configuring IAM permissions" in the Redshift management guide; "Actions,
//! resources, and condition keys" of the Data API, of Redshift and of Redshift Serverless).

use std::collections::BTreeSet;

use serde_json::json;

use super::facts::{Known, Rotated};
use super::{Place, Policy, Statement};
use twinkey_engines::{RedshiftProbe, RedshiftTarget};

/// The probe secrets' names begin so (`engine::redshift`); what follows is not known beforehand.
const PROBES: &str = "secret:twinkey/probe/*";

/// Adds what the rotations of Redshift need.
pub(super) fn statements(
    rotations: &[Rotated<'_>],
    place: &Place,
    known: &Known,
    all: &mut Policy,
) {
    let mut needs = Needs::default();
    let mut some = false;
    let mut probes = false;
    for one in rotations.iter().filter(|one| one.is_redshift()) {
        some = true;
        probes |= one.rotation.options.redshift.probe == RedshiftProbe::Secret;
        match &one.target {
            Some(RedshiftTarget::Cluster(cluster)) => needs.cluster(one, place, cluster),
            Some(RedshiftTarget::Workgroup(name)) => {
                needs.workgroup(one, place, name, known, &mut all.notes);
            }
            None => all.notes.push(format!(
                "neither the config nor what is known of the secret names the cluster or workgroup of {}: it is left out; give --ask, or redshift = {{ cluster = … }} in the config",
                one.rotation.name
            )),
        }
    }
    let Needs {
        places,
        users,
        identities,
        workgroups,
    } = needs;
    all.statements.extend([
        Statement::allow(
            "Statements",
            &["redshift-data:BatchExecuteStatement"],
            places,
        ),
        Statement::allow("DatabaseUsers", &["redshift:GetClusterCredentials"], users),
        Statement::allow(
            "ClusterIdentity",
            &["redshift:GetClusterCredentialsWithIAM"],
            identities,
        ),
        Statement::allow(
            "WorkgroupIdentity",
            &["redshift-serverless:GetCredentials"],
            workgroups,
        ),
    ]);
    if some {
        // Statements are nobody's resource: what limits these is whose they are.
        let own = json!({ "StringEquals": { "redshift-data:statement-owner-iam-userid": "${aws:userid}" } });
        let results = Statement::allow(
            "OwnStatements",
            &[
                "redshift-data:DescribeStatement",
                "redshift-data:GetStatementResult",
                "redshift-data:CancelStatement",
            ],
            ["*".to_owned()],
        );
        all.statements.push(results.when(own));
    }
    if probes {
        all.statements.push(Statement::allow(
            "ProbeSecrets",
            &[
                "secretsmanager:CreateSecret",
                // CreateSecret with a tag.
                "secretsmanager:TagResource",
                "secretsmanager:PutSecretValue",
                // By the Data API, in the worker's name.
                "secretsmanager:GetSecretValue",
                "secretsmanager:DeleteSecret",
            ],
            [place.arn("secretsmanager", PROBES)],
        ));
    }
}

#[derive(Default)]
struct Needs {
    places: BTreeSet<String>,
    users: BTreeSet<String>,
    identities: BTreeSet<String>,
    workgroups: BTreeSet<String>,
}

impl Needs {
    fn cluster(&mut self, one: &Rotated<'_>, place: &Place, cluster: &str) {
        let arn =
            |kind: &str, rest: &str| place.arn("redshift", &format!("{kind}:{cluster}{rest}"));
        self.places.insert(arn("cluster", ""));
        // A run looks into every database of the cluster.
        let databases = || arn("dbname", "/*");
        match (&one.rotation.options.redshift.db_user, one.master_secret()) {
            (Some(user), _) => {
                self.users.insert(arn("dbuser", &format!("/{user}")));
                self.users.insert(databases());
            }
            (None, Some(_)) => {}
            (None, None) => {
                self.identities.insert(databases());
            }
        }
    }

    fn workgroup(
        &mut self,
        one: &Rotated<'_>,
        place: &Place,
        name: &str,
        known: &Known,
        notes: &mut Vec<String>,
    ) {
        let id = known.workgroup_ids.get(name);
        if id.is_none() {
            notes.push(format!(
                "the ARN of the workgroup {name:?} holds its id and not its name: all workgroups are allowed; give --workgroup-id {name}=ID"
            ));
        }
        let id = id.map_or("*", String::as_str);
        let arn = place.arn("redshift-serverless", &format!("workgroup/{id}"));
        self.places.insert(arn.clone());
        if one.master_secret().is_none() {
            self.workgroups.insert(arn);
        }
    }
}
