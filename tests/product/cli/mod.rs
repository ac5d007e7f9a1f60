//! The command line.

mod commands;
mod completions;
mod remote;
mod repair;
