//! A PostgreSQL server of our own, in a temporary folder.
