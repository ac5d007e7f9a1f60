//! Least privilege, hooks, and moving over from AWS's own rotation.

mod hooks;
