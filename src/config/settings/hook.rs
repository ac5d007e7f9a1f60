//! Settings of `[[hook]]`.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// `when`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HookTime {
    /// After the proof and before AWSCURRENT moves. A failure refuses the flip.
    BeforeFlip,
    AfterFlip,
}

/// One `[[hook]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    pub when: HookTime,
    /// The rotations that trigger it; `None` for all.
    pub rotations: Option<Vec<String>>,
    /// The time limit of one execution.
    pub timeout: Duration,
    /// The number of concurrent executions.
    pub concurrency: usize,
    pub action: HookActionSettings,
}

/// The action of a hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HookActionSettings {
    /// `kind = "ecs-redeploy"`: Amazon ECS replaces the tasks of these services.
    EcsRedeploy {
        /// The name or ARN.
        cluster: String,
        /// The names or ARNs.
        services: Vec<String>,
    },
    /// `kind = "exec"`: a program and its arguments, without a shell.
    Exec {
        program: PathBuf,
        arguments: Vec<String>,
        /// Whether the program gets the worker's AWS variables.
        aws: bool,
    },
}

impl HookActionSettings {
    /// The name in the config.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::EcsRedeploy { .. } => "ecs-redeploy",
            Self::Exec { .. } => "exec",
        }
    }
}

impl fmt::Display for HookActionSettings {
    /// Omits the arguments, which may contain secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EcsRedeploy { cluster, .. } => write!(f, "ecs-redeploy {cluster}"),
            Self::Exec { program, .. } => write!(f, "exec {}", program.display()),
        }
    }
}
