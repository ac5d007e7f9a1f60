//! Command failures: their output and exit status.

use std::process::ExitCode;

use crate::config::ConfigErrors;
use crate::journal::JournalError;
use crate::rotation::error::RotationError;
use twinkey_core::code::{Code, Diagnostic, Problem};
use twinkey_core::printable::escaped;
use twinkey_core::telemetry::TelemetryError;
use twinkey_stores::StoreError;

use super::style::{BAD, DIM};

/// A failure of a command.
#[derive(Debug)]
pub(super) enum Failure {
    /// A failed operation.
    Problem(Problem),
    /// An invalid command line or config.
    Usage(Problem),
    /// All errors of the config.
    Config(ConfigErrors),
    /// A failure that was already printed.
    Printed,
}

impl Failure {
    /// Prints the failure and returns the exit status.
    pub(super) fn report(&self) -> ExitCode {
        match self {
            Self::Problem(problem) => print(problem.code, &problem.message, &problem.hint, 1),
            Self::Usage(problem) => print(problem.code, &problem.message, &problem.hint, 2),
            Self::Config(errors) => print(errors.code(), &errors.to_string(), &errors.hint(), 2),
            Self::Printed => ExitCode::FAILURE,
        }
    }

    /// A usage error.
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

/// Prints one error per line, then the hint.
fn print(code: Code, messages: &str, hint: &str, status: u8) -> ExitCode {
    for message in messages.lines() {
        anstream::eprintln!("{BAD}error[{code}]{BAD:#}: {}", escaped(message));
    }
    anstream::eprintln!("  {DIM}hint:{DIM:#} {}", escaped(hint));
    ExitCode::from(status)
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
