//! Credentials of a role, which are used until shortly before they end.
//!
//! # Failure modes
//! - Requests that are signed outside the SDK assume the role each. The session is cached here, and not by
//!   the clients of the SDK.
//! - Many requests at once assume the role many times. The first one assumes it, and the others wait.
//! - The sessions of a role are revoked, and the role is given back. AWS denies the old session until its
//!   end, which is an hour away. A session that AWS refuses is replaced.
//! - A role lacks a permission, and each denied call assumes it again. A session is replaced only when it is
//!   older than [`LEAST_AGE`].

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::future::ProvideCredentials as ProvideCredentialsFuture;
use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::printable::{MESSAGE, printable};
use crate::telemetry::Clock;

/// The time before the end of a session at which it is replaced, as in the SDK.
const RENEW_BEFORE: TimeDelta = TimeDelta::seconds(10);
/// The least age of a session that is replaced because AWS refused it.
const LEAST_AGE: Duration = Duration::from_secs(30);

/// A role, and how it is assumed (AssumeRole in the STS API reference).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    pub arn: String,
    pub external_id: Option<String>,
    /// The name of the session, for CloudTrail.
    pub session: String,
}

/// Why a role cannot be assumed.
#[derive(Debug, thiserror::Error)]
#[error("{role}: {reason}")]
pub struct RoleError {
    pub role: String,
    /// The message of STS, or of the connection to it.
    pub reason: String,
}

/// Whether AWS refused the session of a role since it was last used.
#[derive(Debug, Clone, Default)]
pub(super) struct Refusals(Arc<AtomicBool>);

impl Refusals {
    pub(super) fn note(&self) {
        self.0.store(true, Ordering::Release);
    }

    fn take(&self) -> bool {
        self.0.swap(false, Ordering::AcqRel)
    }
}

/// Credentials of a role, whose errors are [`RoleError`]s.
#[derive(Debug)]
pub(super) struct RoleCredentials {
    role: String,
    provider: AssumeRoleProvider,
    session: Mutex<Option<Session>>,
    refusals: Refusals,
}

#[derive(Debug)]
struct Session {
    credentials: Credentials,
    began: Instant,
}

impl Session {
    fn is_usable(&self, now: DateTime<Utc>, is_refused: bool) -> bool {
        let end = self.credentials.expiry().map(DateTime::<Utc>::from);
        let ends = end.is_some_and(|end| end - now <= RENEW_BEFORE);
        let is_replaceable = self.began.elapsed() >= LEAST_AGE;
        !(ends || is_refused && is_replaceable)
    }
}

impl RoleCredentials {
    pub(super) async fn new(role: &Role, config: &SdkConfig, refusals: Refusals) -> Self {
        let mut provider = AssumeRoleProvider::builder(&role.arn).session_name(&role.session);
        if let Some(id) = &role.external_id {
            provider = provider.external_id(id);
        }
        Self {
            role: role.arn.clone(),
            provider: provider.configure(config).build().await,
            session: Mutex::default(),
            refusals,
        }
    }

    async fn load(&self) -> Result<Credentials, CredentialsError> {
        let mut session = self.session.lock().await;
        let is_refused = self.refusals.take();
        let now = Clock::system().now();
        if let Some(session) = session
            .as_ref()
            .filter(|one| one.is_usable(now, is_refused))
        {
            return Ok(session.credentials.clone());
        }
        // A refused session is not used again, even if the role cannot be assumed now.
        *session = None;
        let credentials = self.assume().await?;
        *session = Some(Session {
            credentials: credentials.clone(),
            began: Instant::now(),
        });
        Ok(credentials)
    }

    async fn assume(&self) -> Result<Credentials, CredentialsError> {
        let loaded = self.provider.provide_credentials().await;
        loaded.map_err(|error| {
            let reason = innermost(&error);
            tracing::debug!(role = %self.role, %reason, "role not assumed");
            CredentialsError::provider_error(RoleError {
                role: self.role.clone(),
                reason: printable(&reason, MESSAGE),
            })
        })
    }
}

impl ProvideCredentials for RoleCredentials {
    fn provide_credentials<'a>(&'a self) -> ProvideCredentialsFuture<'a>
    where
        Self: 'a,
    {
        ProvideCredentialsFuture::new(self.load())
    }
}

/// The text of the innermost cause of an error.
fn innermost(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}
