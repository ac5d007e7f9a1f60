//! The sentences that every engine passes, each against its real server.

mod support;
