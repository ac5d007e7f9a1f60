//! Property tests: one rotation in each direction in random worlds, each on a real server.
//!
//! A *world* is any set of users, objects and privileges that a server can hold, around one pair. A
//! seed determines it. `TWINKEY_WORLDS` is the number of worlds, and `TWINKEY_WORLD_SEED` the seed of
//! the first one. A world that fails prints its seed and its script.
//!
//! # Failure modes
//! - A world holds nothing that matters: a test asks the server's catalogue for every kind of owner
//!   and of privileges, and fails if the generator lacks one.
//! - A property holds because a statement of the world failed: each kind of statement must succeed in
//!   some world, and the last line of a test has the numbers.

#![cfg(all(
    feature = "documentdb",
    feature = "mysql",
    feature = "postgres",
    feature = "redshift"
))]

mod documentdb;
mod findings;
mod mysql;
mod postgres;
mod redshift;
mod seeds;
mod tally;
