//! Errors of a server's start, with hints.

use std::io;

/// The error of a server's start.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    #[error("no {server} server was found on this machine")]
    NotInstalled {
        server: &'static str,
        /// The package to install, or the variable to set.
        hint: String,
    },
    #[error("{what}: {source}")]
    Io { what: String, source: io::Error },
    #[error("{what} failed: {output}")]
    Failed { what: String, output: String },
    #[error("no user to run the server as: none of {} exists", .0.join(", "))]
    NoUser(&'static [&'static str]),
    #[error("no password could be drawn from the operating system's generator")]
    Random,
}

impl LaunchError {
    /// The server exited; `output` is its log.
    pub(super) fn start(output: String) -> Self {
        Self::Failed {
            what: "the start of the server".into(),
            output,
        }
    }

    /// The remedy.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::NotInstalled { hint, .. } => hint.clone(),
            Self::Io { .. } => {
                "make the temporary folder writable and free 200 MB on its disk".into()
            }
            Self::Failed { .. } => "read the log above; set TMPDIR to use another folder".into(),
            Self::NoUser(_) => {
                "run as an ordinary user: database servers refuse to run as root".into()
            }
            Self::Random => "try again".into(),
        }
    }
}
