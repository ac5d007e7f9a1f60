//! Services that all runs of a process share, and those of one rotation.

pub mod admin_cache;
pub mod config_pairs;
pub mod endpoint_states;
pub mod flip_hooks;
pub mod host_limits;
pub mod rotation_set;
pub mod unrecorded;

use std::sync::Arc;

use crate::config::settings::{Rotation, StoreSettings};
use crate::rds::RdsEndpoints;
use crate::rotation::context::admin_cache::IdleAdmins;
use crate::rotation::context::config_pairs::ConfigPairs;
use crate::rotation::context::endpoint_states::EndpointStates;
use crate::rotation::context::flip_hooks::{FlipHooks, NoFlipHooks};
use crate::rotation::context::host_limits::HostLimits;
use crate::rotation::context::unrecorded::UnrecordedOutcomes;
use crate::store::{OpenStore, Stores};
use twinkey_core::aws::Aws;
use twinkey_core::tasks::Tasks;
use twinkey_core::telemetry::clock::Clock;
use twinkey_core::telemetry::metrics::Metrics;
use twinkey_stores::SecretStore;

/// Stores, clock, tasks, host limits, idle admin connections, the pairs and hooks of the config, the states
/// of endpoints, and the outcomes that the journal did not take. Cheap to clone.
#[derive(Clone)]
pub struct SharedContext {
    pub stores: Stores,
    pub clock: Clock,
    /// The tasks of the process.
    pub tasks: Tasks,
    pub hosts: HostLimits,
    pub idle_admins: IdleAdmins,
    pub pairs: ConfigPairs,
    pub flip_hooks: Arc<dyn FlipHooks>,
    pub endpoints: EndpointStates,
    pub unrecorded: UnrecordedOutcomes,
}

impl SharedContext {
    /// A context without idle connections, hooks and rotations of a config.
    #[must_use]
    pub fn new(stores: Stores, clock: Clock, per_host: usize) -> Self {
        Self {
            stores,
            clock,
            tasks: Tasks::new(Metrics::default()),
            hosts: HostLimits::new(per_host),
            idle_admins: IdleAdmins::none(),
            pairs: ConfigPairs::default(),
            flip_hooks: Arc::new(NoFlipHooks),
            endpoints: EndpointStates::default(),
            unrecorded: UnrecordedOutcomes::default(),
        }
    }

    /// The context of a rotation.
    #[must_use]
    pub fn of(&self, rotation: &Rotation) -> RunContext {
        self.of_store(rotation.store.as_ref())
    }

    /// The context of the rotations of a store; `None` for `[secrets]`.
    #[must_use]
    pub fn of_store(&self, store: Option<&Arc<StoreSettings>>) -> RunContext {
        let OpenStore {
            secrets, aws, rds, ..
        } = self.stores.of(store);
        RunContext {
            store: secrets,
            aws,
            rds,
            stores: self.stores.clone(),
            clock: self.clock.clone(),
            hosts: self.hosts.clone(),
            idle_admins: self.idle_admins.clone(),
            pairs: self.pairs.clone(),
            flip_hooks: Arc::clone(&self.flip_hooks),
            endpoints: self.endpoints.clone(),
        }
    }
}

/// The services of one rotation: the shared ones, and its store. Cheap to clone.
#[derive(Clone)]
pub struct RunContext {
    pub store: Arc<dyn SecretStore>,
    /// For engines that call AWS. It serves secrets only if the store is AWS Secrets Manager.
    pub aws: Aws,
    /// The hosts of the masters that RDS manages.
    pub rds: RdsEndpoints,
    /// For [`Self::of`].
    stores: Stores,
    pub clock: Clock,
    pub hosts: HostLimits,
    pub idle_admins: IdleAdmins,
    pub pairs: ConfigPairs,
    pub flip_hooks: Arc<dyn FlipHooks>,
    pub endpoints: EndpointStates,
}

impl RunContext {
    /// The context of another rotation, which may be in another store.
    pub(in crate::rotation) fn of(&self, other: &Rotation) -> Self {
        let OpenStore {
            secrets, aws, rds, ..
        } = self.stores.of(other.store.as_ref());
        Self {
            store: secrets,
            aws,
            rds,
            ..self.clone()
        }
    }
}
