//! What Secrets Manager tells of an account's rotations: reads only.

use aws_config::SdkConfig;
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_secretsmanager::primitives::DateTime as AwsTime;
use aws_sdk_secretsmanager::types::{Filter, FilterNameStringType, SecretListEntry};
use chrono::DateTime;

use super::{Found, Rules};
use twinkey_core::code::{Code, Problem};
use twinkey_core::secret::Sensitive;
use twinkey_core::secret::document::{Document, Fields};

/// ListSecrets gives at most so many a call.
const PAGE: i32 = 100;

/// Every secret of the region with rotation on, whose name begins with `prefix`, in the order of their names.
///
/// # Errors
/// ListSecrets is denied, or AWS is not reached. A secret that cannot be read is in the list, with the reason.
pub async fn ask(config: &SdkConfig, prefix: Option<&str>) -> Result<Vec<Found>, Problem> {
    let client = Client::new(config);
    let filter = prefix.map(|prefix| {
        let filter = Filter::builder().key(FilterNameStringType::Name);
        vec![filter.values(prefix).build()]
    });
    let mut found = Vec::new();
    let mut page = None;
    loop {
        let call = client.list_secrets().max_results(PAGE);
        let call = call.set_filters(filter.clone()).set_next_token(page);
        let answer = call.send().await.map_err(|error| problem(&error))?;
        for entry in answer.secret_list.unwrap_or_default() {
            // AWS's filter knows no case, and is a prefix of each word of a name.
            let begins = (entry.name.as_deref().zip(prefix)).is_none_or(|(n, p)| n.starts_with(p));
            if entry.rotation_enabled == Some(true) && begins {
                found.push(one(&client, entry).await);
            }
        }
        page = answer.next_token.filter(|token| !token.is_empty());
        if page.is_none() {
            break;
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

async fn one(client: &Client, entry: SecretListEntry) -> Found {
    let arn = entry.arn.unwrap_or_default();
    let fields = if entry.rotation_lambda_arn.is_some() {
        read(client, &arn).await
    } else {
        Err("there was no need to".into())
    };
    let rules = entry.rotation_rules;
    let next = |at: AwsTime| DateTime::from_timestamp(at.secs(), 0);
    Found {
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

async fn read(client: &Client, arn: &str) -> Result<Fields, String> {
    let answer = client.get_secret_value().secret_id(arn).send().await;
    let answer = answer.map_err(|error| problem(&error).message)?;
    let value = answer.secret_string.map(Sensitive::from);
    let value = value.ok_or("it is binary, and no document")?;
    let document = Document::parse(value).map_err(|error| error.to_string())?;
    Ok(document.fields().clone())
}

/// By AWS's code for it.
fn problem<E: ProvideErrorMetadata>(error: &SdkError<E>) -> Problem {
    let code = error.as_service_error().and_then(|error| error.code());
    let (kind, message) = match code {
        Some("AccessDeniedException") => (Code::StoreDenied, "AWS denies it".to_owned()),
        Some(code) if code.contains("Throttl") => {
            (Code::StoreThrottled, format!("AWS answers {code}"))
        }
        Some(code) => (Code::StoreUnavailable, format!("AWS answers {code}")),
        None => (
            Code::StoreUnavailable,
            "AWS is not reached, or there are no credentials or no region for it".to_owned(),
        ),
    };
    Problem {
        code: kind,
        message,
        hint: "reading takes secretsmanager:ListSecrets, and secretsmanager:GetSecretValue on each secret; give --region".into(),
    }
}
