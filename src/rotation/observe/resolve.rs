//! Database, users and engine that a secret refers to.

use crate::config::settings::{Rotation, Strategy, has_single_strategy};
use crate::rotation::context::RunContext;
use crate::rotation::error::{CredentialRole, RotationError};
use twinkey_core::code::Code;
use twinkey_core::secret::document::{Document, DocumentError, Fields, MAX_BYTES};
use twinkey_core::secret::pair::Pair;
use twinkey_engines::{
    Credentials, Engine, EngineContext, EngineError, EngineKind, SignInChecks, SignedIn, Target,
    Tls, TlsMode,
};
use twinkey_stores::{SecretStore, SecretVersion, Selector, StoreError, VersionId, stage};

/// The document in AWSCURRENT with its pair, engine and target.
pub(crate) struct ResolvedSecret {
    pub version_id: VersionId,
    pub created: Option<chrono::DateTime<chrono::Utc>>,
    pub document: Document,
    pub pair: Pair,
    pub kind: EngineKind,
    pub engine: Box<dyn Engine>,
    engine_context: EngineContext,
    pub target: Target,
}

impl ResolvedSecret {
    /// The secret's ARN, else its name in the config.
    pub fn secret_id(&self) -> &str {
        &self.engine_context.secret
    }

    /// Whether the rotation has one user (`strategy = "single"`).
    pub fn has_one_user(&self) -> bool {
        self.pair.base == self.pair.clone
    }

    /// The credentials in AWSCURRENT.
    pub fn current(&self) -> Credentials {
        credentials(&self.document)
    }

    /// Makes the engine use the cluster or workgroup that the master secret names.
    ///
    /// # Errors
    /// `unsupported_engine`
    pub(super) fn use_database_of_master(
        &mut self,
        rotation: &Rotation,
        master: &Fields,
    ) -> Result<(), RotationError> {
        let context = &mut self.engine_context;
        context
            .master_cluster
            .clone_from(&master.db_cluster_identifier);
        context.master_workgroup.clone_from(&master.workgroup_name);
        let engine = twinkey_engines::engine(self.kind, &rotation.options, context);
        self.engine = engine.map_err(CredentialRole::Master.error())?;
        Ok(())
    }

    /// As [`Self::sign_in_at`], at the secret's host.
    ///
    /// # Errors
    /// Errors of the engine.
    pub async fn sign_in(
        &self,
        who: &Credentials,
        checks: SignInChecks<'_>,
    ) -> Result<SignedIn, EngineError> {
        self.sign_in_at(&self.target, who, checks).await
    }

    /// The port in the document, else the engine's default.
    pub fn port(&self) -> u16 {
        self.target.port.unwrap_or(self.kind.default_port())
    }

    /// The server as `host:port`. Servers of one host are apart: one of them can be down.
    pub fn server(&self) -> String {
        format!("{}:{}", self.target.host, self.port())
    }

    /// Signs in and compares the user name that the server reports.
    ///
    /// Server-side maps such as `pg_ident.conf` can sign a user in under another name.
    ///
    /// # Errors
    /// Errors of the engine.
    pub async fn sign_in_at(
        &self,
        target: &Target,
        who: &Credentials,
        checks: SignInChecks<'_>,
    ) -> Result<SignedIn, EngineError> {
        let signed_in = self.engine.sign_in(target, who, checks).await?;
        if signed_in.user == who.username {
            return Ok(signed_in);
        }
        Err(EngineError::SignIn {
            host: target.host.clone(),
            port: target.port.unwrap_or(self.kind.default_port()),
            user: who.username.clone(),
            reason: format!("the server reports the user {:?}", signed_in.user),
        })
    }
}

/// The user name and password in a document.
pub(crate) fn credentials(document: &Document) -> Credentials {
    Credentials {
        username: document.fields().username.clone(),
        password: document.password().clone(),
    }
}

/// Reads a version and parses its document.
///
/// # Errors
/// Errors of the store; `secret_malformed`.
pub(crate) async fn read_document(
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

/// Reads AWSCURRENT and derives the pair, the engine and the target.
///
/// # Errors
/// `secret_not_found`, `secret_malformed`, `unsupported_engine`, `username_too_long`; errors of the
/// store.
pub(crate) async fn resolve(
    context: &RunContext,
    rotation: &Rotation,
) -> Result<ResolvedSecret, RotationError> {
    let store = &*context.store;
    let current = Selector::Stage(stage::CURRENT);
    let read = store.get(&rotation.secret, current).await;
    resolve_version(context, rotation, read)
}

/// As [`resolve`], from an AWSCURRENT that was read before.
///
/// # Errors
/// Errors of [`resolve`].
pub(crate) fn resolve_version(
    context: &RunContext,
    rotation: &Rotation,
    read: Result<SecretVersion, StoreError>,
) -> Result<ResolvedSecret, RotationError> {
    let (version, document) = parsed("secret", &rotation.secret, read)?;
    let fields = document.fields();
    let kind = engine_kind(rotation, fields)?;
    if rotation.strategy != Strategy::Alternating && !has_single_strategy(kind) {
        return Err(RotationError::Refused {
            code: Code::UnsupportedEngine,
            message: format!(
                "strategy = \"single\" is not supported by this version for the engine {kind} of the secret {:?}",
                rotation.secret
            ),
            hint: "set strategy = \"alternating\" for the rotation, or remove it from the config"
                .into(),
            passes: false,
        });
    }
    let engine_context = engine_context(context, rotation, &version.arn, fields);
    let engine = twinkey_engines::engine(kind, &rotation.options, &engine_context)
        .map_err(CredentialRole::Current.error())?;
    let pair = pair_of(rotation, &fields.username);
    for user in [&pair.base, &pair.clone] {
        engine
            .check_user_name(user)
            .map_err(|source| RotationError::Engine {
                role: CredentialRole::Current,
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
        address: None,
        host,
        port: fields.port,
        dbname: fields.dbname.clone(),
        tls: tls(rotation, fields),
    };
    Ok(ResolvedSecret {
        version_id: version.version_id,
        created: version.created,
        pair,
        kind,
        engine,
        engine_context,
        target,
        document,
    })
}

/// The users of a rotation whose AWSCURRENT has this user.
pub(super) fn pair_of(rotation: &Rotation, user: &str) -> Pair {
    match rotation.strategy {
        Strategy::Alternating => Pair::of(user, &rotation.clone_suffix),
        Strategy::Single { .. } => Pair::of_one(user),
    }
}

/// Checks that a run can write the next document, and that it replaces each copy of the credentials.
///
/// # Errors
/// `secret_malformed`
pub(super) fn check_next_document(
    rotation: &Rotation,
    resolved: &ResolvedSecret,
) -> Result<(), RotationError> {
    let malformed = |source| {
        Err(RotationError::Document {
            what: "secret",
            secret: rotation.secret.clone(),
            source,
        })
    };
    let document = &resolved.document;
    if let Some(field) = document.copy_of_credentials(&resolved.pair) {
        return malformed(DocumentError::Copy { field });
    }
    let standby = resolved.pair.standby_user();
    let bytes = document.size_with(standby, rotation.password.length());
    if bytes > MAX_BYTES {
        return malformed(DocumentError::TooLong { bytes });
    }
    Ok(())
}

/// What the engine receives besides its options.
fn engine_context(
    context: &RunContext,
    rotation: &Rotation,
    arn: &str,
    fields: &Fields,
) -> EngineContext {
    EngineContext {
        secret: if arn.is_empty() {
            rotation.secret.clone()
        } else {
            arn.to_owned()
        },
        master_secret: master_name(rotation, fields).filter(|_| context.aws.stores_secrets()),
        cluster: fields.db_cluster_identifier.clone(),
        workgroup: fields.workgroup_name.clone(),
        master_cluster: None,
        master_workgroup: None,
        aws: context.aws.clone(),
    }
}

/// The master secret: the config's, else the one that the secret names.
pub(super) fn master_name(rotation: &Rotation, fields: &Fields) -> Option<String> {
    rotation
        .master_secret
        .clone()
        .or_else(|| fields.master_arn.clone())
}

pub(super) fn engine_kind(
    rotation: &Rotation,
    fields: &Fields,
) -> Result<EngineKind, RotationError> {
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

/// TLS settings of the config. The secret's `ssl` applies only under `mode = "secret"`.
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
