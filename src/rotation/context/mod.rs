//! Services that all runs of a process share.

pub mod admin_cache;
pub mod config_pairs;
pub mod endpoint_states;
pub mod flip_hooks;
pub mod host_limits;
pub mod rotation_set;

use std::sync::Arc;

use crate::rds::RdsEndpoints;
use crate::rotation::context::admin_cache::IdleAdmins;
use crate::rotation::context::config_pairs::ConfigPairs;
use crate::rotation::context::endpoint_states::EndpointStates;
use crate::rotation::context::flip_hooks::FlipHooks;
use crate::rotation::context::host_limits::HostLimits;
use twinkey_core::aws::Aws;
use twinkey_core::telemetry::clock::Clock;
use twinkey_stores::SecretStore;

/// Store, clock, host limits, endpoints of RDS, idle admin connections, the pairs and hooks of the
/// config, and the states of endpoints. Cheap to clone.
#[derive(Clone)]
pub struct RunContext {
    pub store: Arc<dyn SecretStore>,
    /// For engines that call AWS. It serves secrets only if the store is AWS Secrets Manager.
    pub aws: Aws,
    /// The hosts of the masters that RDS manages.
    pub rds: RdsEndpoints,
    pub clock: Clock,
    pub hosts: HostLimits,
    pub idle_admins: IdleAdmins,
    pub pairs: ConfigPairs,
    pub flip_hooks: Arc<dyn FlipHooks>,
    pub endpoints: EndpointStates,
}
