//! Least privilege, and the move from the rotation of AWS.

mod account;
mod allowed;
mod evaluator;
mod grants_for_master;
mod import;
