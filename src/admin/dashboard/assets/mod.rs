//! Style, script and icon of the pages, embedded in the binary.

use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;

/// The routes of the assets.
pub(super) const STYLE: &str = "/assets/dashboard.css";
pub(super) const SCRIPT: &str = "/assets/dashboard.js";
pub(super) const ICON: &str = "/assets/icon.svg";

pub(super) async fn style() -> impl IntoResponse {
    let text = include_str!("dashboard.css");
    ([(CONTENT_TYPE, "text/css; charset=utf-8")], text)
}

pub(super) async fn script() -> impl IntoResponse {
    let text = include_str!("dashboard.js");
    ([(CONTENT_TYPE, "text/javascript; charset=utf-8")], text)
}

pub(super) async fn icon() -> impl IntoResponse {
    let text = include_str!("icon.svg");
    ([(CONTENT_TYPE, "image/svg+xml")], text)
}
