//! The OpenAPI document, generated from the code, served, and stored in `docs/openapi.json`.
//!
//! # Failure modes
//! - The document omits a route or describes a wrong response: tests compare it with the route table and
//!   with the file in `docs/`, and request every described response from a worker.

use axum::Json;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    Components, ContentBuilder, OpenApi as Document, Ref, RefOr, Required, Response,
    ResponseBuilder, SecurityRequirement,
};
use utoipa::{Modify, OpenApi};

use crate::admin::problem::ProblemDetails;
use crate::admin::routes::{audit, discovery, events, health, rotations, runs};

const TOKEN: &str = "token";

/// The generated document.
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
        audit::records,
        discovery::discovered,
        events::events,
    ),
    components(schemas(ProblemDetails<'static>)),
    modifiers(&Common)
)]
struct ApiDoc;

/// This document.
#[utoipa::path(get, path = "/openapi.json", tag = "worker",
    responses((status = 200, description = "OpenAPI 3.1", content_type = "application/json", body = Object)))]
pub async fn document() -> Json<Document> {
    Json(ApiDoc::openapi())
}

/// The parts that all authenticated routes share: the token and the error responses.
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
                // Clients that are generated from a nullable body fail without one.
                if let Some(RefOr::T(body)) = &mut operation.request_body {
                    body.required = Some(Required::False);
                }
                let responses = &mut operation.responses.responses;
                if !super::public_routes()
                    .iter()
                    .any(|(_, public, _)| public == path)
                {
                    let token = SecurityRequirement::new::<_, [&str; 0], &str>(TOKEN, []);
                    operation.security = Some(vec![token]);
                    for (status, why) in [
                        ("401", "The token is missing or wrong"),
                        ("429", "Too many wrong tokens came from this address"),
                        (
                            "403",
                            "The token does not permit it, or a browser sent it for a page of another site",
                        ),
                        ("500", "A defect of twinkey; report it"),
                        (
                            "503",
                            "Journal, store or database cannot be reached, or it took too long",
                        ),
                    ] {
                        let response = ResponseBuilder::new().description(why).build();
                        responses.entry(status.into()).or_insert(RefOr::T(response));
                    }
                }
                for (status, response) in responses {
                    if let RefOr::T(response) = response {
                        complete(status, response);
                    }
                }
            }
        }
    }
}

/// Adds the default description, and to errors the problem body.
fn complete(status: &str, response: &mut Response) {
    if response.description.is_empty() {
        response.description = match status {
            "400" => "The request is not valid",
            "404" => "The name does not exist",
            "409" => "Refused in the current state; `code` gives the reason",
            "413" => "The body is longer than 16 KiB",
            _ => "Success",
        }
        .into();
    }
    if status.starts_with(['4', '5']) && response.content.is_empty() {
        let body = RefOr::Ref(Ref::from_schema_name("ProblemDetails"));
        let content = ContentBuilder::new().schema(Some(body)).build();
        let kind = "application/problem+json".to_owned();
        response.content.insert(kind, RefOr::T(content));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn the_document_describes_exactly_the_routes_of_the_api() {
        let document = serde_json::to_value(ApiDoc::openapi()).unwrap();
        let described: BTreeSet<(String, String)> = document["paths"]
            .as_object()
            .unwrap()
            .iter()
            .flat_map(|(path, item)| {
                let methods = item.as_object().unwrap().keys();
                methods.map(|method| (method.to_uppercase(), path.clone()))
            })
            .collect();
        // Pages may change at any time, so the document does not describe them.
        #[cfg(feature = "dashboard")]
        let pages = crate::admin::dashboard::all_routes();
        #[cfg(not(feature = "dashboard"))]
        let pages: Vec<(&str, &str)> = Vec::new();
        let existing: BTreeSet<(String, String)> = crate::admin::all_routes()
            .into_iter()
            .filter(|route| !pages.contains(route))
            .map(|(method, path)| (method.to_owned(), path.to_owned()))
            .collect();
        assert_eq!(described, existing);
    }

    #[test]
    fn every_body_is_optional_and_an_object() {
        let document = serde_json::to_value(ApiDoc::openapi()).unwrap();
        let paths = document["paths"].as_object().unwrap();
        let bodies: Vec<_> = paths
            .values()
            .filter_map(|path| path["post"].get("requestBody"))
            .collect();
        assert_eq!(bodies.len(), 4);
        for body in bodies {
            let schema = &body["content"]["application/json"]["schema"];
            assert_eq!(body["required"], false, "{body}");
            assert!(schema["$ref"].is_string(), "{body}");
        }
    }

    #[test]
    fn the_document_in_docs_is_the_served_one() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/openapi.json");
        let served = serde_json::to_string_pretty(&ApiDoc::openapi()).unwrap() + "\n";
        if std::env::var_os("TWINKEY_WRITE_OPENAPI").is_some() {
            std::fs::write(&file, &served).unwrap();
        }
        let stored = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(
            stored == served,
            "docs/openapi.json differs from the served document: TWINKEY_WRITE_OPENAPI=1 writes it"
        );
    }
}
