//! The dashboard in a browser: `make test-browser`, which installs a headless Chromium and runs these.

mod chromium;
mod looks;
mod scene;
mod story;
