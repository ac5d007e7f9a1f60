//! A rotation is a reconciliation: observe, decide, act, until there is nothing left to do.

pub mod decide;
#[cfg(test)]
mod model;
