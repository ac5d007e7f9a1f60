//! Whether another address is another name of this server.
//!
//! # Failure modes
//! - One server has two names, so that two secrets take its users from each other. The journal has
//!   the identity that the server reports, and a record with the same one is compared.
//! - A server that was restored from a snapshot, or runs in a container with the same address, has
//!   the identity of another one. The admin connection marks its server, and a sign-in at the other
//!   address looks for the mark.
//! - The other address does not answer, or refuses the sign-in. Then the passwords decide: another
//!   secret with the password that a user of the pair has here is taken for one of this server.
//! - The other address gets a password that is not its own. The sign-in there is with AWSCURRENT of
//!   the other secret, at the address where its own master signs in.
//! - Hundreds of servers report one identity. A run compares a few.

use futures_util::future::join_all;

use crate::journal::PairRecord;
use crate::rotation::observe::observation::Observation;
use crate::rotation::observe::ownership::records::same_store;
use crate::rotation::observe::proof::trusted;
use crate::rotation::observe::resolve::credentials;
use twinkey_core::secret::document::Document;
use twinkey_engines::{SignInChecks, Target};

/// Addresses that one run compares.
pub(super) const MAX_COMPARED: usize = 8;

/// Another secret with a user of the pair, whose server has another address and this identity.
pub(super) struct Candidate {
    pub record: PairRecord,
    pub document: Document,
}

/// Result of a comparison of two addresses.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum SameServer {
    Yes,
    No,
    /// Why it is not known.
    Unknown(String),
}

/// Compares the addresses of other secrets with that of the admin connection.
pub(super) async fn compare(
    observation: &mut Observation,
    own: &PairRecord,
    candidates: &[Candidate],
) -> Vec<SameServer> {
    if candidates.is_empty() {
        return Vec::new();
    }
    if !observation.resolved.engine.connects_to_host() {
        // An AWS API knows the database by its name in one account and region.
        let is_same = |candidate: &Candidate| same_store(&candidate.record.secret, &own.secret);
        return (candidates.iter())
            .map(|one| match is_same(one) {
                true => SameServer::Yes,
                false => SameServer::No,
            })
            .collect();
    }
    let Some(session) = &mut observation.admin else {
        return all_unknown(candidates, "the master did not sign in");
    };
    let mark = match session.admin.mark_server().await {
        Ok(Some(mark)) => mark,
        Ok(None) => return all_unknown(candidates, "this server cannot be marked"),
        Err(error) => return all_unknown(candidates, &error.to_string()),
    };
    let seen = candidates.iter().map(|one| sees(observation, one, &mark));
    let compared = join_all(seen).await;
    if let Some(session) = &mut observation.admin
        && let Err(error) = session.admin.unmark_server(&mark).await
    {
        tracing::warn!(rotation = %own.rotation, %error, "mark of the server not removed");
    }
    compared
}

fn all_unknown(candidates: &[Candidate], reason: &str) -> Vec<SameServer> {
    (candidates.iter())
        .map(|_| SameServer::Unknown(reason.to_owned()))
        .collect()
}

/// Signs in as the other secret's user at its own address, and looks for the mark there.
async fn sees(observation: &Observation, other: &Candidate, mark: &str) -> SameServer {
    let resolved = &observation.resolved;
    let Some((host, port)) = other.record.server.rsplit_once(':') else {
        return SameServer::Unknown("its address is not known".into());
    };
    let target = Target {
        host: host.to_owned(),
        address: None,
        port: port.parse().ok(),
        dbname: other.document.fields().dbname.clone(),
        tls: trusted(resolved, &observation.master.target).tls,
    };
    let checks = SignInChecks {
        mark: Some(mark),
        ..SignInChecks::default()
    };
    let user = credentials(&other.document);
    match resolved.sign_in_at(&target, &user, checks).await {
        Ok(signed_in) => match signed_in.sees_mark {
            Some(true) => SameServer::Yes,
            Some(false) => SameServer::No,
            None => SameServer::Unknown("it does not show whether it is this server".into()),
        },
        Err(error) => SameServer::Unknown(error.to_string()),
    }
}
