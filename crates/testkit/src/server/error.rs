//! Why there is no server, and what to do about it.

use std::io;

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    #[error("no {server} server was found on this machine")]
    NotInstalled {
        server: &'static str,
        /// What to install, or which variable to set.
        hint: String,
    },
    #[error("{what}: {source}")]
    Io { what: String, source: io::Error },
    #[error("{what} failed: {output}")]
    Failed { what: String, output: String },
    #[error("there is neither a user {} to run the server as", .0.join(" nor a user "))]
    NoUser(&'static [&'static str]),
    #[error("no password could be drawn from the operating system's generator")]
    Random,
}

impl LaunchError {
    /// The server gave up; `output` is its log.
    pub(super) fn start(output: String) -> Self {
        Self::Failed {
            what: "the start of the server".into(),
            output,
        }
    }

    /// What to do now.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::NotInstalled { hint, .. } => hint.clone(),
            Self::Io { .. } => {
                "see that the temporary folder is writable and has 200 MB left".into()
            }
            Self::Failed { .. } => {
                "the server's own words above say why; TMPDIR chooses another folder".into()
            }
            Self::NoUser(_) => {
                "run as an ordinary user: database servers refuse to run as root".into()
            }
            Self::Random => "try again".into(),
        }
    }
}
