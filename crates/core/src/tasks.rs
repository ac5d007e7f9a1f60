//! Tasks of a process: each has a name, and all are in one set.
//!
//! A service is a task that lasts as long as the worker: the scheduler, the heartbeats, the admin
//! endpoint. Other tasks end: those that work for one rotation, and those of one owner. The task of a
//! connection ([`spawn_connection`]) has no set.
//!
//! No other module of the program starts tasks (`src/code_tests/tasks.rs`).
//!
//! # Failure modes
//! - A service panics or ends early, and the worker continues without it. The error is logged and
//!   counted, and the worker shuts down with a failure, so that the service manager starts it again.
//! - The panic of one rotation's run stops the runs of all others, after each restart again. It is
//!   logged and counted, and ends that task only.
//! - A task outlives what it works for. An [`OwnedTask`] ends when it is dropped.
//! - A service blocks its thread, and its part of the worker stands still. [`Tasks::unresponsive`]
//!   asks each service, for the watchdog.
//! - The text of a panic forges a line of the log. It is escaped.

use std::any::Any;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{AbortHandle, JoinHandle};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use crate::printable::{MESSAGE, printable};
use crate::telemetry::metrics::Metrics;

/// The tasks of a process. Cheap to clone.
#[derive(Clone)]
pub struct Tasks(Arc<Inner>);

struct Inner {
    metrics: Metrics,
    /// The tasks for single rotations.
    single: TaskTracker,
    services: Mutex<Vec<Service>>,
    /// Set when services may end.
    stopping: AtomicBool,
    /// The first failure of a service.
    failure: watch::Sender<Option<TaskFailure>>,
}

struct Service {
    name: &'static str,
    requests: mpsc::Sender<oneshot::Sender<()>>,
    task: AbortHandle,
}

/// The end of a service that should not have ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskFailure {
    pub task: &'static str,
    /// The message of the panic; `None`: the task ended early.
    pub panic: Option<String>,
}

impl fmt::Display for TaskFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.panic {
            Some(panic) => write!(f, "task {} panicked: {panic}", self.task),
            None => write!(f, "task {} ended early", self.task),
        }
    }
}

impl Tasks {
    #[must_use]
    pub fn new(metrics: Metrics) -> Self {
        Self(Arc::new(Inner {
            metrics,
            single: TaskTracker::new(),
            services: Mutex::default(),
            stopping: AtomicBool::new(false),
            failure: watch::Sender::new(None),
        }))
    }

    /// The metrics that count failures.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// Starts a task for one rotation, for which a stop of the worker waits. Its result is `None` if it
    /// panicked.
    pub fn spawn<T: Send + 'static>(
        &self,
        name: &'static str,
        rotation: &str,
        work: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<Option<T>> {
        self.0.single.spawn(self.counted(name, rotation, work))
    }

    /// Starts a task that ends with its owner.
    #[must_use]
    pub fn spawn_owned<T: Send + 'static>(
        &self,
        name: &'static str,
        rotation: &str,
        work: impl Future<Output = T> + Send + 'static,
    ) -> OwnedTask<T> {
        OwnedTask::new(self.counted(name, rotation, work))
    }

    /// The work, whose panic is logged and counted.
    fn counted<T: Send + 'static>(
        &self,
        name: &'static str,
        rotation: &str,
        work: impl Future<Output = T> + Send + 'static,
    ) -> impl Future<Output = Option<T>> + Send + 'static {
        self.0.metrics.register_task(name);
        let (metrics, work) = (self.0.metrics.clone(), caught(name, rotation, work));
        async move {
            let result = work.await;
            if result.is_none() {
                metrics.task_failed(name);
            }
            result
        }
    }

    /// Starts a service.
    pub fn spawn_service(
        &self,
        name: &'static str,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> JoinHandle<()> {
        self.0.metrics.register_task(name);
        let (requests, mut received) = mpsc::channel::<oneshot::Sender<()>>(1);
        let tasks = self.clone();
        let work = AssertUnwindSafe(Box::pin(work)).catch_unwind();
        let task = tokio::spawn(async move {
            // What the work holds is dropped before its failure is visible.
            let ended = {
                let mut work = pin!(work);
                loop {
                    tokio::select! {
                        ended = &mut work => break ended,
                        // The watchdog may have stopped waiting.
                        Some(reply) = received.recv() => drop(reply.send(())),
                    }
                }
            };
            match ended {
                Ok(()) if tasks.0.stopping.load(Ordering::Acquire) => {}
                Ok(()) => tasks.fail(name, None),
                Err(panic) => tasks.fail(name, Some(message(&*panic))),
            }
        });
        let service = Service {
            name,
            requests,
            task: task.abort_handle(),
        };
        self.0.services.lock().push(service);
        task
    }

    fn fail(&self, task: &'static str, panic: Option<String>) {
        match &panic {
            Some(panic) => tracing::error!(task, panic, "task panicked"),
            None => tracing::error!(task, "task ended early"),
        }
        self.0.metrics.task_failed(task);
        self.0.failure.send_if_modified(|first| {
            let is_first = first.is_none();
            first.get_or_insert(TaskFailure { task, panic });
            is_first
        });
    }

    /// Waits until a service has failed. Returns its first failure.
    pub async fn failed(&self) -> TaskFailure {
        let mut failure = self.0.failure.subscribe();
        loop {
            if let Some(failure) = &*failure.borrow_and_update() {
                return failure.clone();
            }
            // Fails only when the sender is gone, and `self` holds it.
            let _ = failure.changed().await;
        }
    }

    /// The first failure of a service until now.
    #[must_use]
    pub fn failure(&self) -> Option<TaskFailure> {
        self.0.failure.borrow().clone()
    }

    /// The services that do not respond within `limit`.
    pub async fn unresponsive(&self, limit: Duration) -> Vec<&'static str> {
        let running: Vec<_> = (self.0.services.lock().iter())
            .filter(|service| !service.task.is_finished())
            .map(|service| (service.name, service.requests.clone()))
            .collect();
        let asked = running.into_iter().map(async |(name, requests)| {
            let (reply, replied) = oneshot::channel();
            let asking = async {
                // An error means that the service has ended, which is reported elsewhere.
                if requests.send(reply).await.is_ok() {
                    let _ = replied.await;
                }
            };
            let responded = tokio::time::timeout(limit, asking).await.is_ok();
            (!responded).then_some(name)
        });
        join_all(asked).await.into_iter().flatten().collect()
    }

    /// From now on the end of a service is no failure.
    pub fn stop(&self) {
        self.0.stopping.store(true, Ordering::Release);
        self.0.single.close();
    }

    /// Waits for the tasks of single rotations, after [`Tasks::stop`].
    pub async fn wait(&self) {
        self.0.single.wait().await;
    }

    /// Whether no task of a single rotation is running.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.single.is_empty()
    }

    /// Ends all services where they stand.
    pub fn abort_services(&self) {
        for service in &*self.0.services.lock() {
            service.task.abort();
        }
    }
}

/// A task that is aborted when this is dropped. Its result is `None` if it panicked.
pub struct OwnedTask<T>(AbortOnDropHandle<Option<T>>);

impl<T: Send + 'static> OwnedTask<T> {
    fn new(work: impl Future<Output = Option<T>> + Send + 'static) -> Self {
        Self(AbortOnDropHandle::new(tokio::spawn(work)))
    }

    /// Leaves the task to itself. It may be waited for.
    pub fn detach(self) -> JoinHandle<Option<T>> {
        self.0.detach()
    }

    /// Whether the work has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.0.is_finished()
    }
}

impl<T> Future for OwnedTask<T> {
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        // Only an abort is an error, and only the drop of `self` aborts it.
        let ended = ready!(Pin::new(&mut self.0).poll(context));
        Poll::Ready(ended.ok().flatten())
    }
}

/// Starts the task of one connection, which the user of the connection owns. Its panic is logged, and
/// ends the connection, which its user reports as an error.
#[must_use]
pub fn spawn_connection<T: Send + 'static>(
    name: &'static str,
    work: impl Future<Output = T> + Send + 'static,
) -> OwnedTask<T> {
    OwnedTask::new(caught(name, "", work))
}

/// The work, whose panic is logged; its result is `None` then.
fn caught<T>(
    name: &'static str,
    rotation: &str,
    work: impl Future<Output = T> + Send + 'static,
) -> impl Future<Output = Option<T>> + Send + 'static {
    let rotation = rotation.to_owned();
    // The future of a run is large: boxed here, it is not moved on the stack of a thread.
    let work = AssertUnwindSafe(Box::pin(work)).catch_unwind();
    async move {
        match work.await {
            Ok(result) => Some(result),
            Err(panic) => {
                let panic = message(&*panic);
                tracing::error!(task = name, %rotation, panic, "task panicked");
                None
            }
        }
    }
}

/// The text of a panic, safe for the log.
fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    printable(&text.unwrap_or_else(|| "no message".into()), MESSAGE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::registry::Registry;

    fn failures(metrics: &Metrics, task: &str) -> String {
        let text = metrics.text(&Registry::default()).unwrap();
        let name = format!("twinkey_task_failures_total{{task=\"{task}\"}} ");
        let line = text.lines().find_map(|line| line.strip_prefix(&name));
        line.unwrap().to_owned()
    }

    fn new_tasks() -> (Tasks, Metrics) {
        let metrics = Metrics::default();
        (Tasks::new(metrics.clone()), metrics)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_service_that_panics_is_counted_and_reported() {
        let (tasks, metrics) = new_tasks();
        tasks.spawn_service("heartbeats", async { panic!("at\nonce") });
        let failure = tasks.failed().await;
        assert_eq!(failure.task, "heartbeats");
        assert_eq!(
            failure.panic.as_deref().map(|text| text.contains('\n')),
            Some(false)
        );
        assert_eq!(failures(&metrics, "heartbeats"), "1");
        assert_eq!(tasks.failure(), Some(failure));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_service_that_ends_early_is_reported() {
        let (tasks, metrics) = new_tasks();
        let (end, ended) = oneshot::channel::<()>();
        tasks.spawn_service("metrics", async move { drop(ended.await) });
        assert_eq!(tasks.failure(), None);
        end.send(()).unwrap();
        assert_eq!(tasks.failed().await.to_string(), "task metrics ended early");
        assert_eq!(failures(&metrics, "metrics"), "1");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_end_of_a_service_is_expected_while_stopping() {
        let (tasks, metrics) = new_tasks();
        let service = tasks.spawn_service("endpoint", std::future::ready(()));
        tasks.stop();
        let before = tasks.spawn_service("metrics", std::future::ready(()));
        before.await.unwrap();
        service.await.unwrap();
        let panics = tasks.spawn_service("hooks", async { panic!("late") });
        panics.await.unwrap();
        assert_eq!(tasks.failure().map(|failure| failure.task), Some("hooks"));
        assert_eq!(failures(&metrics, "metrics"), "0");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_panic_of_one_rotation_stops_no_other() {
        let (tasks, metrics) = new_tasks();
        let panics = tasks.spawn("window", "orders", async { panic!("its run") });
        assert_eq!(panics.await.unwrap(), None::<()>);
        let other = tasks.spawn("window", "billing", async { 1 });
        assert_eq!(other.await.unwrap(), Some(1));
        assert_eq!(tasks.failure(), None);
        assert_eq!(failures(&metrics, "window"), "1");
        tasks.stop();
        tasks.wait().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_owned_task_is_counted_and_ends_with_its_owner() {
        let (tasks, metrics) = new_tasks();
        assert_eq!(tasks.spawn_owned("probe", "", async { 1 }).await, Some(1));
        let panics = tasks.spawn_owned("probe", "orders", async { panic!("its answer") });
        assert_eq!(panics.await, None::<()>);
        assert_eq!(failures(&metrics, "probe"), "1");
        let (end, ended) = oneshot::channel::<()>();
        let owned = tasks.spawn_owned("probe", "", async move {
            let _end = end;
            std::future::pending::<()>().await;
        });
        drop(owned);
        assert!(ended.await.is_err(), "its work was dropped");
        assert!(tasks.is_empty(), "a stop does not wait for it");
        let panics = spawn_connection("relay", async { panic!("its bytes") });
        assert_eq!(panics.await, None::<()>);
        assert_eq!(tasks.failure(), None);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_service_that_blocks_its_thread_does_not_respond() {
        let (tasks, _) = new_tasks();
        tasks.spawn_service("idle", std::future::pending());
        let (free, blocked) = std::sync::mpsc::channel::<()>();
        let (block, blocking) = oneshot::channel();
        tasks.spawn_service("stuck", async move {
            let _ = block.send(());
            let _ = blocked.recv();
            std::future::pending().await
        });
        blocking.await.unwrap();
        let limit = Duration::from_millis(200);
        assert_eq!(tasks.unresponsive(limit).await, ["stuck"]);
        free.send(()).unwrap();
        assert!(tasks.unresponsive(Duration::from_secs(60)).await.is_empty());
        tasks.abort_services();
    }
}
