//! The stores of a config: `[secrets]` and each `[[store]]`. The only place that names all backends.
//!
//! # Failure modes
//! - A rotation uses the store of another one. Its context has one store, which [`Stores::of`] looks up
//!   when the context is built; nothing below knows that there are several.
//! - A reload changes or removes a store while runs use it. They keep what they have; a store is known by
//!   its settings, not by its name.
//! - One account does not answer, and delays the start of a worker. A store is opened without a call: the
//!   first operation calls AWS.
//! - One account uses up the quota of another one. Each account and region has a limiter of its own.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::config::settings::{
    DEFAULT_STORE, SecretsBackend, Settings, StoreSettings, store_of_arn,
};
use crate::rds::RdsEndpoints;
use twinkey_core::aws::{Aws, Role, arn};
#[cfg(not(feature = "aws"))]
use twinkey_core::secret::Sensitive;
use twinkey_core::telemetry::metrics::Metrics;
use twinkey_stores::batch::BatchReader;
use twinkey_stores::local::LocalStore;
use twinkey_stores::measured::Measured;
use twinkey_stores::throttle::WriteLimiter;
#[cfg(not(feature = "aws"))]
use twinkey_stores::{Description, SecretVersion, Selector, VersionId};
use twinkey_stores::{SecretStore, StoreError};

/// An open store, with what is called in its account and region. Cheap to clone.
#[derive(Clone)]
pub struct OpenStore {
    pub secrets: Arc<dyn SecretStore>,
    /// For other services of its account.
    pub aws: Aws,
    pub rds: RdsEndpoints,
    /// For reads of many secrets.
    pub batches: Arc<BatchReader>,
}

impl OpenStore {
    fn new(secrets: Arc<dyn SecretStore>, aws: Aws) -> Self {
        Self {
            secrets,
            aws,
            rds: RdsEndpoints::default(),
            batches: Arc::default(),
        }
    }
}

/// The shared write limiter of a store, by the key of its quota and its writes per second; `None` if the process has a
/// limiter of its own.
pub type SharedLimiters =
    Box<dyn Fn(&str, NonZeroU32) -> Option<Arc<dyn WriteLimiter>> + Send + Sync>;

/// The stores of the active config. Cheap to clone.
#[derive(Clone)]
pub struct Stores(Arc<Inner>);

struct Inner {
    default: OpenStore,
    further: Mutex<Further>,
    opener: Option<Opener>,
}

#[derive(Default)]
struct Further {
    /// Those of the active config, in its order.
    configured: Vec<Arc<StoreSettings>>,
    /// Those that are open; also former ones, which a run of the former config used.
    open: HashMap<Arc<StoreSettings>, OpenStore>,
}

/// What opens a `[[store]]`.
struct Opener {
    /// The worker's own credentials, which assume the roles.
    own: Aws,
    limiters: SharedLimiters,
    metrics: Metrics,
    /// The name of this process, for CloudTrail.
    worker: String,
}

impl Stores {
    /// One store for all rotations, in which no other service is called.
    #[must_use]
    pub fn single(store: Arc<dyn SecretStore>) -> Self {
        Self(Arc::new(Inner {
            default: OpenStore::new(store, Aws::default()),
            further: Mutex::default(),
            opener: None,
        }))
    }

    /// Opens the stores of a config; with `create`, a missing embedded store is created.
    ///
    /// # Errors
    /// [`StoreError`] when the embedded store does not open.
    pub async fn open(
        settings: &Settings,
        create: bool,
        limiters: SharedLimiters,
        metrics: &Metrics,
        worker: &str,
    ) -> Result<Self, StoreError> {
        let aws = aws(&settings.secrets);
        let secrets: Arc<dyn SecretStore> = match &settings.secrets {
            SecretsBackend::Aws { .. } => {
                let writes = settings.limits.store_writes();
                open_aws(&aws, writes, limiters(DEFAULT_STORE, writes))
            }
            SecretsBackend::Local { path, key_file, .. } if create => {
                Arc::new(LocalStore::open(path, key_file).await?)
            }
            SecretsBackend::Local { path, key_file, .. } => {
                Arc::new(LocalStore::open_existing(path, key_file).await?)
            }
        };
        let secrets = Arc::new(Measured::new(secrets, metrics.clone()));
        let region = settings
            .stores
            .iter()
            .find_map(|store| store.region.as_deref());
        let stores = Self(Arc::new(Inner {
            default: OpenStore::new(secrets, aws),
            further: Mutex::default(),
            opener: Some(Opener {
                own: Aws::of_store(region, None),
                limiters,
                metrics: metrics.clone(),
                worker: worker.to_owned(),
            }),
        }));
        stores.activate(&settings.stores);
        Ok(stores)
    }

    /// The store of a rotation; `None` for `[secrets]`.
    #[must_use]
    pub fn of(&self, settings: Option<&Arc<StoreSettings>>) -> OpenStore {
        let (Some(settings), Some(opener)) = (settings, &self.0.opener) else {
            return self.0.default.clone();
        };
        let mut further = self.0.further.lock();
        let open = || opener.open(settings);
        further
            .open
            .entry(Arc::clone(settings))
            .or_insert_with(open)
            .clone()
    }

    /// What calls a resource for a rotation: a name is one in the account of the rotation's store, and an
    /// ARN one in its own account, with the credentials of `[secrets]` if no `[[store]]` is of that account.
    #[must_use]
    pub fn aws_for(&self, resource: &str, store: Option<&Arc<StoreSettings>>) -> Aws {
        if arn::region(resource).is_none() {
            return self.of(store).aws;
        }
        let configured = self.0.further.lock().configured.clone();
        self.of(store_of_arn(&configured, resource)).aws
    }

    /// Uses the further stores of a new config, and forgets the others.
    pub fn activate(&self, stores: &[Arc<StoreSettings>]) {
        let mut further = self.0.further.lock();
        further.open.retain(|known, _| stores.contains(known));
        further.configured = stores.to_vec();
    }

    /// All stores of the active config by name, `[secrets]` first.
    #[must_use]
    pub fn all(&self) -> Vec<(String, OpenStore)> {
        let configured = self.0.further.lock().configured.clone();
        let default = (DEFAULT_STORE.to_owned(), self.0.default.clone());
        let further = configured
            .iter()
            .map(|settings| (settings.name.clone(), self.of(Some(settings))));
        [default].into_iter().chain(further).collect()
    }

    /// Closes all stores.
    pub async fn close(&self) {
        for (_, store) in self.all() {
            store.secrets.close().await;
        }
    }
}

impl Opener {
    fn open(&self, settings: &StoreSettings) -> OpenStore {
        let aws = aws_of(settings, &self.own, &self.worker);
        let writes = settings.writes_per_second;
        let secrets = open_aws(&aws, writes, (self.limiters)(&settings.quota(), writes));
        let secrets = Arc::new(Measured::new(secrets, self.metrics.clone()));
        OpenStore::new(secrets, aws)
    }
}

/// The AWS client config of `[secrets]`, for the store or for other AWS services.
fn aws(backend: &SecretsBackend) -> Aws {
    match backend {
        SecretsBackend::Aws {
            region,
            endpoint_url,
        } => Aws::of_store(region.as_deref(), endpoint_url.as_deref()),
        SecretsBackend::Local { .. } => Aws::default(),
    }
}

/// The AWS client config of a `[[store]]`: `own` assumes its role, in a session that names the worker.
#[must_use]
pub fn aws_of(settings: &StoreSettings, own: &Aws, worker: &str) -> Aws {
    let role = settings.assume_role.as_ref().map(|role| Role {
        arn: role.arn.clone(),
        external_id: role.external_id.clone(),
        session: session_name(worker),
    });
    let (region, url) = (settings.region.as_deref(), settings.endpoint_url.as_deref());
    Aws::of_further_store(own, region, url, role)
}

/// `twinkey-` and the worker's name, as a session of a role may be named: at most 64 letters, digits and
/// `_+=,.@-` ("AssumeRole" in the STS API reference).
fn session_name(worker: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
    let name = worker.chars().map(|c| if allowed(c) { c } else { '-' });
    "twinkey-".chars().chain(name).take(64).collect()
}

#[cfg(feature = "aws")]
fn open_aws(
    aws: &Aws,
    writes: NonZeroU32,
    shared: Option<Arc<dyn WriteLimiter>>,
) -> Arc<dyn SecretStore> {
    use twinkey_stores::aws::AwsStore;
    use twinkey_stores::throttle::Throttled;

    let store = AwsStore::new(aws.clone());
    Arc::new(match shared {
        Some(pace) => Throttled::with_limiter(store, pace),
        None => Throttled::new(store, writes),
    })
}

/// The config refuses this backend before.
#[cfg(not(feature = "aws"))]
fn open_aws(
    _aws: &Aws,
    _writes: NonZeroU32,
    _shared: Option<Arc<dyn WriteLimiter>>,
) -> Arc<dyn SecretStore> {
    Arc::new(WithoutAws)
}

/// Secrets Manager in a build without the Cargo feature `aws`: every call fails.
#[cfg(not(feature = "aws"))]
struct WithoutAws;

#[cfg(not(feature = "aws"))]
impl WithoutAws {
    fn error<T>() -> Result<T, StoreError> {
        Err(StoreError::Unavailable {
            reason: "this build lacks the Cargo feature `aws`".into(),
        })
    }
}

#[cfg(not(feature = "aws"))]
#[async_trait::async_trait]
impl SecretStore for WithoutAws {
    async fn describe(&self, _: &str) -> Result<Description, StoreError> {
        Self::error()
    }

    async fn get(&self, _: &str, _: Selector<'_>) -> Result<SecretVersion, StoreError> {
        Self::error()
    }

    async fn put(&self, _: &str, _: &VersionId, _: &Sensitive, _: &str) -> Result<(), StoreError> {
        Self::error()
    }

    async fn move_stage(
        &self,
        _: &str,
        _: &str,
        _: Option<&VersionId>,
        _: Option<&VersionId>,
    ) -> Result<(), StoreError> {
        Self::error()
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Self::error()
    }
}
