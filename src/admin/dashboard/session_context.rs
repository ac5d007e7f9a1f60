//! Session data that the pages use.

use crate::admin::auth::session::Session;

/// The session of a request.
#[derive(Clone)]
pub(super) struct SessionContext {
    pub session: Session,
    /// The CSRF token of its forms.
    pub csrf_token: String,
    /// Whether the user signed in with the token, and so can sign out.
    pub signed_in: bool,
}
