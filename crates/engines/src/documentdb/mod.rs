//! Amazon DocumentDB and MongoDB, which share one protocol and the commands on users.
//!
//! # Failure modes
//! - Two runs change one pair at once. `lock.rs` prevents it with a lease.
//! - The master's host is a reader. The master connects to the primary that the reader names if that
//!   is on the same host, and is refused otherwise.
//! - A version does not support a command. The server's response decides, not its version number,
//!   and a finding reports it.

mod apply;
mod connect;
mod facts;
mod failure;
mod inspect;
mod lock;
pub(super) mod master;
mod plan;
mod preflight;
mod privileges;
mod quote;
mod relay;
mod role;
mod server_info;
mod sessions;

use std::sync::Arc;

use async_trait::async_trait;

use self::connect::{ADMIN, Connection};
use self::lock::{HeldLock, LockAttempt};
use self::relay::Upstream;
use super::{
    Admin, Credentials, Engine, EngineError, Finding, InspectRequest, Inspection, LockHolder,
    PairLock, RenderedChange, Replication, Session, Severity, SignInChecks, SignedIn, Target,
    timeouts,
};
use twinkey_core::secret::pair::Pair;

/// The engine.
#[derive(Debug, Clone, Copy)]
pub struct Documentdb;

#[async_trait]
impl Engine for Documentdb {
    fn check_user_name(&self, name: &str) -> Result<(), EngineError> {
        quote::check_user_name(name)
    }

    async fn sign_in(
        &self,
        target: &Target,
        credentials: &Credentials,
        checks: SignInChecks<'_>,
    ) -> Result<SignedIn, EngineError> {
        let upstream = connect::upstream(target)?;
        let check = check_sign_in(&upstream, target, credentials, checks);
        timeouts::sign_in(&upstream.host, upstream.port, check).await
    }

    async fn admin(
        &self,
        target: &Target,
        master: &Credentials,
    ) -> Result<Box<dyn Admin>, EngineError> {
        let mut upstream = connect::upstream(target)?;
        let own = target.dbname.as_deref();
        let (mut connection, mut auth_database) = open_in_time(&upstream, master, own).await?;
        let mut hello = server_info::hello(&connection).await?;
        if let Some(primary) = hello.primary.as_ref().filter(|_| !hello.writable) {
            upstream = trusted_primary(&upstream, primary)?;
            connection.close().await;
            (connection, auth_database) = open_in_time(&upstream, master, own).await?;
            hello = server_info::hello(&connection).await?;
        }
        if !hello.writable {
            return Err(EngineError::Refused {
                what: format!("an admin connection to {}", upstream.host),
                reason: "the host is a reader and names no primary".into(),
                hint: "set the master's host (`host` in the master secret, or master_host) to the cluster's (writer's) endpoint".into(),
            });
        }
        let user = server_info::current_user(&connection).await?;
        let version = server_info::version(&connection).await?;
        let plain_text = upstream.connector.is_none();
        Ok(Box::new(DocumentdbAdmin {
            connection: Arc::new(connection),
            version,
            server_identity: hello.identity,
            own: target.dbname.clone(),
            upstream,
            master: facts::MasterFacts {
                user: user.name,
                auth_database,
                privileges: user.privileges,
                has_user_admin: None,
                lock_denied: false,
                plain_text,
            },
            lock: None,
        }))
    }
}

/// Signs in within the time limit of a sign-in, which covers all attempts.
async fn open_in_time(
    upstream: &Upstream,
    credentials: &Credentials,
    own: Option<&str>,
) -> Result<(Connection, String), EngineError> {
    let opening = Connection::open(upstream, credentials, own);
    timeouts::sign_in(&upstream.host, upstream.port, opening).await
}

/// The primary that a member names, if it is on the same host.
///
/// The master's password does not follow a server's word to another host.
///
/// # Errors
/// [`EngineError::Untrusted`]
fn trusted_primary(member: &Upstream, primary: &str) -> Result<Upstream, EngineError> {
    let upstream = at(member, primary);
    let name = |host: &str| host.trim_end_matches('.').to_ascii_lowercase();
    if name(&upstream.host) == name(&member.host) {
        return Ok(upstream);
    }
    Err(EngineError::Untrusted {
        place: primary.to_owned(),
        reason: format!(
            "{} is a reader, and only it names this primary",
            member.host
        ),
        hint: format!(
            "set the master's host (`host` in the master secret, or master_host) to the cluster's (writer's) endpoint, or to {primary} if that is your server"
        ),
    })
}

/// The upstream at `host:port`, or at another host and the same port.
fn at(upstream: &Upstream, address: &str) -> Upstream {
    let (host, port) = address.rsplit_once(':').unwrap_or((address, ""));
    Upstream {
        host: host.to_owned(),
        address: None,
        port: port.parse().unwrap_or(upstream.port),
        connector: upstream.connector.clone(),
    }
}

/// Signs in once and runs the checks.
async fn check_sign_in(
    upstream: &Upstream,
    target: &Target,
    credentials: &Credentials,
    checks: SignInChecks<'_>,
) -> Result<SignedIn, EngineError> {
    let own = target.dbname.as_deref();
    let (connection, _) = Connection::open(upstream, credentials, own).await?;
    let user = server_info::current_user(&connection).await?;
    let needs_hello = checks.identity || checks.replication.is_some() || checks.mark.is_some();
    let hello = if needs_hello {
        Some(server_info::hello(&connection).await?)
    } else {
        None
    };
    let is_replica = hello.as_ref().map(|hello| !hello.writable);
    let process = hello.as_ref().and_then(|hello| hello.process.clone());
    let server_identity = hello.and_then(|hello| hello.identity);
    let replication = match checks.replication {
        Some(listed) => Replication {
            is_replica,
            lag: None,
            sessions: sessions::of_user(&connection, listed, listed == user.name).await?,
        },
        None => Replication::default(),
    };
    for probe in checks.probes {
        let what = format!("the probe {probe:?}");
        let command = apply::command(probe, &what)?;
        connection.run(own.unwrap_or(ADMIN), command, &what).await?;
    }
    connection.close().await;
    Ok(SignedIn {
        user: user.name,
        server_identity: server_identity.filter(|_| checks.identity),
        is_pooled: false,
        stored_form: None,
        replication,
        sees_mark: checks
            .mark
            .zip(process)
            .map(|(mark, process)| process == mark),
    })
}

/// The master's connection during a run.
struct DocumentdbAdmin {
    connection: Arc<Connection>,
    /// The server of the connection.
    upstream: Upstream,
    version: String,
    server_identity: Option<String>,
    /// The rotation's own database.
    own: Option<String>,
    master: facts::MasterFacts,
    lock: Option<HeldLock>,
}

#[async_trait]
impl Admin for DocumentdbAdmin {
    fn server_identity(&self) -> Option<&str> {
        self.server_identity.as_deref()
    }

    /// The id of the process, which `hello` reports.
    async fn mark_server(&mut self) -> Result<Option<String>, EngineError> {
        Ok(server_info::hello(&self.connection).await?.process)
    }

    async fn lock(&mut self, pair: &Pair) -> Result<PairLock, EngineError> {
        let now = server_info::hello(&self.connection).await?.local_time;
        let user = &self.master.user;
        match lock::take(&self.connection, &pair.base, user, now).await? {
            LockAttempt::Acquired(held) => {
                self.lock = Some(held);
                Ok(PairLock::Taken)
            }
            LockAttempt::HeldByOther(holder) => Ok(PairLock::Held(holder)),
            // The inspection reports the missing privilege, and nothing is changed.
            LockAttempt::Denied => {
                self.master.lock_denied = true;
                Ok(PairLock::Taken)
            }
        }
    }

    async fn lock_holders(&mut self, pair: &Pair) -> Result<Vec<LockHolder>, EngineError> {
        let now = server_info::hello(&self.connection).await?.local_time;
        let Some(now) = now else {
            return Ok(Vec::new());
        };
        let holder = lock::holder(&self.connection, &pair.base, now).await?;
        Ok(holder.into_iter().collect())
    }

    async fn inspect(&mut self, request: &InspectRequest<'_>) -> Result<Inspection, EngineError> {
        let mut facts = inspect::facts(
            &self.connection,
            &self.upstream,
            &self.version,
            &self.master,
            self.own.as_deref(),
            request,
        )
        .await?;
        let inspection = plan::plan(&facts, request.pair);
        let depends = self.master.privileges.depend_on_db_owner();
        if self.master.has_user_admin.is_some() || (inspection.missing.is_empty() && !depends) {
            return Ok(inspection);
        }
        // What a role permits, and which one to grant, depend on the server.
        self.master.has_user_admin = server_info::has_user_admin(&self.connection).await?;
        if self.master.has_user_admin != Some(true) {
            self.master.privileges.without_user_administration();
        }
        facts.master = self.master.clone();
        Ok(plan::plan(&facts, request.pair))
    }

    async fn apply(&mut self, changes: &[RenderedChange]) -> Result<(), EngineError> {
        if self.master.lock_denied {
            return Err(EngineError::Refused {
                what: "changing the standby".into(),
                reason: "the pair's lock could not be taken".into(),
                hint: "run `twinkey check` for the role that the master lacks".into(),
            });
        }
        let own = self.own.as_deref().unwrap_or(ADMIN);
        apply::apply(&self.connection, self.lock.as_ref(), own, changes).await
    }

    async fn sessions(&mut self, user: &str) -> Result<Option<Vec<Session>>, EngineError> {
        sessions::of_user(&self.connection, user, false).await
    }

    /// `killAllSessions` ends operations, and `killOp` one of them. The connections stay signed in.
    async fn cannot_end_sessions(&mut self, user: &str) -> Result<Vec<Finding>, EngineError> {
        Ok(vec![Finding::new(
            Severity::Error,
            format!("this engine has no command that ends the connections of {user:?}"),
            Some("rotate without --end-sessions, then restart the clients, or reboot the cluster's instances (aws docdb reboot-db-instance)".into()),
        )])
    }

    /// Succeeds for a user without sessions, such as one that was just created.
    async fn end_sessions(&mut self, user: &str) -> Result<usize, EngineError> {
        match sessions::of_user(&self.connection, user, false).await? {
            Some(open) if !open.is_empty() => Err(EngineError::Refused {
                what: format!("ending the connections of {user:?}"),
                reason: "this engine has no command for it".into(),
                hint: "rotate without --end-sessions, then restart the clients".into(),
            }),
            _ => Ok(0),
        }
    }

    async fn close(self: Box<Self>) {
        if let Some(lock) = self.lock {
            lock.release().await;
        }
        if let Some(connection) = Arc::into_inner(self.connection) {
            connection.close().await;
        }
    }
}
