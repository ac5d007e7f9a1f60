//! How a command fails: what is printed, and with which exit status.

use std::process::ExitCode;

use crate::config::ConfigErrors;
use crate::journal::JournalError;
use crate::rotation::error::RotationError;
use twinkey_core::code::{Code, Problem};
use twinkey_core::telemetry::TelemetryError;
use twinkey_stores::StoreError;

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
        match self {
            Self::Problem(problem) => say(problem.code, &problem.message, &problem.hint, 1),
            Self::Usage(problem) => say(problem.code, &problem.message, &problem.hint, 2),
            Self::Config(errors) => say(errors.code(), &errors.to_string(), errors.hint(), 2),
            Self::Printed => ExitCode::FAILURE,
        }
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

/// One error a line, then the hint.
fn say(code: Code, messages: &str, hint: &str, status: u8) -> ExitCode {
    for message in messages.lines() {
        anstream::eprintln!("{BAD}error[{code}]{BAD:#}: {message}");
    }
    anstream::eprintln!("  {DIM}hint:{DIM:#} {hint}");
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
