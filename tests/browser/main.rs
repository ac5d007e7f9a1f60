//! The dashboard in a headless Chromium. `make test-browser` installs it and runs these tests.

mod appearance;
mod chromium;
mod fixture;
mod flows;
