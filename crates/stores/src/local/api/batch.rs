//! BatchGetSecretValue: the AWSCURRENT values of a list of secrets, or of those that filters find.
//!
//! What can go wrong, and what prevents it:
//! - one secret that cannot be read takes the others with it: each has its own value or its own error;
//! - the batch is a way around what a key may not read: each secret is asked for as GetSecretValue is, and
//!   one that filters find and the key may not read is not told of.

use serde_json::{Value as Json, json};

use super::super::LocalStore;
use super::super::refusal::{Refusal, RefusalKind};
use super::ApiResult;
use super::action::Action;
use super::actions::read_value;
use super::caller::{Caller, require_any};
use super::filter::Filters;
use super::list::{Page, PageResult};
use super::request::{Request, read};

/// Secrets in one answer.
const MOST: usize = 20;

pub(super) async fn batch_get_secret_value(
    store: &LocalStore,
    caller: &dyn Caller,
    body: &[u8],
) -> ApiResult {
    let request: Request = read(body)?;
    require_any(caller, Action::BatchGetSecretValue)?;
    let invalid = |why: &str| Err(Refusal::new(RefusalKind::InvalidParameter, why));
    let which = match (
        request.secret_id_list.is_empty(),
        request.filters.is_empty(),
    ) {
        (true, true) => return invalid("You must provide either SecretIdList or Filters."),
        (false, false) => return invalid("You can't provide both SecretIdList and Filters."),
        (true, false) => found(store, caller, &request).await?,
        (false, true) if request.max_results.is_some() => {
            return invalid("You can use MaxResults only with Filters.");
        }
        (false, true) if request.secret_id_list.len() > MOST => {
            return invalid("SecretIdList can hold at most 20 secrets.");
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

/// The names of those that the filters find, one page of them. AWS asks for ListSecrets too, for them.
async fn found(
    store: &LocalStore,
    caller: &dyn Caller,
    request: &Request,
) -> Result<PageResult<String>, Refusal> {
    require_any(caller, Action::ListSecrets)?;
    let filters = Filters::new(&request.filters)?;
    let page = Page::of(request, "batch", MOST)?;
    let all = store.all_details().await?;
    let names = all
        .into_iter()
        .filter(|d| d.secret.deleted.is_none() && filters.match_secret(d))
        .map(|d| d.secret.name)
        .filter(|name| {
            let may = |action| caller.may(action, Some(name));
            may(Action::ListSecrets) && may(Action::GetSecretValue)
        })
        .map(|name| (name.clone(), name))
        .collect();
    Ok(page.cut(names))
}
