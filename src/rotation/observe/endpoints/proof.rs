//! Proof of credentials at the database and at every endpoint.
//!
//! # Failure modes
//! - An endpoint learns the password a moment after the database. The proof is repeated for a
//!   bounded time, so that a short lag does not end the attempt.
//! - The password changes while an endpoint is waited for. Each repetition proves it at the database
//!   again, and only the last one counts.

use std::time::Duration;

use super::readers::{Poolers, sign_in};
use super::{Answers, Endpoint, EndpointKind, NotAccepted};
use crate::config::settings::{HostPort, ReadersDown, Rotation};
use crate::rotation::error::{CredentialRole, RotationError};
use crate::rotation::observe::proof::{is_one_address, prove_at_database};
use crate::rotation::observe::resolve::ResolvedSecret;
use async_trait::async_trait;
use chrono::TimeDelta;
use twinkey_core::backoff::Backoff;
use twinkey_core::telemetry::Clock;
use twinkey_engines::{Credentials, EngineError, SignInChecks, SignedIn, Target};

/// The delays between two proofs.
const DELAYS: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));

/// Credentials, and where they are proved.
pub(crate) struct Prover<'a> {
    pub rotation: &'a Rotation,
    pub readers: &'a [HostPort],
    pub resolved: &'a ResolvedSecret,
    /// Where the master signs in.
    pub master: &'a Target,
    pub who: &'a Credentials,
    pub role: CredentialRole,
    pub checks: SignInChecks<'a>,
    /// What the secret's own host is.
    pub own_host: EndpointKind,
    pub poolers: Poolers,
}

/// Observer of a proof.
#[async_trait]
pub(crate) trait WaitObserver: Send + Sync {
    /// Reports that other endpoints than before are waited for.
    ///
    /// # Errors
    /// The proof must not continue.
    async fn waits(&self, answers: &Answers) -> Result<(), RotationError>;
}

/// Observer of a proof without progress.
pub(crate) struct Unobserved;

#[async_trait]
impl WaitObserver for Unobserved {
    async fn waits(&self, _answers: &Answers) -> Result<(), RotationError> {
        Ok(())
    }
}

/// Result of a proof.
pub(crate) enum Proved {
    /// The database refuses the credentials.
    Refused(EngineError),
    /// The database accepts them; the answers of the other endpoints.
    Accepted(Answers),
}

impl Prover<'_> {
    /// Proves the credentials at the database and at every endpoint. For endpoints that do not accept
    /// them the proof is repeated until `limit`. `first`: a proof at the database that was just made.
    ///
    /// # Errors
    /// What no later try changes, and errors of the observer.
    pub(crate) async fn prove(
        &self,
        clock: &Clock,
        limit: Duration,
        mut first: Option<Result<SignedIn, EngineError>>,
        observer: &dyn WaitObserver,
    ) -> Result<Proved, RotationError> {
        let limit = TimeDelta::from_std(limit).unwrap_or(TimeDelta::MAX);
        let end = clock.now() + limit;
        let down = self.rotation.readers.down;
        let mut delays = DELAYS.delays();
        let mut reported = Vec::new();
        loop {
            let database = match first.take() {
                Some(proof) => proof,
                None => self.at_database().await,
            };
            match database {
                Ok(_) => {}
                Err(refused @ EngineError::SignIn { .. }) => return Ok(Proved::Refused(refused)),
                Err(error) => return Err(self.role.error()(error)),
            }
            let answers = self.at_endpoints().await?;
            if answers.refusal(down).is_none() || clock.now() >= end {
                return Ok(Proved::Accepted(answers));
            }
            let names = waited_for(&answers, down);
            if names != reported {
                observer.waits(&answers).await?;
                reported = names;
            }
            clock.sleep(delays.next_delay()).await;
        }
    }

    async fn at_database(&self) -> Result<SignedIn, EngineError> {
        prove_at_database(self.resolved, self.master, self.who, self.checks).await
    }

    async fn at_endpoints(&self) -> Result<Answers, RotationError> {
        let (own, readers) = tokio::join!(self.at_own_host(), async {
            // A probe may write, which a replica refuses.
            let checks = SignInChecks {
                probes: &[],
                ..self.checks
            };
            sign_in(
                self.rotation,
                self.readers,
                self.resolved,
                self.who,
                checks,
                self.poolers,
            )
            .await
        });
        let mut answers = readers?;
        if let Some(behind) = own? {
            answers.behind.push(behind);
        }
        Ok(answers)
    }

    /// The proof at the secret's own host, if the master signs in at another address.
    async fn at_own_host(&self) -> Result<Option<NotAccepted>, RotationError> {
        let is_later = self.own_host == EndpointKind::Pooler && self.poolers == Poolers::Without;
        if is_later || is_one_address(self.resolved, self.master) {
            return Ok(None);
        }
        match self.resolved.sign_in(self.who, self.checks).await {
            Ok(_) => Ok(None),
            Err(error @ EngineError::SignIn { .. }) => Ok(Some(NotAccepted {
                endpoint: Endpoint::of_secret(self.resolved, self.own_host),
                error,
            })),
            Err(error) => Err(self.role.error()(error)),
        }
    }
}

fn waited_for(answers: &Answers, down: ReadersDown) -> Vec<String> {
    let counts =
        |one: &&NotAccepted| down == ReadersDown::Wait || one.endpoint.kind == EndpointKind::Pooler;
    let unreachable = answers.unreachable.iter().filter(counts);
    let all = answers.behind.iter().chain(unreachable);
    all.map(|one| one.endpoint.to_string()).collect()
}
