//! Login of the master that a rotation uses.

use crate::config::settings::Rotation;
use crate::rotation::context::RunContext;
use crate::rotation::context::admin_cache::AdminKey;
use crate::rotation::error::RotationError;
use crate::rotation::observe::resolve::{
    ResolvedSecret, credentials, master_name, read_document, resolve,
};
use twinkey_core::secret::Sensitive;
use twinkey_core::secret::document::Document;
use twinkey_engines::{Credentials, MasterRequirement, Target};
use twinkey_stores::{SecretStore, SecretVersion, Selector, VersionId, stage};

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

/// Reads the master secret.
///
/// If it has no host or port, those of the rotation's secret apply. The database is always the one
/// of the rotation's secret, because the privileges are there. For an engine whose master needs no
/// password nothing is read.
///
/// # Errors
/// `secret_malformed` if no master secret is configured; errors of [`read_document`].
pub(super) async fn resolve_master(
    store: &dyn SecretStore,
    rotation: &Rotation,
    resolved: &ResolvedSecret,
) -> Result<MasterLogin, RotationError> {
    if let MasterRequirement::NoSecret { name } = resolved.engine.master_requirement() {
        return Ok(MasterLogin {
            secret: String::new(),
            version_id: VersionId(String::new()),
            credentials: Credentials {
                username: name,
                password: Sensitive::default(),
            },
            target: resolved.target.clone(),
        });
    }
    let name = master_name(rotation, resolved.document.fields()).ok_or_else(|| {
        RotationError::Incomplete {
            secret: rotation.secret.clone(),
            field: "masterarn",
        }
    })?;
    Ok(login(read_master(store, &name).await?, resolved))
}

/// Reads the rotation's secret and, if the config names it, the master secret at the same time.
///
/// # Errors
/// Errors of [`resolve`] and [`resolve_master`].
pub(super) async fn resolve_with_master(
    context: &RunContext,
    rotation: &Rotation,
) -> Result<(ResolvedSecret, MasterLogin), RotationError> {
    let store = &*context.store;
    let named = async {
        let name = rotation.master_secret.as_ref()?;
        Some(read_master(store, name).await)
    };
    let (resolved, read) = tokio::join!(resolve(context, rotation), named);
    let resolved = resolved?;
    let master = match read {
        Some(read) if resolved.engine.master_requirement() == MasterRequirement::Secret => {
            login(read?, &resolved)
        }
        _ => resolve_master(store, rotation, &resolved).await?,
    };
    Ok((resolved, master))
}

struct MasterSecret {
    name: String,
    version: SecretVersion,
    document: Document,
}

async fn read_master(store: &dyn SecretStore, name: &str) -> Result<MasterSecret, RotationError> {
    let current = Selector::Stage(stage::CURRENT);
    let (version, document) = read_document(store, "master secret", name, current).await?;
    Ok(MasterSecret {
        name: name.to_owned(),
        version,
        document,
    })
}

/// Combines a master secret with the target of the rotation's secret.
fn login(read: MasterSecret, resolved: &ResolvedSecret) -> MasterLogin {
    let (version, document) = (read.version, read.document);
    let fields = document.fields();
    let target = Target {
        host: fields
            .host
            .clone()
            .unwrap_or_else(|| resolved.target.host.clone()),
        port: fields.port.or(resolved.target.port),
        dbname: resolved
            .target
            .dbname
            .clone()
            .or_else(|| fields.dbname.clone()),
        tls: resolved.target.tls.clone(),
    };
    MasterLogin {
        secret: if version.arn.is_empty() {
            read.name
        } else {
            version.arn
        },
        version_id: version.version_id,
        credentials: credentials(&document),
        target,
    }
}
