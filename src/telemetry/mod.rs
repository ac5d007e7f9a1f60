//! telemetry
pub mod clock;
