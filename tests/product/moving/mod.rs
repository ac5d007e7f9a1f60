//! Least privilege, hooks, and moving over from AWS's own rotation.

mod allowed;
mod evaluator;
mod forty;
mod hooks;
mod import;
mod masters;
mod shell;
