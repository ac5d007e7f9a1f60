//! A real PostgreSQL for the demo and the tests, and the demo itself.

pub mod postgres;
