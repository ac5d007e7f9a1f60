//! The dashboard in a browser: `make test-browser`, which installs a headless Chromium and runs these.

#[path = "browser/chromium.rs"]
mod chromium;
#[path = "browser/looks.rs"]
mod looks;
#[path = "browser/scene.rs"]
mod scene;
#[path = "browser/story.rs"]
mod story;
mod support;
