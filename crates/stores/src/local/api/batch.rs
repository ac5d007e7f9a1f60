//! BatchGetSecretValue: the AWSCURRENT values of a list of secrets, or of those that match filters.
//!
//! # Failure modes
//! - One unreadable secret fails the whole batch. Each secret has its own value or its own error.
//! - A batch returns secrets that the key may not read. Each secret is authorized as in
//!   GetSecretValue, and filters omit secrets that the key may not read.

use serde_json::{Value as Json, json};

use super::super::LocalStore;
use super::super::constraints::within_length;
use super::super::refusal::{Refusal, RefusalKind};
use super::ApiResult;
use super::action::Action;
use super::actions::read_value;
use super::caller::{Caller, require_any};
use super::filter::Filters;
use super::list::{Page, PageResult};
use super::request::{Request, read};

/// Limit of secrets in one response.
const MAX_SECRETS: u16 = 20;

pub(super) async fn batch_get_secret_value(
    store: &LocalStore,
    caller: &dyn Caller,
    body: &[u8],
) -> ApiResult {
    let request: Request = read(body)?;
    require_any(caller, Action::BatchGetSecretValue)?;
    let limit = 0..=usize::from(MAX_SECRETS);
    within_length("secretIdList", request.secret_id_list.len(), limit)?;
    let invalid = |why: &str| Err(Refusal::new(RefusalKind::InvalidParameter, why));
    let which = match (
        request.secret_id_list.is_empty(),
        request.filters.is_empty(),
    ) {
        (true, true) | (false, false) => {
            return invalid("Either 'SecretIdList' or 'Filters' must be provided, but not both.");
        }
        (true, false) => filtered_page(store, caller, &request).await?,
        (false, true) if request.max_results.is_some() => {
            return invalid(
                "'Filters' not specified. 'Filters' must also be specified when 'MaxResults' is provided.",
            );
        }
        (false, true) => PageResult {
            entries: request.secret_id_list,
            next: None,
        },
    };
    let (mut values, mut errors) = (Vec::new(), Vec::new());
    for secret in &which.entries {
        match read_value(store, caller, secret, None, None).await {
            Ok(value) => values.push(value),
            Err(refusal) => errors.push(json!({
                "SecretId": secret, "ErrorCode": refusal.kind.name(), "Message": refusal.message,
            })),
        }
    }
    let mut answer = json!({"SecretValues": values, "Errors": errors});
    if let Some(next) = which.next {
        answer["NextToken"] = Json::String(next);
    }
    Ok(answer)
}

/// One page of the names that match the filters. As in AWS, filters also require ListSecrets.
async fn filtered_page(
    store: &LocalStore,
    caller: &dyn Caller,
    request: &Request,
) -> Result<PageResult<String>, Refusal> {
    require_any(caller, Action::ListSecrets)?;
    let filters = Filters::new(&request.filters)?;
    let page = Page::of(request, "batch", MAX_SECRETS)?;
    let visible = |name: &str| {
        let may = |action| caller.may(action, Some(name));
        may(Action::ListSecrets) && may(Action::GetSecretValue)
    };
    let all = store.all_details(visible).await?;
    let names = all
        .into_iter()
        .filter(|d| d.secret.deleted.is_none() && filters.match_secret(d))
        .map(|d| d.secret.name)
        .map(|name| (name.clone(), name))
        .collect();
    Ok(page.cut(names))
}
