//! A strict AWS stand-in over HTTP.
