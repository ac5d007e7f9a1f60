//! Login of the master that a rotation uses.

use crate::config::settings::{HostPort, Rotation, Strategy};
use crate::rds::{DatabaseIds, RdsError};
use crate::rotation::context::RunContext;
use crate::rotation::context::admin_cache::AdminKey;
use crate::rotation::error::{CredentialRole, RotationError};
use crate::rotation::observe::resolve::{
    ResolvedSecret, credentials, master_name, read_document, resolve,
};
use crate::rotation::observe::trust::{MasterHostSources, master_address, master_tls, permits};
use twinkey_core::code::Code;
use twinkey_core::secret::Sensitive;
use twinkey_core::secret::document::{Document, Fields};
use twinkey_engines::{Credentials, MasterRequirement, Target};
use twinkey_stores::{SecretVersion, Selector, VersionId, stage};

/// The master's credentials and the server that receives them.
pub(crate) struct MasterLogin {
    /// The ARN, else the name, of the master secret; empty if the engine needs none.
    pub secret: String,
    pub version_id: VersionId,
    pub credentials: Credentials,
    pub target: Target,
}

impl MasterLogin {
    /// The key of the connection in the cache; `None` if no secret identifies the master.
    pub(crate) fn admin_key(
        &self,
        rotation: &Rotation,
        resolved: &ResolvedSecret,
    ) -> Option<AdminKey> {
        (!self.secret.is_empty()).then(|| AdminKey {
            engine: resolved.kind,
            options: rotation.options.clone(),
            target: self.target.clone(),
            user: self.credentials.username.clone(),
            secret: self.secret.clone(),
            version: self.version_id.clone(),
        })
    }
}

/// Reads the rotation's secret and its master secret, and finds where the master's password may go.
///
/// If the config names the master secret, both are read at the same time. For an engine whose master
/// needs no password none is read.
///
/// # Errors
/// `secret_malformed` if no master secret is configured; `host_untrusted`; errors of [`resolve`].
pub(super) async fn resolve_with_master(
    context: &RunContext,
    rotation: &Rotation,
) -> Result<(ResolvedSecret, MasterLogin), RotationError> {
    let named = async {
        let name = rotation.master_secret.as_ref()?;
        Some(read_secret(context, name).await)
    };
    let (resolved, read) = tokio::join!(resolve(context, rotation), named);
    let mut resolved = resolved?;
    if let MasterRequirement::NoSecret { name } = resolved.engine.master_requirement() {
        let master = MasterLogin {
            secret: String::new(),
            version_id: VersionId(String::new()),
            credentials: Credentials {
                username: name,
                password: Sensitive::default(),
            },
            target: proof_target(rotation, None, &resolved)?,
        };
        return Ok((resolved, master));
    }
    if rotates_itself(rotation, resolved.document.fields()) {
        let master = MasterLogin {
            secret: String::new(),
            version_id: VersionId(String::new()),
            credentials: resolved.current(),
            target: resolved.target.clone(),
        };
        return Ok((resolved, master));
    }
    let read = match read {
        Some(read) => read?,
        None => read_master(context, rotation, resolved.document.fields()).await?,
    };
    if !resolved.engine.master_uses_host() {
        resolved.use_database_of_master(rotation, read.document.fields())?;
    }
    let master = login(context, rotation, read, &resolved).await?;
    Ok((resolved, master))
}

/// Reads the master secret again, after a refused sign-in. Only its credentials may have changed.
///
/// `None` if the version is the same, or the master now signs in elsewhere, where nothing was proved.
///
/// # Errors
/// Errors of [`resolve_with_master`].
pub(super) async fn read_again(
    context: &RunContext,
    rotation: &Rotation,
    resolved: &ResolvedSecret,
    master: &MasterLogin,
) -> Result<Option<MasterLogin>, RotationError> {
    if master.secret.is_empty() {
        return Ok(None);
    }
    let read = read_master(context, rotation, resolved.document.fields()).await?;
    let again = login(context, rotation, read, resolved).await?;
    let renewed = again.version_id != master.version_id && again.target == master.target;
    Ok(renewed.then_some(again))
}

/// Whether the one user changes its own password, because no master is named.
///
/// Its password goes to the host that its secret names, as every application sends it there.
fn rotates_itself(rotation: &Rotation, fields: &Fields) -> bool {
    rotation.strategy != Strategy::Alternating && master_name(rotation, fields).is_none()
}

struct MasterSecret {
    name: String,
    version: SecretVersion,
    document: Document,
}

/// Reads the master secret that the config names, else the one that the secret names, if `masters`
/// permits it.
async fn read_master(
    context: &RunContext,
    rotation: &Rotation,
    fields: &Fields,
) -> Result<MasterSecret, RotationError> {
    let secret = &rotation.secret;
    let Some(name) = master_name(rotation, fields) else {
        return Err(RotationError::Incomplete {
            secret: secret.clone(),
            field: "masterarn",
        });
    };
    if rotation.master_secret.is_some() {
        return read_secret(context, &name).await;
    }
    let masters = rotation.masters.as_deref();
    if !permits(masters, &name) {
        return Err(excluded(secret, &name));
    }
    let read = read_secret(context, &name).await?;
    // An ARN without AWS's suffix can have another meaning than its text.
    let arn = &read.version.arn;
    if !arn.is_empty() && !permits(masters, arn) {
        return Err(excluded(secret, arn));
    }
    Ok(read)
}

async fn read_secret(context: &RunContext, name: &str) -> Result<MasterSecret, RotationError> {
    let current = Selector::Stage(stage::CURRENT);
    let store = &*context.store;
    let (version, document) = read_document(store, "master secret", name, current).await?;
    Ok(MasterSecret {
        name: name.to_owned(),
        version,
        document,
    })
}

/// Combines a master secret with the host that may receive its password.
async fn login(
    context: &RunContext,
    rotation: &Rotation,
    read: MasterSecret,
    resolved: &ResolvedSecret,
) -> Result<MasterLogin, RotationError> {
    let fields = read.document.fields();
    let target = if resolved.engine.master_uses_host() {
        let address = master_host(context, rotation, &read, resolved).await?;
        target_at(rotation, address, Some(fields), resolved)
    } else {
        let checked = resolved.engine.check_master_database();
        checked.map_err(CredentialRole::Master.error())?;
        proof_target(rotation, Some(fields), resolved)?
    };
    let (version, document) = (read.version, read.document);
    Ok(MasterLogin {
        secret: if version.arn.is_empty() {
            read.name
        } else {
            version.arn
        },
        version_id: version.version_id,
        credentials: credentials(&document),
        target,
    })
}

/// The host and port that the master secret, the config or the RDS API names.
///
/// # Errors
/// `host_untrusted`
async fn master_host(
    context: &RunContext,
    rotation: &Rotation,
    read: &MasterSecret,
    resolved: &ResolvedSecret,
) -> Result<HostPort, RotationError> {
    let mut sources = MasterHostSources {
        master: read.document.fields(),
        configured: rotation.master_host.as_ref(),
        rds: None,
        secret_port: resolved.target.port,
    };
    if let Some(address) = master_address(sources) {
        return Ok(address);
    }
    let answer = ask_rds(context, read, resolved).await;
    sources.rds = answer.as_ref().ok().and_then(Option::as_ref);
    master_address(sources).ok_or_else(|| untrusted(rotation, &read.name, answer.err().as_ref()))
}

/// The endpoint of the database whose master secret this is. Secrets of the embedded store have none.
async fn ask_rds(
    context: &RunContext,
    read: &MasterSecret,
    resolved: &ResolvedSecret,
) -> Result<Option<HostPort>, RdsError> {
    let RunContext {
        aws, clock, rds, ..
    } = context;
    let arn = &read.version.arn;
    if !aws.stores_secrets() || arn.is_empty() {
        return Ok(None);
    }
    let fields = resolved.document.fields();
    let ids = DatabaseIds {
        instance: fields.db_instance_identifier.as_deref(),
        cluster: fields.db_cluster_identifier.as_deref(),
    };
    rds.endpoint(aws, clock, arn, ids).await
}

/// The target at which credentials are proved if an AWS API carries out the master's statements.
///
/// If a sign-in connects to a host, the master secret or the config has to name it.
///
/// # Errors
/// `host_untrusted`
fn proof_target(
    rotation: &Rotation,
    master: Option<&Fields>,
    resolved: &ResolvedSecret,
) -> Result<Target, RotationError> {
    if !resolved.engine.connects_to_host() {
        return Ok(resolved.target.clone());
    }
    let of_config = || rotation.master_host.clone();
    let of_master = master.and_then(|fields| {
        let host = fields.host.clone()?;
        Some(HostPort {
            host,
            port: fields.port,
        })
    });
    let address = of_master.or_else(of_config).ok_or_else(|| {
        RotationError::Refused {
            code: Code::HostUntrusted,
            message: format!(
                "neither the master secret nor the config names the host at which AWSCURRENT of {:?} is proved, and the secret's own host {:?} is not trusted",
                rotation.secret, resolved.target.host
            ),
            hint: "set master_host = \"HOST:PORT\" for the rotation to the cluster's endpoint, or add `host` to the master secret".into(),
            passes: false,
        }
    })?;
    let target = target_at(rotation, address, master, resolved);
    Ok(Target {
        dbname: resolved.target.dbname.clone(),
        ..target
    })
}

/// The target of the master. Only the config and the master secret decide its TLS.
fn target_at(
    rotation: &Rotation,
    address: HostPort,
    master: Option<&Fields>,
    resolved: &ResolvedSecret,
) -> Target {
    let own = &resolved.target;
    Target {
        address: None,
        host: address.host,
        port: address.port.or(own.port),
        dbname: own
            .dbname
            .clone()
            .or_else(|| master.and_then(|fields| fields.dbname.clone())),
        tls: master_tls(&rotation.tls, master.and_then(|fields| fields.ssl)),
    }
}

fn excluded(secret: &str, master: &str) -> RotationError {
    RotationError::Refused {
        code: Code::HostUntrusted,
        message: format!(
            "`masterarn` of the secret {secret:?} names {master:?}, which `masters` in the config excludes"
        ),
        hint: "correct `masterarn` in the secret; or add this master secret to `masters`, or name it as master_secret in the config".into(),
        passes: false,
    }
}

/// The error for a master secret whose host no trusted source names.
fn untrusted(rotation: &Rotation, master: &str, rds: Option<&RdsError>) -> RotationError {
    let asked = rds.map_or_else(String::new, |error| {
        format!("; the RDS API was asked, but {}", error.reason)
    });
    RotationError::Refused {
        code: Code::HostUntrusted,
        message: format!(
            "nothing trusted names the host of the master {master:?}, and the host in the secret {:?} does not receive its password{asked}",
            rotation.secret
        ),
        hint: "add `host` to the master secret; or set master_host = \"HOST:PORT\" for the rotation; or, for a master that RDS manages, allow the worker rds:DescribeDBInstances and rds:DescribeDBClusters".into(),
        passes: rds.is_some_and(|error| error.retryable),
    }
}
