//! Which database a secret leads to, and as whom: the first, read-only part of an observation.

use crate::config::settings::Rotation;
use crate::rotation::error::RotationError;
use crate::rotation::site::Site;
use twinkey_core::secret::Sensitive;
use twinkey_core::secret::document::{Document, Fields};
use twinkey_core::secret::pair::Pair;
use twinkey_engines::{
    Credentials, Engine, EngineError, EngineKind, MasterNeeds, Questions, SignedIn, Surroundings,
    Target, Tls, TlsMode,
};
use twinkey_stores::{SecretStore, SecretVersion, Selector, StoreError, VersionId, stage};

/// The current document and where it leads.
pub(crate) struct Located {
    pub version_id: VersionId,
    pub created: Option<chrono::DateTime<chrono::Utc>>,
    pub document: Document,
    pub pair: Pair,
    pub kind: EngineKind,
    pub engine: Box<dyn Engine>,
    pub target: Target,
}

impl Located {
    /// The credentials in AWSCURRENT.
    pub fn current(&self) -> Credentials {
        credentials(&self.document)
    }

    /// Signs in and makes sure that the server knows the user by the same name (`pg_ident.conf` and
    /// the like can make somebody else of it).
    ///
    /// # Errors
    /// The engine's.
    pub async fn sign_in(
        &self,
        who: &Credentials,
        questions: Questions<'_>,
    ) -> Result<SignedIn, EngineError> {
        let signed_in = self.engine.sign_in(&self.target, who, questions).await?;
        if signed_in.user == who.username {
            return Ok(signed_in);
        }
        Err(EngineError::SignIn {
            host: self.target.host.clone(),
            port: self.target.port.unwrap_or_default(),
            user: who.username.clone(),
            reason: format!("the server says that this is {:?}", signed_in.user),
        })
    }
}

/// The master's credentials and where they are to be used.
pub(crate) struct Master {
    /// The ARN, else the name, of the secret that they are from; empty where they are from none.
    pub secret: String,
    pub version_id: VersionId,
    pub credentials: Credentials,
    pub target: Target,
}

pub(crate) fn credentials(document: &Document) -> Credentials {
    Credentials {
        username: document.fields().username.clone(),
        password: document.password().clone(),
    }
}

/// Reads a version and its document.
///
/// # Errors
/// The store's, or `secret_malformed`.
pub(crate) async fn read(
    store: &dyn SecretStore,
    what: &'static str,
    secret: &str,
    which: Selector<'_>,
) -> Result<(SecretVersion, Document), RotationError> {
    parsed(what, secret, store.get(secret, which).await)
}

fn parsed(
    what: &'static str,
    secret: &str,
    read: Result<SecretVersion, StoreError>,
) -> Result<(SecretVersion, Document), RotationError> {
    let version = read.map_err(|source| RotationError::Store {
        secret: secret.to_owned(),
        source,
    })?;
    let document =
        Document::parse(version.value.clone()).map_err(|source| RotationError::Document {
            what,
            secret: secret.to_owned(),
            source,
        })?;
    Ok((version, document))
}

/// Reads AWSCURRENT and works out the pair, the engine and the target.
///
/// # Errors
/// `secret_not_found`, `secret_malformed`, `unsupported_engine`, `username_too_long`, or the store's.
pub(crate) async fn locate(site: &Site, rotation: &Rotation) -> Result<Located, RotationError> {
    let store = &*site.store;
    let current = Selector::Stage(stage::CURRENT);
    let read = store.get(&rotation.secret, current).await;
    located(site, rotation, read)
}

/// As [`locate`], from AWSCURRENT as it was read.
///
/// # Errors
/// As [`locate`].
pub(crate) fn located(
    site: &Site,
    rotation: &Rotation,
    read: Result<SecretVersion, StoreError>,
) -> Result<Located, RotationError> {
    let (version, document) = parsed("secret", &rotation.secret, read)?;
    let fields = document.fields();
    let kind = engine_kind(rotation, fields)?;
    let around = surroundings(site, rotation, &version.arn, fields);
    let engine = kind.engine(&rotation.options, &around);
    let pair = Pair::of(&fields.username, &rotation.clone_suffix);
    for user in [&pair.base, &pair.clone] {
        engine
            .check_user_name(user)
            .map_err(|source| RotationError::Engine {
                role: super::error::Role::Current,
                source,
            })?;
    }
    let host = fields
        .host
        .clone()
        .ok_or_else(|| RotationError::Incomplete {
            secret: rotation.secret.clone(),
            field: "host",
        })?;
    let target = Target {
        host,
        port: fields.port,
        dbname: fields.dbname.clone(),
        tls: tls(rotation, fields),
    };
    Ok(Located {
        version_id: version.version_id,
        created: version.created,
        pair,
        kind,
        engine,
        target,
        document,
    })
}

/// What the engine may know besides its options.
fn surroundings(site: &Site, rotation: &Rotation, arn: &str, fields: &Fields) -> Surroundings {
    Surroundings {
        secret: if arn.is_empty() {
            rotation.secret.clone()
        } else {
            arn.to_owned()
        },
        master_secret: master_name(rotation, fields).filter(|_| site.aws.keeps_secrets()),
        cluster: fields.db_cluster_identifier.clone(),
        workgroup: fields.workgroup_name.clone(),
        aws: site.aws.clone(),
    }
}

fn master_name(rotation: &Rotation, fields: &Fields) -> Option<String> {
    rotation
        .master_secret
        .clone()
        .or_else(|| fields.master_arn.clone())
}

fn engine_kind(rotation: &Rotation, fields: &Fields) -> Result<EngineKind, RotationError> {
    if let Some(kind) = rotation.engine {
        return Ok(kind);
    }
    let Some(name) = &fields.engine else {
        return Err(RotationError::Incomplete {
            secret: rotation.secret.clone(),
            field: "engine",
        });
    };
    name.parse().map_err(|()| RotationError::UnsupportedEngine {
        secret: rotation.secret.clone(),
        engine: name.clone(),
    })
}

/// The config decides; only under `mode = "secret"` does the secret's own `ssl`.
fn tls(rotation: &Rotation, fields: &Fields) -> Tls {
    let by_secret = if fields.ssl == Some(false) {
        TlsMode::Disable
    } else {
        TlsMode::VerifyFull
    };
    Tls {
        mode: rotation.tls.mode.unwrap_or(by_secret),
        ca_file: rotation.tls.ca_file.clone(),
    }
}

/// Reads the master secret. What it does not say of host and port comes from the secret; the database
/// is the secret's own, because that is where the privileges are. An engine whose master needs no
/// password has none read.
///
/// # Errors
/// `secret_malformed` where none is named, or as [`read`].
pub(crate) async fn master(
    store: &dyn SecretStore,
    rotation: &Rotation,
    located: &Located,
) -> Result<Master, RotationError> {
    if let MasterNeeds::NoSecret { name } = located.engine.master() {
        return Ok(Master {
            secret: String::new(),
            version_id: VersionId(String::new()),
            credentials: Credentials {
                username: name,
                password: Sensitive::default(),
            },
            target: located.target.clone(),
        });
    }
    let name = master_name(rotation, located.document.fields()).ok_or_else(|| {
        RotationError::Incomplete {
            secret: rotation.secret.clone(),
            field: "masterarn",
        }
    })?;
    Ok(in_place(read_master(store, &name).await?, located))
}

/// Reads the secret and, where the config names it, the master's at the same time.
///
/// # Errors
/// As [`locate`] and [`master`].
pub(crate) async fn locate_both(
    site: &Site,
    rotation: &Rotation,
) -> Result<(Located, Master), RotationError> {
    let store = &*site.store;
    let named = async {
        let name = rotation.master_secret.as_ref()?;
        Some(read_master(store, name).await)
    };
    let (located, read) = tokio::join!(locate(site, rotation), named);
    let located = located?;
    let master = match read {
        Some(read) if located.engine.master() == MasterNeeds::Secret => in_place(read?, &located),
        _ => master(store, rotation, &located).await?,
    };
    Ok((located, master))
}

/// What a master secret holds.
struct MasterSecret {
    name: String,
    version: SecretVersion,
    document: Document,
}

async fn read_master(store: &dyn SecretStore, name: &str) -> Result<MasterSecret, RotationError> {
    let current = Selector::Stage(stage::CURRENT);
    let (version, document) = read(store, "master secret", name, current).await?;
    Ok(MasterSecret {
        name: name.to_owned(),
        version,
        document,
    })
}

/// A master secret's credentials, and where they lead for this secret.
fn in_place(read: MasterSecret, located: &Located) -> Master {
    let (version, document) = (read.version, read.document);
    let fields = document.fields();
    let target = Target {
        host: fields
            .host
            .clone()
            .unwrap_or_else(|| located.target.host.clone()),
        port: fields.port.or(located.target.port),
        dbname: located
            .target
            .dbname
            .clone()
            .or_else(|| fields.dbname.clone()),
        tls: located.target.tls.clone(),
    };
    Master {
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
