//! Amazon DocumentDB, and MongoDB: one protocol, and the same commands about users.
//!
//! `plan.rs` says how the pair works. What else can go wrong, and what prevents it:
//! - two runs at once: a lock of the pair, with a lease (`lock.rs`);
//! - a secret's host leads to a reader: it may sign in there, but the master goes to the primary that the
//!   reader names, or is refused;
//! - a reader does not know the new password yet: where the config names one, a proof waits for it a while;
//! - versions know different commands: they are asked, and what they do not know is told, not guessed from
//!   the version's number.

mod apply;
mod connect;
mod facts;
mod failure;
mod greeting;
mod inspect;
mod lock;
pub(super) mod master;
mod plan;
mod powers;
mod preflight;
mod quote;
mod sessions;
mod tunnel;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use self::connect::{ADMIN, Connection};
use self::lock::{Held, Taken};
use self::tunnel::Far;
use super::{
    Admin, Credentials, DocumentdbOptions, Engine, EngineError, Filled, InspectRequest, Inspection,
    Questions, Session, SignedIn, Target, proof,
};
use twinkey_core::secret::pair::Pair;

/// How long a reader may take to learn of a new password.
const READER_LAG: Duration = Duration::from_secs(10);
const READER_PAUSE: Duration = Duration::from_millis(250);

/// The engine, with the rotation's options.
#[derive(Debug, Clone)]
pub struct Documentdb {
    options: DocumentdbOptions,
}

impl Documentdb {
    #[must_use]
    pub const fn new(options: DocumentdbOptions) -> Self {
        Self { options }
    }

    /// Proves the sign-in at the reader too, where there is one.
    async fn prove_at_reader(
        &self,
        writer: &Far,
        target: &Target,
        credentials: &Credentials,
    ) -> Result<(), EngineError> {
        let Some(reader) = &self.options.reader else {
            return Ok(());
        };
        let far = at(writer, reader);
        let learned = async {
            loop {
                match prove(&far, target, credentials, Questions::default()).await {
                    Err(EngineError::SignIn { .. }) => tokio::time::sleep(READER_PAUSE).await,
                    proof => return proof.map(drop),
                }
            }
        };
        match tokio::time::timeout(READER_LAG, learned).await {
            Ok(result) => result,
            Err(_) => Err(EngineError::SignIn {
                host: far.host.clone(),
                port: far.port,
                user: credentials.username.clone(),
                reason: format!(
                    "the reader still refuses what the writer takes, after {} seconds",
                    READER_LAG.as_secs()
                ),
            }),
        }
    }
}

#[async_trait]
impl Engine for Documentdb {
    fn check_user_name(&self, name: &str) -> Result<(), EngineError> {
        quote::check_user_name(name)
    }

    async fn sign_in(
        &self,
        target: &Target,
        credentials: &Credentials,
        questions: Questions<'_>,
    ) -> Result<SignedIn, EngineError> {
        let far = connect::far(target)?;
        let proof = async {
            let signed_in = prove(&far, target, credentials, questions).await?;
            self.prove_at_reader(&far, target, credentials).await?;
            Ok(signed_in)
        };
        proof::in_time(&far.host, far.port, proof).await
    }

    async fn admin(
        &self,
        target: &Target,
        master: &Credentials,
    ) -> Result<Box<dyn Admin>, EngineError> {
        let far = connect::far(target)?;
        let own = target.dbname.as_deref();
        let (mut connection, mut home) = Connection::open(&far, master, own).await?;
        let mut hello = greeting::hello(&connection).await?;
        if let Some(primary) = hello.primary.as_ref().filter(|_| !hello.writable) {
            let far = at(&far, primary);
            connection.close().await;
            (connection, home) = Connection::open(&far, master, own).await?;
            hello = greeting::hello(&connection).await?;
        }
        if !hello.writable {
            return Err(EngineError::Refused {
                what: format!("an admin connection to {}", far.host),
                reason: "it is a reader, and names no primary".into(),
                hint: "this host is a reader: give the cluster's (writer's) endpoint".into(),
            });
        }
        let who = greeting::who(&connection).await?;
        let version = greeting::version(&connection).await?;
        Ok(Box::new(Master {
            connection: Arc::new(connection),
            version,
            server_identity: hello.identity,
            own: target.dbname.clone(),
            master: facts::Master {
                user: who.user,
                home,
                powers: who.powers,
                lock_denied: false,
                plain_text: far.connector.is_none(),
            },
            lock: None,
        }))
    }
}

/// The same, at `host:port`, or at another host and the same port.
fn at(far: &Far, address: &str) -> Far {
    let (host, port) = address.rsplit_once(':').unwrap_or((address, ""));
    Far {
        host: host.to_owned(),
        port: port.parse().unwrap_or(far.port),
        connector: far.connector.clone(),
    }
}

async fn prove(
    far: &Far,
    target: &Target,
    credentials: &Credentials,
    questions: Questions<'_>,
) -> Result<SignedIn, EngineError> {
    let own = target.dbname.as_deref();
    let (connection, _) = Connection::open(far, credentials, own).await?;
    let who = greeting::who(&connection).await?;
    let server_identity = if questions.identity {
        greeting::hello(&connection).await?.identity
    } else {
        None
    };
    for probe in questions.probes {
        let what = format!("the probe {probe:?}");
        let command = apply::command(probe, &what)?;
        connection.run(own.unwrap_or(ADMIN), command, &what).await?;
    }
    connection.close().await;
    Ok(SignedIn {
        user: who.user,
        server_identity,
    })
}

/// The master's connection.
struct Master {
    connection: Arc<Connection>,
    version: String,
    server_identity: Option<String>,
    /// The rotation's own database.
    own: Option<String>,
    master: facts::Master,
    lock: Option<Held>,
}

#[async_trait]
impl Admin for Master {
    fn server_identity(&self) -> Option<&str> {
        self.server_identity.as_deref()
    }

    async fn lock(&mut self, pair: &Pair) -> Result<bool, EngineError> {
        match lock::take(&self.connection, &pair.base).await? {
            Taken::Ours(held) => {
                self.lock = Some(held);
                Ok(true)
            }
            Taken::Others => Ok(false),
            // Nobody else is in the way; what is missing is told by the inspection, and nothing is done.
            Taken::Denied => {
                self.master.lock_denied = true;
                Ok(true)
            }
        }
    }

    async fn inspect(&mut self, request: &InspectRequest<'_>) -> Result<Inspection, EngineError> {
        let facts = inspect::facts(
            &self.connection,
            &self.version,
            &self.master,
            self.own.as_deref(),
            request,
        )
        .await?;
        Ok(plan::plan(&facts, request.pair))
    }

    async fn apply(&mut self, changes: &[Filled]) -> Result<(), EngineError> {
        if self.master.lock_denied {
            return Err(EngineError::Refused {
                what: "changing the standby".into(),
                reason: "the pair's lock could not be taken".into(),
                hint: "`twinkey check` shows the role that the master lacks for it".into(),
            });
        }
        let own = self.own.as_deref().unwrap_or(ADMIN);
        apply::apply(&self.connection, self.lock.as_ref(), own, changes).await
    }

    async fn sessions(&mut self, user: &str) -> Result<Option<Vec<Session>>, EngineError> {
        sessions::of_user(&self.connection, user).await
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
