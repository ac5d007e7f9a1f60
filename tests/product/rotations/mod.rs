//! Rotations that succeed, whose the pair is, retirement, and reuse of admin connections.

mod admin_connections;
mod end_sessions;
mod other_tools;
mod ownership;
mod renamed;
mod retire;
mod single;
mod stored_form;
mod three_in_a_row;
mod two_names;
