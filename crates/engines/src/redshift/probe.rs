//! The proof of a password without a network path: a short-lived secret that the Data API signs in with.
//!
//! What can go wrong, and what prevents it:
//! - a crash leaves the secret, a second copy of a password: its name is always the same for one
//!   rotated secret and user, so whoever proves that user next finds it, writes over it, and deletes it;
//! - two look at one secret at once (`twinkey check` beside a run), and one deletes what the other signs
//!   in with: who finds it gone makes it again, a few times;
//! - the API does not see the secret yet, or the name of a deleted one is not free yet: both are tried
//!   again, within a limit;
//! - AWS's managed policy for the Data API refuses secrets without the tag that it asks for: the secret
//!   has it;
//! - the password is in an error: of an answer only its error's name is used.

use aws_config::SdkConfig;
use aws_lc_rs::digest;
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_secretsmanager::types::Tag;
use serde_json::json;
use tokio::time::sleep;

use super::backoff::Backoff;
use super::batch::Line;
use super::client::{Client as DataApi, Login};
use super::connect::Peer;
use super::failure::{Answer, Failed, Kind, answer};
use crate::{Credentials, EngineError, RedshiftTarget};
use twinkey_core::secret::ExposeSecret;

/// "AmazonRedshiftDataFullAccess" in the AWS managed policy reference.
const TAG: &str = "RedshiftDataFullAccess";
/// The begin of every probe secret's name: what a policy may be restricted to.
const PREFIX: &str = "twinkey/probe/";
/// How often what is not visible yet is asked for; with the pauses about ten seconds.
const TRIES: u32 = 8;

/// The name for one rotated secret and one of its users.
fn name(rotated: &str, user: &str) -> String {
    let hash = digest::digest(
        &digest::SHA256,
        format!("{}:{rotated}{user}", rotated.len()).as_bytes(),
    );
    let digits: String = hash.as_ref()[..16]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("{PREFIX}{digits}")
}

/// The document that the Data API reads ("Storing database credentials in AWS Secrets Manager").
fn document(peer: &Peer, who: &Credentials) -> String {
    let mut document = json!({
        "engine": "redshift",
        "host": peer.host,
        "port": peer.port,
        "dbname": peer.database,
        "username": who.username,
        "password": who.password.expose_secret(),
    });
    if let RedshiftTarget::Cluster(cluster) = &peer.target {
        document["dbClusterIdentifier"] = json!(cluster);
    }
    document.to_string()
}

/// Signs in with a probe secret and carries the lines out. Gives the first line's rows' first cells.
pub(super) async fn sign_in(
    config: &SdkConfig,
    data: &DataApi,
    peer: &Peer,
    rotated: &str,
    who: &Credentials,
    batches: &[&[Line]],
) -> Result<String, EngineError> {
    let secrets = Client::new(config);
    let name = name(rotated, &who.username);
    let mut backoff = Backoff::until_visible();
    let mut tries = 0;
    loop {
        tries += 1;
        let proof = async {
            put(&secrets, &name, peer, who).await?;
            first_cell(data, peer, &name, batches).await
        };
        let proof = proof.await;
        let swept = delete(&secrets, &name).await;
        match proof {
            Err((_, failed)) if failed.kind == Kind::NoSecret && tries < TRIES => {
                sleep(backoff.next()).await;
            }
            Err((at, failed)) => {
                let lines = at
                    .and_then(|at| batches.get(at))
                    .copied()
                    .unwrap_or_default();
                return Err(peer.explain("proving the password", lines, failed));
            }
            Ok(cell) => {
                // Left over, it would be swept by the next proof; but nobody may count on one.
                swept.map_err(|failed| peer.explain("deleting the probe secret", &[], failed))?;
                return Ok(cell);
            }
        }
    }
}

type At<T> = Result<T, (Option<usize>, Failed)>;

async fn first_cell(data: &DataApi, peer: &Peer, name: &str, batches: &[&[Line]]) -> At<String> {
    let login = Login::Secret(name.to_owned());
    let mut cell = String::new();
    for (at, lines) in batches.iter().enumerate() {
        let failed = |failed| (Some(at), failed);
        let done = data
            .ask(&login, &peer.database, lines)
            .await
            .map_err(failed)?;
        if at == 0 {
            let rows = data.rows(&done, 0).await.map_err(failed)?;
            cell = rows
                .first()
                .and_then(|row| row.text(0).ok())
                .unwrap_or_default();
        }
    }
    Ok(cell)
}

/// Makes the secret, or writes over the one that a crash left.
async fn put(secrets: &Client, name: &str, peer: &Peer, who: &Credentials) -> At<()> {
    let document = document(peer, who);
    let made = tried(|| async {
        let tag = Tag::builder().key(TAG).value("twinkey").build();
        let sent = secrets
            .create_secret()
            .name(name)
            .description("Short-lived: twinkey proves a password with it, and deletes it.")
            .secret_string(&document)
            .tags(tag)
            .send()
            .await;
        match sent {
            Ok(_) => Ok(true),
            Err(error) if is(&error, "ResourceExistsException") => Ok(false),
            Err(error) => Err(understood(&error)),
        }
    });
    if made.await.map_err(|failed| (None, failed))? {
        return Ok(());
    }
    let put = tried(|| async {
        let sent = secrets
            .put_secret_value()
            .secret_id(name)
            .secret_string(&document)
            .send()
            .await;
        sent.map(drop).map_err(|error| understood(&error))
    });
    put.await.map_err(|failed| (None, failed))
}

/// Deletes the secret, without the days in which it could be had back.
async fn delete(secrets: &Client, name: &str) -> Result<(), Failed> {
    tried(|| async {
        let sent = secrets
            .delete_secret()
            .secret_id(name)
            .force_delete_without_recovery(true)
            .send()
            .await;
        match sent {
            Ok(_) => Ok(()),
            Err(error) if is(&error, "ResourceNotFoundException") => Ok(()),
            Err(error) => Err(understood(&error)),
        }
    })
    .await
}

fn is<E: ProvideErrorMetadata>(error: &SdkError<E>, name: &str) -> bool {
    error
        .as_service_error()
        .is_some_and(|error| error.code() == Some(name))
}

/// Tries what is turned away for now, or gets no answer.
async fn tried<T, F>(call: impl Fn() -> F) -> Result<T, Failed>
where
    F: Future<Output = Result<T, (Answer, Failed)>>,
{
    let mut backoff = Backoff::between_calls();
    let mut tries = 0;
    loop {
        tries += 1;
        match call().await {
            Ok(done) => return Ok(done),
            Err((Answer::Wait | Answer::Again, _)) if tries < TRIES => {
                sleep(backoff.next()).await;
            }
            Err((_, failed)) => return Err(failed),
        }
    }
}

fn understood<E: ProvideErrorMetadata>(error: &SdkError<E>) -> (Answer, Failed) {
    match error {
        SdkError::ServiceError(e) => {
            let name = e.err().code();
            let message = e.err().message().unwrap_or_default();
            let found = match (name, answer(name, e.raw().status().as_u16(), message)) {
                // A secret of this name is being deleted: the name is free a moment later.
                (Some("InvalidRequestException"), _) => Answer::Wait,
                (Some("ResourceNotFoundException"), _) => Answer::Fails(Kind::NoSecret),
                (_, found) => found,
            };
            let kind = match found {
                Answer::Wait => Kind::Busy,
                Answer::Again => Kind::Unreachable,
                Answer::Fails(kind) => kind,
            };
            let reason = format!(
                "Secrets Manager answered {} about the probe secret",
                name.unwrap_or("an error without a name")
            );
            (found, Failed::new(kind, reason))
        }
        SdkError::ConstructionFailure(_) => (
            Answer::Fails(Kind::Denied),
            Failed::new(
                Kind::Denied,
                "the call could not be made: is a region set (secrets.region or AWS_REGION)?",
            ),
        ),
        _ => (
            Answer::Again,
            Failed::new(Kind::Unreachable, "Secrets Manager gave no answer"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_one_secrets_and_one_users_and_always_the_same() {
        let it = name("arn:x", "app");
        assert_eq!(it, name("arn:x", "app"));
        assert!(it.starts_with("twinkey/probe/") && it.len() == PREFIX.len() + 32);
        assert_ne!(it, name("arn:x", "app_clone"));
        assert_ne!(it, name("arn:xa", "pp"));
    }

    #[test]
    fn the_document_names_the_cluster_where_there_is_one() {
        let mut peer = Peer {
            target: RedshiftTarget::Cluster("c".into()),
            host: "h".into(),
            port: 5439,
            database: "dev".into(),
            user: "app".into(),
        };
        let who = Credentials {
            username: "a\"b".into(),
            password: "p".into(),
        };
        let read = |peer: &Peer| -> serde_json::Value {
            serde_json::from_str(&document(peer, &who)).unwrap()
        };
        assert_eq!(read(&peer)["dbClusterIdentifier"], "c");
        assert_eq!(read(&peer)["username"], "a\"b");
        peer.target = RedshiftTarget::Workgroup("w".into());
        assert!(read(&peer).get("dbClusterIdentifier").is_none());
    }
}
