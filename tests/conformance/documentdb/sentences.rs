//! What is DocumentDB's and MongoDB's own.

use super::Server;

pub async fn all(_server: &Server) {}
