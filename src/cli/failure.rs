//! How a command fails: what is printed, and with which exit status.

use std::process::ExitCode;

use crate::code::{Code, Problem};
use crate::config::ConfigErrors;
use crate::journal::JournalError;
use crate::rotation::error::RotationError;
use crate::store::StoreError;
use crate::telemetry::TelemetryError;

use super::output::{BAD, DIM};

/// Why a command failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// It failed.
    Problem(Problem),
    /// The command line or the config is wrong.
    Usage(Problem),
    /// Every mistake in the config.
    Config(ConfigErrors),
    /// It failed, and has printed why.
    Printed,
}

impl Failure {
    /// Prints the failure and gives the exit status.
    pub(super) fn report(&self) -> ExitCode {
        let (problems, status) = match self {
            Self::Problem(problem) => (vec![problem.clone()], 1),
            Self::Usage(problem) => (vec![problem.clone()], 2),
            Self::Config(errors) => (errors.problems(), 2),
            Self::Printed => (Vec::new(), 1),
        };
        for problem in problems {
            anstream::eprintln!(
                "{BAD}error[{}]{BAD:#}: {}\n  {DIM}hint:{DIM:#} {}",
                problem.code,
                problem.message,
                problem.hint
            );
        }
        ExitCode::from(status)
    }

    /// The command line is wrong.
    pub(super) fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Usage(Problem {
            code: Code::ConfigInvalid,
            message: message.into(),
            hint: hint.into(),
        })
    }

    /// A failure with a code.
    pub(super) fn problem(code: Code, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Problem(Problem {
            code,
            message: message.into(),
            hint: hint.into(),
        })
    }
}

impl From<RotationError> for Failure {
    fn from(error: RotationError) -> Self {
        Self::Problem(error.problem())
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::problem(error.code(), error.to_string(), error.hint())
    }
}

impl From<JournalError> for Failure {
    fn from(error: JournalError) -> Self {
        Self::problem(error.code(), error.to_string(), error.hint())
    }
}

impl From<TelemetryError> for Failure {
    fn from(error: TelemetryError) -> Self {
        Self::problem(error.code(), error.to_string(), error.hint())
    }
}

impl From<ConfigErrors> for Failure {
    fn from(errors: ConfigErrors) -> Self {
        Self::Config(errors)
    }
}
