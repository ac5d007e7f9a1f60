//! Credentials of a database that rotate: read from Secrets Manager, kept for a while, read again when refused.

use std::time::{Duration, Instant};

use aws_sdk_secretsmanager::Client;
use serde_json::Value;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// AWSCURRENT of one secret, kept for a while: less than the rotation's `min_interval`.
pub struct Credentials {
    pub client: Client,
    pub secret_id: String,
    pub keep: Duration,
    pub kept: Option<(Instant, Value)>,
}

impl Credentials {
    pub async fn current(&mut self) -> Result<Value, Error> {
        match &self.kept {
            Some((read, document)) if read.elapsed() < self.keep => Ok(document.clone()),
            _ => {
                let call = self.client.get_secret_value().secret_id(&self.secret_id);
                let answer = call.send().await?;
                let document: Value =
                    serde_json::from_str(answer.secret_string().unwrap_or_default())?;
                self.kept = Some((Instant::now(), document.clone()));
                Ok(document)
            }
        }
    }
}

/// Opens a connection. Refused credentials are read again, and tried once more.
pub async fn connect<T, E: Into<Error>>(
    credentials: &mut Credentials,
    open: impl AsyncFn(Value) -> Result<T, E>,
    is_refused: impl Fn(&E) -> bool,
) -> Result<T, Error> {
    match open(credentials.current().await?).await {
        Err(error) if is_refused(&error) => credentials.kept = None,
        other => return other.map_err(Into::into),
    }
    open(credentials.current().await?).await.map_err(Into::into)
}
