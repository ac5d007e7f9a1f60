//! Sign-in check without a network path: the Data API signs in with a short-lived probe secret.
//!
//! # Failure modes
//! - A crash leaves a probe secret, a second copy of a password. Its name depends only on the
//!   rotated secret and the user, so that the next check deletes it;
//!   [`leftovers`](super::leftovers) deletes it within two hours.
//! - The API remembers the value of an earlier probe secret. Each check creates a secret, never
//!   overwrites one, and signs in by its ARN, which no other secret has had.
//! - Two checks of one secret run at once, and one deletes the probe secret of the other. A check
//!   whose probe secret is missing creates it again, up to a limit.
//! - The API does not see a new secret yet, or a deleted secret still blocks its name. Both are
//!   retried up to a limit.
//! - AWS's managed policy for the Data API denies secrets without its tag. The secret has that tag.
//! - An error contains the password. Only the names of Secrets Manager's errors are used.

use aws_config::SdkConfig;
use aws_lc_rs::digest;
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_secretsmanager::types::Tag;
use serde_json::json;
use tokio::time::sleep;

use crate::redshift::api::{
    BATCH_LIMIT, BatchStatement, CALL_BACKOFF, DataApiClient, ErrorAction, Failure, FailureKind,
    Login, VISIBILITY_BACKOFF, classify_error,
};
use crate::redshift::connect::DatabaseAddress;
use crate::{Credentials, EngineError, RedshiftTarget};
use twinkey_core::secret::ExposeSecret;

/// "AmazonRedshiftDataFullAccess" in the AWS managed policy reference.
pub(super) const TAG: &str = "RedshiftDataFullAccess";
pub(super) const TAG_VALUE: &str = "twinkey";
/// The prefix of every probe secret's name, for use in IAM policies.
pub(super) const PREFIX: &str = "twinkey/probe/";
/// The digits after the prefix.
pub(super) const HASH_DIGITS: usize = 32;
/// Maximum number of attempts until a secret is visible; with the delays about ten seconds.
const MAX_ATTEMPTS: u32 = 8;

/// The probe secret's name for one rotated secret and one of its users.
fn name(rotated: &str, user: &str) -> String {
    let hash = digest::digest(
        &digest::SHA256,
        format!("{}:{rotated}{user}", rotated.len()).as_bytes(),
    );
    let digits: String = hash.as_ref()[..HASH_DIGITS / 2]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("{PREFIX}{digits}")
}

/// The probe secret's document ("Storing database credentials in AWS Secrets Manager").
fn document(address: &DatabaseAddress, credentials: &Credentials) -> String {
    let mut document = json!({
        "engine": "redshift",
        "host": address.host,
        "port": address.port,
        "dbname": address.database,
        "username": credentials.username,
        "password": credentials.password.expose_secret(),
    });
    if let RedshiftTarget::Cluster(cluster) = &address.target {
        document["dbClusterIdentifier"] = json!(cluster);
    }
    document.to_string()
}

/// Signs in with a probe secret, runs the batches and returns the first cell of the first result.
pub(in crate::redshift) async fn sign_in(
    config: &SdkConfig,
    data: &DataApiClient,
    address: &DatabaseAddress,
    rotated: &str,
    credentials: &Credentials,
    batches: &[&[BatchStatement]],
) -> Result<String, EngineError> {
    let secrets = Client::new(config);
    let name = name(rotated, &credentials.username);
    let mut delays = VISIBILITY_BACKOFF.delays();
    let mut attempts = 0;
    loop {
        attempts += 1;
        let check = async {
            let arn = create(&secrets, &name, address, credentials).await?;
            first_cell(data, address, arn, batches).await
        };
        let check = check.await;
        let deleted = delete(&secrets, &name).await;
        match check {
            Err((_, failed)) if failed.kind == FailureKind::NoSecret && attempts < MAX_ATTEMPTS => {
                sleep(delays.next_delay()).await;
            }
            Err((at, failed)) => {
                let statements = at
                    .and_then(|at| batches.get(at))
                    .copied()
                    .unwrap_or_default();
                return Err(address.explain("checking the password", statements, failed));
            }
            Ok(cell) => {
                // A remaining secret must not depend on the next check for its deletion.
                deleted
                    .map_err(|failed| address.explain("deleting the probe secret", &[], failed))?;
                return Ok(cell);
            }
        }
    }
}

/// A result whose error names the failed batch, if any.
type BatchResult<T> = Result<T, (Option<usize>, Failure)>;

async fn first_cell(
    data: &DataApiClient,
    address: &DatabaseAddress,
    arn: String,
    batches: &[&[BatchStatement]],
) -> BatchResult<String> {
    let login = Login::Secret(arn);
    let mut cell = String::new();
    for (at, statements) in batches.iter().enumerate() {
        let failed = |failed| (Some(at), failed);
        let finished = data
            .query(&login, &address.database, statements, BATCH_LIMIT)
            .await
            .map_err(failed)?;
        if at == 0 {
            let rows = data.rows(&finished, 0).await.map_err(failed)?;
            cell = rows
                .first()
                .and_then(|row| row.text(0).ok())
                .unwrap_or_default();
        }
    }
    Ok(cell)
}

/// Creates the secret, in place of the one that a crash left. Returns its ARN.
async fn create(
    secrets: &Client,
    name: &str,
    address: &DatabaseAddress,
    credentials: &Credentials,
) -> BatchResult<String> {
    let document = document(address, credentials);
    let created = with_retries(|| async {
        let tag = Tag::builder().key(TAG).value(TAG_VALUE).build();
        let sent = secrets
            .create_secret()
            .name(name)
            .description("Short-lived: twinkey checks a password with it and deletes it.")
            .secret_string(&document)
            .tags(tag)
            .send()
            .await;
        match sent {
            Ok(created) => Ok(created.arn.unwrap_or_else(|| name.to_owned())),
            Err(error) if has_code(&error, "ResourceExistsException") => {
                delete(secrets, name)
                    .await
                    .map_err(|failed| (ErrorAction::Fail(failed.kind), failed))?;
                let reason = "a probe secret of an earlier check was in the way";
                Err((ErrorAction::Retry, Failure::new(FailureKind::Busy, reason)))
            }
            Err(error) => Err(classify(&error)),
        }
    });
    created.await.map_err(|failed| (None, failed))
}

/// Deletes the secret without a recovery window.
pub(super) async fn delete(secrets: &Client, id: &str) -> Result<(), Failure> {
    with_retries(|| async {
        let sent = secrets
            .delete_secret()
            .secret_id(id)
            .force_delete_without_recovery(true)
            .send()
            .await;
        match sent {
            Ok(_) => Ok(()),
            Err(error) if has_code(&error, "ResourceNotFoundException") => Ok(()),
            Err(error) => Err(classify(&error)),
        }
    })
    .await
}

fn has_code<E: ProvideErrorMetadata>(error: &SdkError<E>, name: &str) -> bool {
    error
        .as_service_error()
        .is_some_and(|error| error.code() == Some(name))
}

/// Retries a throttled or unanswered call up to a limit.
pub(super) async fn with_retries<T, F>(call: impl Fn() -> F) -> Result<T, Failure>
where
    F: Future<Output = Result<T, (ErrorAction, Failure)>>,
{
    let mut delays = CALL_BACKOFF.delays();
    let mut attempts = 0;
    loop {
        attempts += 1;
        match call().await {
            Ok(done) => return Ok(done),
            Err((ErrorAction::WaitAndRetry | ErrorAction::Retry, _)) if attempts < MAX_ATTEMPTS => {
                sleep(delays.next_delay()).await;
            }
            Err((_, failed)) => return Err(failed),
        }
    }
}

pub(super) fn classify<E: ProvideErrorMetadata>(error: &SdkError<E>) -> (ErrorAction, Failure) {
    match error {
        SdkError::ServiceError(e) => {
            let name = e.err().code();
            let message = e.err().message().unwrap_or_default();
            let action = match (
                name,
                classify_error(name, e.raw().status().as_u16(), message),
            ) {
                // A secret of this name is being deleted, so that the name is free soon.
                (Some("InvalidRequestException"), _) => ErrorAction::WaitAndRetry,
                (Some("ResourceNotFoundException"), _) => ErrorAction::Fail(FailureKind::NoSecret),
                (_, action) => action,
            };
            let kind = match action {
                ErrorAction::WaitAndRetry => FailureKind::Busy,
                ErrorAction::Retry => FailureKind::Unreachable,
                ErrorAction::Fail(kind) => kind,
            };
            let reason = format!(
                "Secrets Manager returned {} for the probe secret",
                name.unwrap_or("an error without a name")
            );
            (action, Failure::new(kind, reason))
        }
        SdkError::ConstructionFailure(_) => (
            ErrorAction::Fail(FailureKind::Denied),
            Failure::new(
                FailureKind::Denied,
                "the call could not be made: is a region set (secrets.region or AWS_REGION)?",
            ),
        ),
        _ => (
            ErrorAction::Retry,
            Failure::new(FailureKind::Unreachable, "Secrets Manager did not respond"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_depends_on_secret_and_user_only() {
        let probe = name("arn:x", "app");
        assert_eq!(probe, name("arn:x", "app"));
        assert!(probe.starts_with("twinkey/probe/") && probe.len() == PREFIX.len() + HASH_DIGITS);
        assert_ne!(probe, name("arn:x", "app_clone"));
        assert_ne!(probe, name("arn:xa", "pp"));
    }

    #[test]
    fn the_document_names_a_provisioned_cluster() {
        let mut address = DatabaseAddress {
            target: RedshiftTarget::Cluster("c".into()),
            host: "h".into(),
            port: 5439,
            database: "dev".into(),
            user: "app".into(),
        };
        let credentials = Credentials {
            username: "a\"b".into(),
            password: "p".into(),
        };
        let read = |address: &DatabaseAddress| -> serde_json::Value {
            serde_json::from_str(&document(address, &credentials)).unwrap()
        };
        assert_eq!(read(&address)["dbClusterIdentifier"], "c");
        assert_eq!(read(&address)["username"], "a\"b");
        address.target = RedshiftTarget::Workgroup("w".into());
        assert!(read(&address).get("dbClusterIdentifier").is_none());
    }
}
