//! What only Redshift has.

use super::Server;

pub async fn all(_server: &Server) {}
