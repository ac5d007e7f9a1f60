//! List of an account's rotated secrets, read from Secrets Manager.

use aws_config::SdkConfig;
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_secretsmanager::primitives::DateTime as AwsTime;
use aws_sdk_secretsmanager::types::{Filter, FilterNameStringType, SecretListEntry};
use chrono::DateTime;

use super::{RotatedSecret, Rules};
use twinkey_core::code::{Code, Problem};
use twinkey_core::secret::Sensitive;
use twinkey_core::secret::document::{Document, Fields};

/// The largest page of ListSecrets.
const PAGE: i32 = 100;

/// Every secret of the region with rotation enabled whose name begins with `prefix`, sorted by name.
///
/// # Errors
/// ListSecrets is denied, or AWS is unreachable. A secret that cannot be read is listed with the reason.
pub async fn list_rotated_secrets(
    config: &SdkConfig,
    prefix: Option<&str>,
) -> Result<Vec<RotatedSecret>, Problem> {
    let client = Client::new(config);
    let filter = prefix.map(|prefix| {
        let filter = Filter::builder().key(FilterNameStringType::Name);
        vec![filter.values(prefix).build()]
    });
    let mut secrets = Vec::new();
    let mut page = None;
    loop {
        let call = client.list_secrets().max_results(PAGE);
        let call = call.set_filters(filter.clone()).set_next_token(page);
        let response = call.send().await.map_err(|error| problem(&error))?;
        for entry in response.secret_list.unwrap_or_default() {
            // AWS's filter ignores case and matches the prefix of each word of a name.
            let matches = (entry.name.as_deref().zip(prefix)).is_none_or(|(n, p)| n.starts_with(p));
            if entry.rotation_enabled == Some(true) && matches {
                secrets.push(rotated_secret(&client, entry).await);
            }
        }
        page = response.next_token.filter(|token| !token.is_empty());
        if page.is_none() {
            break;
        }
    }
    secrets.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(secrets)
}

async fn rotated_secret(client: &Client, entry: SecretListEntry) -> RotatedSecret {
    let arn = entry.arn.unwrap_or_default();
    let fields = if entry.rotation_lambda_arn.is_some() {
        read_fields(client, &arn).await
    } else {
        Err("its value was not needed".into())
    };
    let rules = entry.rotation_rules;
    let next = |at: AwsTime| DateTime::from_timestamp(at.secs(), 0);
    RotatedSecret {
        name: entry.name.unwrap_or_else(|| arn.clone()),
        arn,
        owner: entry.owning_service,
        function: entry.rotation_lambda_arn,
        rules: rules.map_or_else(Rules::default, |rules| Rules {
            expression: rules.schedule_expression,
            duration: rules.duration,
            days: rules.automatically_after_days,
        }),
        primary_region: entry.primary_region,
        next: entry.next_rotation_date.and_then(next),
        fields,
    }
}

async fn read_fields(client: &Client, arn: &str) -> Result<Fields, String> {
    let response = client.get_secret_value().secret_id(arn).send().await;
    let response = response.map_err(|error| problem(&error).message)?;
    let value = response.secret_string.map(Sensitive::from);
    let value = value.ok_or("it is binary")?;
    let document = Document::parse(value).map_err(|error| error.to_string())?;
    Ok(document.fields().clone())
}

/// The problem of an AWS error code.
fn problem<E: ProvideErrorMetadata>(error: &SdkError<E>) -> Problem {
    let code = error.as_service_error().and_then(|error| error.code());
    let (kind, message) = match code {
        Some("AccessDeniedException") => (Code::StoreDenied, "AWS denies it".to_owned()),
        Some(code) if code.contains("Throttl") => {
            (Code::StoreThrottled, format!("AWS responds {code}"))
        }
        Some(code) => (Code::StoreUnavailable, format!("AWS responds {code}")),
        None => (
            Code::StoreUnavailable,
            "AWS is unreachable, or credentials or a region are missing".to_owned(),
        ),
    };
    Problem {
        code: kind,
        message,
        hint: "allow secretsmanager:ListSecrets, and secretsmanager:GetSecretValue on each secret, and give --region".into(),
    }
}
