//! BatchGetSecretValue: AWSCURRENT of several secrets, each with its value or an error of its own.

use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::super::LocalStore;
use super::super::refusal::{Kind, Refusal};
use super::actions::{Answer, value_of};
use super::request::read;

/// As AWS has it (API reference, `SecretIdList`).
const MOST: usize = 20;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Request {
    #[serde(default)]
    secret_id_list: Vec<String>,
}

pub(super) async fn batch_get_secret_value(store: &LocalStore, body: &[u8]) -> Answer {
    let request: Request = read(body)?;
    if !(1..=MOST).contains(&request.secret_id_list.len()) {
        return Err(Refusal::new(
            Kind::InvalidParameter,
            "SecretIdList must hold 1 to 20 secrets; this store takes no Filters here.",
        ));
    }
    let (mut values, mut errors): (Vec<Json>, Vec<Json>) = (Vec::new(), Vec::new());
    for secret in &request.secret_id_list {
        match store.read_value(secret, None, None).await {
            Ok(found) => values.push(value_of(&found)),
            Err(refusal) => errors.push(json!({
                "SecretId": secret, "ErrorCode": refusal.kind.name(), "Message": refusal.message,
            })),
        }
    }
    Ok(json!({"SecretValues": values, "Errors": errors}))
}
