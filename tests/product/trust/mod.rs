//! Trust: which files, variables, hosts and clients the worker accepts.

mod files;
mod hooks;
