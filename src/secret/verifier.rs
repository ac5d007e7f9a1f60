//! What engines store of a password.
