//! Prometheus metrics of a process: counters and histograms from events and from calls to the
//! store.
//!
//! # Failure modes
//! - A gauge shows an old value or a removed rotation. State is no counter here: each scrape reads
//!   it from the journal (`admin::metrics`).
//! - A label takes any value, and the number of series is unbounded. Labels are names from the
//!   config, engines and names from enums.

use std::fmt;
use std::sync::Arc;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

/// `rotation`, `engine`, `outcome`
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RunLabels {
    rotation: String,
    engine: String,
    outcome: &'static str,
}

/// `step`
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StepLabels {
    step: &'static str,
}

/// `operation`, `outcome`
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StoreRequestLabels {
    operation: &'static str,
    outcome: &'static str,
}

/// `kind`, `outcome`
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DeliveryLabels {
    kind: &'static str,
    outcome: &'static str,
}

/// `interface`, `action`, `outcome`
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ServedRequestLabels {
    interface: &'static str,
    action: &'static str,
    outcome: &'static str,
}

/// `task`
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TaskLabels {
    task: &'static str,
}

/// The counters and histograms of a process. Cheap to clone.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: Registry,
    runs: Family<RunLabels, Counter>,
    run_seconds: Histogram,
    step_seconds: Family<StepLabels, Histogram>,
    lag_seconds: Histogram,
    store: Family<StoreRequestLabels, Counter>,
    lost: Counter,
    notifications: Family<DeliveryLabels, Counter>,
    hooks: Family<DeliveryLabels, Counter>,
    served: Family<ServedRequestLabels, Counter>,
    task_failures: Family<TaskLabels, Counter>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

/// Buckets from 5 ms to about 45 minutes.
fn duration_histogram() -> Histogram {
    Histogram::new(exponential_buckets(0.005, 3.0, 13))
}

/// Buckets from 1 ms to about 17 minutes.
fn lag_histogram() -> Histogram {
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
        let task_failures = Family::default();
        let (run_seconds, lag_seconds) = (duration_histogram(), lag_histogram());
        let step_seconds = Family::new_with_constructor(duration_histogram as fn() -> Histogram);
        // The library adds `_total` to counters and the unit to the name.
        registry.register(
            "runs",
            "Runs that ended, and missed windows; deferred: another attempt follows in the window",
            runs.clone(),
        );
        registry.register_with_unit(
            "run_duration",
            "Time from the start of a run to its end, one attempt",
            Unit::Seconds,
            run_seconds.clone(),
        );
        registry.register_with_unit(
            "step_duration",
            "Time from the start of a step to its end",
            Unit::Seconds,
            step_seconds.clone(),
        );
        registry.register_with_unit(
            "window_lag",
            "Time from the due time of a run (opening plus spread) to its first attempt",
            Unit::Seconds,
            lag_seconds.clone(),
        );
        registry.register("store_requests", "Calls to the secret store", store.clone());
        registry.register(
            "metrics_events_lost",
            "Events that were lost before they were counted",
            lost.clone(),
        );
        registry.register(
            "notifications",
            "Notifications that were delivered or given up",
            notifications.clone(),
        );
        registry.register(
            "hooks",
            "Hooks that ran after AWSCURRENT moved, or did not run although they should",
            hooks.clone(),
        );
        registry.register(
            "served_requests",
            "Requests from applications to the served store",
            served.clone(),
        );
        registry.register(
            "task_failures",
            "Tasks of the worker that panicked or ended early",
            task_failures.clone(),
        );
        Self(Arc::new(Inner {
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
            task_failures,
        }))
    }
}

impl Metrics {
    /// Counts a run that ended or was deferred, or a window without a run.
    pub fn run_ended(&self, rotation: &str, engine: &str, outcome: &'static str) {
        let labels = RunLabels {
            rotation: rotation.to_owned(),
            engine: engine.to_owned(),
            outcome,
        };
        self.0.runs.get_or_create(&labels).inc();
    }

    /// Records the duration of a run.
    pub fn observe_run(&self, seconds: f64) {
        self.0.run_seconds.observe(seconds);
    }

    /// Records the duration of a step.
    pub fn observe_step(&self, step: &'static str, seconds: f64) {
        let labels = StepLabels { step };
        self.0.step_seconds.get_or_create(&labels).observe(seconds);
    }

    /// Records the delay between the due time of a window's run and its start.
    pub fn observe_lag(&self, seconds: f64) {
        self.0.lag_seconds.observe(seconds.max(0.0));
    }

    /// Counts a call to the store.
    pub fn store_request(&self, operation: &'static str, outcome: &'static str) {
        let labels = StoreRequestLabels { operation, outcome };
        self.0.store.get_or_create(&labels).inc();
    }

    /// Counts lost events; 1 if their number is unknown.
    pub fn events_lost(&self, events: Option<u64>) {
        self.0.lost.inc_by(events.unwrap_or(1));
    }

    /// Counts a notification that was delivered or given up.
    pub fn notification(&self, kind: &'static str, outcome: &'static str) {
        let labels = DeliveryLabels { kind, outcome };
        self.0.notifications.get_or_create(&labels).inc();
    }

    /// Creates the counters of a kind of hooks at 0, so that the first failure is an increase.
    pub fn register_hooks(&self, kind: &'static str, outcomes: &[&'static str]) {
        for outcome in outcomes {
            let labels = DeliveryLabels { kind, outcome };
            self.0.hooks.get_or_create(&labels).inc_by(0);
        }
    }

    /// Counts a hook that succeeded, failed or did not run.
    pub fn hook(&self, kind: &'static str, outcome: &'static str) {
        let labels = DeliveryLabels { kind, outcome };
        self.0.hooks.get_or_create(&labels).inc();
    }

    /// Counts an application's request to the served store.
    pub fn served_request(
        &self,
        interface: &'static str,
        action: &'static str,
        outcome: &'static str,
    ) {
        let labels = ServedRequestLabels {
            interface,
            action,
            outcome,
        };
        self.0.served.get_or_create(&labels).inc();
    }

    /// Creates the counter of a task at 0, so that its first failure is an increase.
    pub fn register_task(&self, task: &'static str) {
        self.0
            .task_failures
            .get_or_create(&TaskLabels { task })
            .inc_by(0);
    }

    /// Counts a task that panicked or ended early.
    pub fn task_failed(&self, task: &'static str) {
        self.0
            .task_failures
            .get_or_create(&TaskLabels { task })
            .inc();
    }

    /// These metrics and those of `others`, in the OpenMetrics text format.
    ///
    /// # Errors
    /// [`fmt::Error`], which writing to memory never returns.
    pub fn text(&self, others: &Registry) -> Result<String, fmt::Error> {
        let mut out = String::new();
        text::encode_registry(&mut out, &self.0.registry)?;
        text::encode_registry(&mut out, others)?;
        text::encode_eof(&mut out)?;
        Ok(out)
    }
}
