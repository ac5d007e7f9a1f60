//! The OpenAPI document: made of the code, served, and kept in `docs/openapi.json`.
//!
//! What can go wrong, and what prevents it: a route is missing in it, or what it says is not so. Tests hold it
//! against the route table, against the file in `docs/`, and ask a worker for every answer that it describes.

use axum::Json;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    Components, ContentBuilder, OpenApi as Document, Ref, RefOr, Response, ResponseBuilder,
    SecurityRequirement,
};
use utoipa::{Modify, OpenApi};

use crate::admin::problem::Body;
use crate::admin::routes::{events, health, rotations, runs};

const TOKEN: &str = "token";

/// The document.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "twinkey",
        description = "The admin endpoint of a twinkey worker. Errors are `application/problem+json` (RFC 9457); `code` is one of the codes of the documentation. Times are RFC 3339, in UTC.",
    ),
    paths(
        health::healthz,
        health::readyz,
        document,
        crate::admin::metrics::metrics,
        rotations::rotations,
        rotations::rotation,
        rotations::rotate,
        rotations::rollback,
        rotations::pause,
        rotations::resume,
        rotations::plan,
        rotations::check,
        runs::runs,
        runs::run,
        events::events,
    ),
    components(schemas(Body<'static>)),
    modifiers(&Common)
)]
struct Described;

/// This document.
#[utoipa::path(get, path = "/openapi.json", tag = "worker",
    responses((status = 200, description = "OpenAPI 3.1", content_type = "application/json", body = Object)))]
pub async fn document() -> Json<Document> {
    Json(Described::openapi())
}

/// What all guarded routes have in common: the token, and how they refuse.
struct Common;

impl Modify for Common {
    fn modify(&self, document: &mut Document) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        document
            .components
            .get_or_insert_with(Components::new)
            .add_security_scheme(TOKEN, SecurityScheme::Http(scheme));
        for (path, item) in &mut document.paths.paths {
            for operation in [&mut item.get, &mut item.post].into_iter().flatten() {
                let answers = &mut operation.responses.responses;
                if !super::open().iter().any(|(_, open, _)| open == path) {
                    let token = SecurityRequirement::new::<_, [&str; 0], &str>(TOKEN, []);
                    operation.security = Some(vec![token]);
                    for (status, why) in [
                        ("401", "The token is missing or wrong"),
                        ("403", "A browser asks for a page of another site"),
                        ("500", "A defect of twinkey: please report it"),
                        (
                            "503",
                            "Journal, store or database cannot be reached, or it took too long",
                        ),
                    ] {
                        let answer = ResponseBuilder::new().description(why).build();
                        answers.entry(status.into()).or_insert(RefOr::T(answer));
                    }
                }
                for (status, answer) in answers {
                    if let RefOr::T(answer) = answer {
                        complete(status, answer);
                    }
                }
            }
        }
    }
}

/// Every answer has a description, and every error the one body.
fn complete(status: &str, answer: &mut Response) {
    if answer.description.is_empty() {
        answer.description = match status {
            "400" => "The request is not understood",
            "404" => "There is nothing by this name",
            "409" => "Not now: `code` says why",
            "413" => "The body is longer than 16 KiB",
            _ => "As asked",
        }
        .into();
    }
    if status.starts_with(['4', '5']) && answer.content.is_empty() {
        let body = RefOr::Ref(Ref::from_schema_name("ProblemDetails"));
        let content = ContentBuilder::new().schema(Some(body)).build();
        let kind = "application/problem+json".to_owned();
        answer.content.insert(kind, RefOr::T(content));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn the_document_describes_every_route_but_the_pages_of_the_dashboard_and_no_other() {
        let document = serde_json::to_value(Described::openapi()).unwrap();
        let described: BTreeSet<(String, String)> = document["paths"]
            .as_object()
            .unwrap()
            .iter()
            .flat_map(|(path, item)| {
                let methods = item.as_object().unwrap().keys();
                methods.map(|method| (method.to_uppercase(), path.clone()))
            })
            .collect();
        // Pages are for people: what they say is free to change, and no program should read it.
        let pages = crate::admin::dashboard::every_route();
        assert!(pages.contains(&("GET", "/")), "{pages:?}");
        let there: BTreeSet<(String, String)> = crate::admin::every_route()
            .into_iter()
            .filter(|route| !pages.contains(route))
            .map(|(method, path)| (method.to_owned(), path.to_owned()))
            .collect();
        assert_eq!(described, there);
    }

    #[test]
    fn the_document_in_docs_is_the_one_that_is_served() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/openapi.json");
        let served = serde_json::to_string_pretty(&Described::openapi()).unwrap() + "\n";
        if std::env::var_os("TWINKEY_WRITE_OPENAPI").is_some() {
            std::fs::write(&file, &served).unwrap();
        }
        let kept = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(
            kept == served,
            "docs/openapi.json is not what is served: TWINKEY_WRITE_OPENAPI=1 writes it"
        );
    }
}
