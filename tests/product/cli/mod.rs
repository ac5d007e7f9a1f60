//! The command line.

mod commands;
mod completions;
mod offline;
mod remote;
mod repair;
mod selections;
