//! Proof that credentials sign in: where the master signs in, and at the secret's own host. The other
//! endpoints are in `endpoints`.
//!
//! # Failure modes
//! - An edited secret names a hostile server that accepts every password, and another team's user.
//!   The credentials must also sign in at the host of the master, which no secret of an application
//!   decides.

use crate::rotation::observe::resolve::ResolvedSecret;
use crate::rotation::observe::trust::same_host;
use twinkey_engines::{Credentials, EngineError, SignInChecks, SignedIn, Target, Tls};

/// Whether a sign-in at the secret's host is also one where the master signs in.
pub(crate) fn is_one_address(resolved: &ResolvedSecret, master: &Target) -> bool {
    let own = &resolved.target;
    let port = |target: &Target| target.port.unwrap_or(resolved.kind.default_port());
    !resolved.engine.connects_to_host()
        || (same_host(&own.host, &master.host) && port(own) == port(master))
}

/// Signs in at the secret's host and, if that is another address, where the master signs in.
///
/// # Errors
/// Errors of the engine; those of the master's address first.
pub(crate) async fn prove(
    resolved: &ResolvedSecret,
    master: &Target,
    who: &Credentials,
    checks: SignInChecks<'_>,
) -> Result<SignedIn, EngineError> {
    if is_one_address(resolved, master) {
        return resolved.sign_in(who, checks).await;
    }
    let at_master = SignInChecks {
        identity: false,
        replication: None,
        ..checks
    };
    let trusted = trusted(resolved, master);
    let (trusted, own) = tokio::join!(
        resolved.sign_in_at(&trusted, who, at_master),
        resolved.sign_in(who, checks),
    );
    // The form decides how the next password is stored: no host of an edited secret may choose it.
    let stored_form = trusted?.stored_form;
    Ok(SignedIn {
        stored_form,
        ..own?
    })
}

/// Signs in at the database itself: where the master signs in.
///
/// # Errors
/// Errors of the engine.
pub(crate) async fn prove_at_database(
    resolved: &ResolvedSecret,
    master: &Target,
    who: &Credentials,
    checks: SignInChecks<'_>,
) -> Result<SignedIn, EngineError> {
    if is_one_address(resolved, master) {
        return resolved.sign_in(who, checks).await;
    }
    resolved
        .sign_in_at(&trusted(resolved, master), who, checks)
        .await
}

/// The address of the master, for a user of the pair.
pub(crate) fn trusted(resolved: &ResolvedSecret, master: &Target) -> Target {
    Target {
        tls: stricter(&resolved.target.tls, &master.tls).clone(),
        ..master.clone()
    }
}

/// The users of a pair may require TLS that the master does not use, and the other way round.
fn stricter<'a>(one: &'a Tls, other: &'a Tls) -> &'a Tls {
    if one.mode <= other.mode { one } else { other }
}
