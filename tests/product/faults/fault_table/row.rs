//! Rows of the table: a fault, and what must be shown of it.

use futures_util::future::LocalBoxFuture;
use twinkey_testkit::environment::Setup;

use super::shown::COLUMNS;
use super::stage::Stage;

/// Something that is done to a worker and its surroundings.
pub type Act = fn(&mut Stage) -> LocalBoxFuture<'_, ()>;

/// The expected columns. A text is a part of the log, the begin of `/readyz`, and the whole of every other
/// column.
pub type Expected = [&'static str; COLUMNS.len()];

/// A fault.
pub struct Row {
    pub fault: &'static str,
    pub setup: Setup,
    /// Before the worker starts.
    pub prepare: Option<Act>,
    pub inject: Act,
    pub expected: Expected,
    /// Removes the fault, so that the next rotation succeeds; `None`: the row ends with the fault.
    pub lift: Option<Act>,
}

impl Row {
    pub fn new(fault: &'static str, inject: Act, expected: Expected) -> Self {
        Self {
            fault,
            setup: Setup::default(),
            prepare: None,
            inject,
            expected,
            lift: None,
        }
    }

    /// Keys of the rotation, as TOML lines.
    pub fn rotation(mut self, keys: &str) -> Self {
        self.setup.rotation = keys.to_owned();
        self
    }

    /// Sections of the config, as TOML.
    pub fn config(mut self, sections: &str) -> Self {
        self.setup.config = sections.to_owned();
        self
    }

    pub fn prepare(mut self, act: Act) -> Self {
        self.prepare = Some(act);
        self
    }

    pub fn lift(mut self, act: Act) -> Self {
        self.lift = Some(act);
        self
    }
}

/// The columns of a run on demand that succeeds.
pub const SUCCEEDS: Expected = [
    "idle",
    "200",
    "journal 1, store 1, idle",
    "succeeded",
    "rotate done",
    "",
    "idle",
];

/// The columns of a run on demand that goes on.
pub const RUNS: Expected = [
    "running",
    "200",
    "journal 1, store 1, running",
    "running",
    "",
    "",
    "running",
];

/// The same columns with another text in the log.
pub const fn logged(mut expected: Expected, text: &'static str) -> Expected {
    expected[5] = text;
    expected
}

/// The columns of a run on demand that fails with a code: all parts of the worker work.
macro_rules! run_fails {
    ($code:literal) => {
        [
            concat!("failed ", $code),
            "200",
            "journal 1, store 1, failed",
            concat!("failed ", $code),
            concat!("rotate failed ", $code),
            concat!("ERROR ", $code),
            concat!("failed ", $code),
        ]
    };
}
pub(super) use run_fails;

/// The columns of a run on demand that fails with a code, because the store does not work.
macro_rules! store_fails {
    ($code:literal) => {
        [
            concat!("failed ", $code),
            concat!("503 ", $code),
            "journal 1, store 0, failed",
            concat!("failed ", $code),
            concat!("rotate failed ", $code),
            concat!("ERROR ", $code),
            concat!("failed ", $code),
        ]
    };
}
pub(super) use store_fails;
