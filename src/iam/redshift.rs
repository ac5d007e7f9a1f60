//! Permissions for Redshift's Data API ("Configuring IAM permissions" in the Redshift management guide; "Actions,
//! resources, and condition keys" of the Data API, of Redshift and of Redshift Serverless).

use std::collections::BTreeSet;

use serde_json::json;

use super::known::{Known, KnownRotation};
use super::policy::list_secrets;
use super::{AccountScope, Policy, Statement};
use twinkey_engines::{RedshiftProbe, RedshiftTarget};

/// The names of the probe secrets; only their prefix is known in advance.
const PROBES: &str = "secret:twinkey/probe/*";

/// Adds the statements of the Redshift rotations.
pub(super) fn statements(
    rotations: &[KnownRotation<'_>],
    scope: &AccountScope,
    known: &Known,
    uses_aws_store: bool,
    all: &mut Policy,
) {
    let mut resources = Resources::default();
    let mut any = false;
    let mut probes = false;
    for one in rotations.iter().filter(|one| one.is_redshift()) {
        any = true;
        probes |= one.rotation.options.redshift.probe == RedshiftProbe::Secret;
        match &one.target {
            Some(RedshiftTarget::Cluster(cluster)) => resources.cluster(one, scope, cluster),
            Some(RedshiftTarget::Workgroup(name)) => {
                resources.workgroup(one, scope, name, known, &mut all.notes);
            }
            None => all.notes.push(format!(
                "neither the config nor the known facts name the cluster or workgroup of {}: it is omitted; give --ask, or set redshift = {{ cluster = … }} in the config",
                one.rotation.name
            )),
        }
    }
    let Resources {
        targets,
        users,
        identities,
        workgroups,
    } = resources;
    all.statements.extend([
        Statement::allow(
            "Statements",
            &["redshift-data:BatchExecuteStatement"],
            targets,
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
    if any {
        // Statements are not resources, so a condition on their owner limits these actions.
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
        if !uses_aws_store {
            all.statements.push(list_secrets("LeftoverProbeSecrets"));
        }
        all.statements.push(Statement::allow(
            "ProbeSecrets",
            &[
                "secretsmanager:CreateSecret",
                // For CreateSecret with a tag.
                "secretsmanager:TagResource",
                // The Data API reads it on behalf of the worker.
                "secretsmanager:GetSecretValue",
                "secretsmanager:DeleteSecret",
            ],
            [scope.arn("secretsmanager", PROBES)],
        ));
    }
}

#[derive(Default)]
struct Resources {
    targets: BTreeSet<String>,
    users: BTreeSet<String>,
    identities: BTreeSet<String>,
    workgroups: BTreeSet<String>,
}

impl Resources {
    fn cluster(&mut self, one: &KnownRotation<'_>, scope: &AccountScope, cluster: &str) {
        let arn =
            |kind: &str, rest: &str| scope.arn("redshift", &format!("{kind}:{cluster}{rest}"));
        self.targets.insert(arn("cluster", ""));
        // A run reads every database of the cluster.
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
        one: &KnownRotation<'_>,
        scope: &AccountScope,
        name: &str,
        known: &Known,
        notes: &mut Vec<String>,
    ) {
        let id = known.workgroup_ids.get(name);
        if id.is_none() {
            notes.push(format!(
                "the ARN of the workgroup {name:?} contains its id, not its name: all workgroups are allowed; give --workgroup-id {name}=ID"
            ));
        }
        let id = id.map_or("*", String::as_str);
        let arn = scope.arn("redshift-serverless", &format!("workgroup/{id}"));
        self.targets.insert(arn.clone());
        if one.master_secret().is_none() {
            self.workgroups.insert(arn);
        }
    }
}
