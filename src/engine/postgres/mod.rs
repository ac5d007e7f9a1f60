//! PostgreSQL on RDS and Aurora.

use async_trait::async_trait;

use super::{Admin, Credentials, Engine, EngineError, PostgresOptions, SignedIn, Target};

/// The engine, with the rotation's options.
#[derive(Debug, Clone)]
pub struct Postgres {
    options: PostgresOptions,
}

impl Postgres {
    #[must_use]
    pub const fn new(options: PostgresOptions) -> Self {
        Self { options }
    }
}

#[async_trait]
impl Engine for Postgres {
    fn check_user_name(&self, _name: &str) -> Result<(), EngineError> {
        Ok(())
    }

    async fn sign_in(
        &self,
        _target: &Target,
        _credentials: &Credentials,
        _probes: &[String],
    ) -> Result<SignedIn, EngineError> {
        todo!("{:?}", self.options)
    }

    async fn admin(
        &self,
        _target: &Target,
        _master: &Credentials,
    ) -> Result<Box<dyn Admin>, EngineError> {
        todo!()
    }
}
