//! What Prometheus scrapes: counts and times from the events and from the calls to the store.
//!
//! What can go wrong, and what prevents it:
//! - a gauge tells of yesterday, or of a rotation that is gone: what has a state is no counter here, but is read
//!   from the journal at each scrape (`admin::metrics`);
//! - a label takes any value, and the series are without number: labels are names from the config, engines, and
//!   words from enums.

use std::fmt;
use std::sync::Arc;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

/// `rotation`, `engine`, `outcome`
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    rotation: String,
    engine: String,
    outcome: &'static str,
}

/// `step`
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Stepped {
    step: &'static str,
}

/// `operation`, `outcome`
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Asked {
    operation: &'static str,
    outcome: &'static str,
}

/// `kind`, `outcome`
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Told {
    kind: &'static str,
    outcome: &'static str,
}

/// `interface`, `action`, `outcome`
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Served {
    interface: &'static str,
    action: &'static str,
    outcome: &'static str,
}

/// The counters and histograms of a process. Cheap to clone.
#[derive(Clone)]
pub struct Metrics(Arc<Kept>);

struct Kept {
    registry: Registry,
    runs: Family<Ended, Counter>,
    run_seconds: Histogram,
    step_seconds: Family<Stepped, Histogram>,
    lag_seconds: Histogram,
    store: Family<Asked, Counter>,
    lost: Counter,
    notifications: Family<Told, Counter>,
    hooks: Family<Told, Counter>,
    served: Family<Served, Counter>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

/// From 5 ms to about 45 minutes.
fn long() -> Histogram {
    Histogram::new(exponential_buckets(0.005, 3.0, 13))
}

/// From 1 ms to about 17 minutes.
fn lag() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 4.0, 11))
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("twinkey");
        let runs = Family::default();
        let store = Family::default();
        let lost = Counter::default();
        let notifications = Family::default();
        let hooks = Family::default();
        let served = Family::default();
        let (run_seconds, lag_seconds) = (long(), lag());
        let step_seconds = Family::new_with_constructor(long as fn() -> Histogram);
        // The library adds `_total` to counters and the unit to the name.
        registry.register(
            "runs",
            "Runs that ended, and windows that were missed; deferred: another try comes in the window",
            runs.clone(),
        );
        registry.register_with_unit(
            "run_duration",
            "From a run's start to its end, one try",
            Unit::Seconds,
            run_seconds.clone(),
        );
        registry.register_with_unit(
            "step_duration",
            "From a step's start to its end",
            Unit::Seconds,
            step_seconds.clone(),
        );
        registry.register_with_unit(
            "window_lag",
            "From when a run was due (the opening, and spread) to its first try",
            Unit::Seconds,
            lag_seconds.clone(),
        );
        registry.register("store_requests", "Calls to the secret store", store.clone());
        registry.register(
            "metrics_events_lost",
            "Events that came too fast to be counted here",
            lost.clone(),
        );
        registry.register(
            "notifications",
            "Notifications that were delivered or given up",
            notifications.clone(),
        );
        registry.register(
            "hooks",
            "Hooks that were run after AWSCURRENT had moved, or had to be and were not",
            hooks.clone(),
        );
        registry.register(
            "served_requests",
            "Requests of applications to the served store",
            served.clone(),
        );
        Self(Arc::new(Kept {
            registry,
            runs,
            run_seconds,
            step_seconds,
            lag_seconds,
            store,
            lost,
            notifications,
            hooks,
            served,
        }))
    }
}

impl Metrics {
    /// A run has ended or waits for another try, or a window went by without one.
    pub fn ended(&self, rotation: &str, engine: &str, outcome: &'static str) {
        let labels = Ended {
            rotation: rotation.to_owned(),
            engine: engine.to_owned(),
            outcome,
        };
        self.0.runs.get_or_create(&labels).inc();
    }

    /// A run took so many seconds.
    pub fn run_took(&self, seconds: f64) {
        self.0.run_seconds.observe(seconds);
    }

    /// A step took so many seconds.
    pub fn step_took(&self, step: &'static str, seconds: f64) {
        let labels = Stepped { step };
        self.0.step_seconds.get_or_create(&labels).observe(seconds);
    }

    /// A window's run has begun, so many seconds after it was due.
    pub fn lag(&self, seconds: f64) {
        self.0.lag_seconds.observe(seconds.max(0.0));
    }

    /// A call to the store was answered.
    pub fn asked_store(&self, operation: &'static str, outcome: &'static str) {
        let labels = Asked { operation, outcome };
        self.0.store.get_or_create(&labels).inc();
    }

    /// Events were lost on the way here; 1 where it is not known how many.
    pub fn lost(&self, events: Option<u64>) {
        self.0.lost.inc_by(events.unwrap_or(1));
    }

    /// A notification was delivered, or given up.
    pub fn notified(&self, kind: &'static str, outcome: &'static str) {
        let labels = Told { kind, outcome };
        self.0.notifications.get_or_create(&labels).inc();
    }

    /// There are hooks of a kind: their counts begin at 0, or the first failure would be no increase.
    pub fn expect_hooks(&self, kind: &'static str, outcomes: &[&'static str]) {
        for outcome in outcomes {
            let labels = Told { kind, outcome };
            self.0.hooks.get_or_create(&labels).inc_by(0);
        }
    }

    /// A hook has run, well or not, or was not run.
    pub fn hook_ran(&self, kind: &'static str, outcome: &'static str) {
        let labels = Told { kind, outcome };
        self.0.hooks.get_or_create(&labels).inc();
    }

    /// An application's request to the served store was answered.
    pub fn served(&self, interface: &'static str, action: &'static str, outcome: &'static str) {
        let labels = Served {
            interface,
            action,
            outcome,
        };
        self.0.served.get_or_create(&labels).inc();
    }

    /// All of it, and what `others` holds, in the OpenMetrics text format.
    ///
    /// # Errors
    /// [`fmt::Error`], which writing to memory does not give.
    pub fn text(&self, others: &Registry) -> Result<String, fmt::Error> {
        let mut out = String::new();
        text::encode_registry(&mut out, &self.0.registry)?;
        text::encode_registry(&mut out, others)?;
        text::encode_eof(&mut out)?;
        Ok(out)
    }
}
