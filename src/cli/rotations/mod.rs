//! Commands on rotations, which also work through a running worker, except `repair`.

pub(super) mod check;
pub(super) mod history;
mod named_files;
pub(super) mod pause;
pub(super) mod plan;
pub(super) mod repair;
pub(super) mod rollback;
pub(super) mod rotate;
pub(super) mod status;
