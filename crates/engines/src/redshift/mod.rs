//! Redshift, provisioned and Serverless, through the Data API: no network path to it is needed.
//!
//! `diff.rs` says how the pair works, `lock.rs` what keeps two runs apart, `probe.rs` how a password is
//! proved. What else can go wrong, and what prevents it:
//! - statements and their text can be read for 24 hours: a password is in none, only its digest;
//! - an admin that needs no password is asked for one: with a database user or an IAM identity no master
//!   secret is read.

mod account;
mod apply;
mod asks;
mod backoff;
mod batch;
mod client;
mod connect;
mod defaults;
mod diff;
mod facts;
mod failure;
mod grants;
mod inspect;
mod lock;
pub(super) mod master;
mod places;
mod plan;
mod preflight;
mod probe;
mod quote;
mod rows;
mod sessions;
mod wire;

use std::collections::BTreeMap;

use async_trait::async_trait;

use self::batch::{Line, cut};
use self::client::{Client, Login};
use self::connect::Peer;
use self::failure::{Failed, Kind};
use self::lock::Lease;
use self::rows::Row;
use super::{
    Admin, Credentials, Engine, EngineError, Filled, InspectRequest, Inspection, MasterNeeds,
    Questions, RedshiftOptions, RedshiftProbe, Session, SignedIn, Surroundings, Target,
};
use twinkey_core::secret::pair::Pair;

/// The engine, for one rotation.
#[derive(Debug, Clone)]
pub struct Redshift {
    options: RedshiftOptions,
    surroundings: Surroundings,
}

impl Redshift {
    #[must_use]
    pub fn new(options: RedshiftOptions, surroundings: &Surroundings) -> Self {
        Self {
            options,
            surroundings: surroundings.clone(),
        }
    }

    fn login(&self) -> Result<Login, EngineError> {
        let target = connect::target(&self.options, &self.surroundings)?;
        connect::login(&self.options, &self.surroundings, &target)
    }

    fn peer(&self, target: &Target, user: &str) -> Result<Peer, EngineError> {
        let cluster = connect::target(&self.options, &self.surroundings)?;
        Ok(Peer::new(cluster, target, user))
    }

    async fn client(&self, peer: &Peer) -> Client {
        Client::new(self.surroundings.aws.config().await, peer.target.clone())
    }

    /// What the Data API and a wire have in common to tell servers apart: nothing.
    fn identity(&self, peer: &Peer) -> Option<String> {
        (self.options.probe == RedshiftProbe::Secret).then(|| peer.identity())
    }
}

#[async_trait]
impl Engine for Redshift {
    fn check_user_name(&self, name: &str) -> Result<(), EngineError> {
        quote::check_user_name(name)
    }

    fn master(&self) -> MasterNeeds {
        match self.login() {
            Ok(Login::DbUser(name)) => MasterNeeds::NoSecret { name },
            Ok(Login::Identity) => MasterNeeds::NoSecret {
                name: "the worker's IAM identity".into(),
            },
            // What is wrong is told when it is used.
            Ok(Login::Secret(_)) | Err(_) => MasterNeeds::Secret,
        }
    }

    async fn sign_in(
        &self,
        target: &Target,
        credentials: &Credentials,
        questions: Questions<'_>,
    ) -> Result<SignedIn, EngineError> {
        let peer = self.peer(target, &credentials.username)?;
        let probes = questions.probes;
        let user = match self.options.probe {
            RedshiftProbe::Wire => wire::sign_in(&peer, target, credentials, probes).await?,
            RedshiftProbe::Secret => {
                let ask = std::iter::once("SELECT current_user");
                let all = ask.chain(probes.iter().map(String::as_str));
                let lines: Vec<Line> = all.map(Line::plain).collect();
                let config = self.surroundings.aws.config().await;
                let client = self.client(&peer).await;
                let rotated = &self.surroundings.secret;
                let batches = cut(&lines, &[]);
                probe::sign_in(config, &client, &peer, rotated, credentials, &batches).await?
            }
        };
        Ok(SignedIn {
            user,
            server_identity: self.identity(&peer),
        })
    }

    async fn admin(
        &self,
        target: &Target,
        master: &Credentials,
    ) -> Result<Box<dyn Admin>, EngineError> {
        let peer = self.peer(target, &master.username)?;
        let mut admin = Master {
            client: self.client(&peer).await,
            login: self.login()?,
            identity: self.identity(&peer),
            peer,
            user: String::new(),
            superuser: false,
            has_roles: false,
            sees_all: false,
            server: String::new(),
            numbers: BTreeMap::new(),
            leases: Vec::new(),
        };
        inspect::greet(&mut admin).await?;
        Ok(Box::new(admin))
    }
}

/// The admin of one run.
struct Master {
    client: Client,
    login: Login,
    peer: Peer,
    identity: Option<String>,
    /// As the server calls it.
    user: String,
    superuser: bool,
    has_roles: bool,
    /// Whether it sees all rows of svv_* views, and all sessions.
    sees_all: bool,
    server: String,
    /// Those of the pair's users that the last look found.
    numbers: BTreeMap<String, i64>,
    /// Taken, the last one last.
    leases: Vec<Lease>,
}

impl Master {
    /// The lease of the pair that is being worked on.
    fn lease(&self) -> Option<&Lease> {
        self.leases.last()
    }

    /// Asks in the secret's database; one list of rows for each line.
    async fn read(&self, lines: &[Line]) -> Result<Vec<Vec<Row>>, EngineError> {
        self.read_in(&self.peer.database, lines).await
    }

    async fn read_in(&self, database: &str, lines: &[Line]) -> Result<Vec<Vec<Row>>, EngineError> {
        let explain = |failed| {
            let what = format!("looking into {database:?}");
            self.peer.explain(&what, lines, failed)
        };
        let done = self.client.ask(&self.login, database, lines).await;
        let done = done.map_err(explain)?;
        let mut all = Vec::new();
        for statement in 0..lines.len() {
            let rows = self.client.rows(&done, statement).await;
            all.push(rows.map_err(explain)?);
        }
        Ok(all)
    }

    /// Carries lines out in the secret's database that are no changes of the pair.
    async fn keep_house(&self, lines: &[Line]) -> Result<(), Failed> {
        let database = &self.peer.database;
        self.client.change(&self.login, database, lines).await
    }

    /// Takes the lease if it is free; gives the number of who has it.
    async fn take(&self, lease: &[Line]) -> Result<Option<String>, Failed> {
        let database = &self.peer.database;
        let taken = self.client.ask(&self.login, database, lease).await?;
        let rows = self.client.rows(&taken, lease.len() - 1).await?;
        Ok(rows.first().and_then(|row| row.text(0).ok()))
    }
}

#[async_trait]
impl Admin for Master {
    fn server_identity(&self) -> Option<&str> {
        self.identity.as_deref()
    }

    async fn lock(&mut self, pair: &Pair) -> Result<bool, EngineError> {
        // Who may change nothing needs no lock: the look tells what it lacks, and the run ends there.
        if !self.superuser && !self.has_roles {
            return Ok(true);
        }
        let lease = Lease {
            pair: pair.base.clone(),
            holder: self.client.id(),
        };
        let take = lease.take();
        // Given back also where the answer is lost.
        self.leases.retain(|other| *other != lease);
        self.leases.push(lease.clone());
        let mut taken = self.take(&take).await;
        if matches!(&taken, Err(failed) if failed.kind == Kind::NoRelation) {
            let made = self.keep_house(&lock::set_up()).await;
            // Where another has made it at the same moment, it is there all the same.
            if let Err(failed) = made
                && failed.kind == Kind::Permission
            {
                return Err(EngineError::Refused {
                    what: "making the table of locks, twinkey.locks".into(),
                    reason: failed.reason,
                    hint: format!(
                        "GRANT CREATE ON DATABASE {} TO {}",
                        quote::ident(&self.peer.database),
                        quote::ident(&self.user)
                    ),
                });
            }
            taken = self.take(&take).await;
        }
        let explain = |failed| self.peer.explain("taking the pair's lock", &take, failed);
        let holder = taken.map_err(explain)?;
        let ours = holder.is_some_and(|holder| holder.trim() == lease.holder.to_string());
        if !ours {
            self.leases.retain(|other| *other != lease);
        }
        Ok(ours)
    }

    async fn inspect(&mut self, request: &InspectRequest<'_>) -> Result<Inspection, EngineError> {
        let facts = inspect::facts(self, request.pair).await?;
        self.sees_all = facts.sees_all;
        let pair = request.pair;
        let users = [
            (pair.active_user(), &facts.active),
            (pair.standby_user(), &facts.standby),
        ];
        let found = users.into_iter();
        self.numbers = found
            .filter_map(|(name, user)| Some((name.to_owned(), user.as_ref()?.id)))
            .collect();
        Ok(plan::plan(&facts, request.pair))
    }

    async fn apply(&mut self, changes: &[Filled]) -> Result<(), EngineError> {
        apply::apply(self, changes).await
    }

    async fn sessions(&mut self, user: &str) -> Result<Option<Vec<Session>>, EngineError> {
        sessions::of_user(self, user).await
    }

    async fn close(self: Box<Self>) {
        for lease in &self.leases {
            // A lease that could not be given back runs out.
            let _ = self.keep_house(&lease.release()).await;
        }
    }
}
