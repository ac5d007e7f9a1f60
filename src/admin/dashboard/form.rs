//! Queries and forms of the pages, as a browser sends them.

use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{Form, Query};
use axum::http::StatusCode;

use crate::admin::problem::ApiError;

/// The query of the address; an invalid one is a bad request.
pub(super) fn parse_query<T>(query: Result<Query<T>, QueryRejection>) -> Result<T, ApiError> {
    let Query(parsed) = query.map_err(|refused| {
        let hint = "open the list of rotations";
        ApiError::new(StatusCode::BAD_REQUEST, refused.body_text(), hint)
    })?;
    Ok(parsed)
}

/// The value of a selection of the form; `None` if it is empty.
pub(super) fn selected<T: Copy>(
    what: &str,
    text: &str,
    all: &[T],
    as_str: fn(T) -> &'static str,
) -> Result<Option<T>, ApiError> {
    let found = all.iter().copied().find(|value| as_str(*value) == text);
    if found.is_some() || text.is_empty() {
        return Ok(found);
    }
    let known: Vec<_> = all.iter().copied().map(as_str).collect();
    Err(ApiError::new(
        StatusCode::BAD_REQUEST,
        format!("there is no {what} {text:?}"),
        format!("the {what}s are {}", known.join(", ")),
    ))
}

/// The form of an action; an invalid one is an error with a way back.
pub(super) fn parse_form<T>(form: Result<Form<T>, FormRejection>) -> Result<T, ApiError> {
    let Form(parsed) = form.map_err(|refused| {
        let hint = "open the page again and submit its form";
        ApiError::new(refused.status(), refused.body_text(), hint)
    })?;
    Ok(parsed)
}
