//! Amazon Redshift, provisioned and Serverless, through the Data API. No network path is needed.
//!
//! `api` contains the client, `catalog` the privileges of a pair, `signin` the two sign-in checks.
//!
//! # Failure modes
//! - The text of a statement is readable for 24 hours through the API. No statement contains a
//!   password, only its digest.
//! - A master secret is read although it is not needed. With a database user or an IAM identity, no
//!   master secret is read.

mod api;
mod apply;
mod catalog;
mod connect;
mod inspect;
mod lock;
pub(super) mod master;
mod plan;
mod preflight;
mod quote;
mod sessions;
mod signin;

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use self::api::{
    BATCH_LIMIT, BatchStatement, DataApiClient, Failure, FailureKind, Login, Row,
    split_into_batches,
};
use self::catalog::facts::AdminRights;
use self::connect::DatabaseAddress;
use self::lock::Lease;
use self::signin::{pg_probe, secret_probe};
use super::{
    Admin, Credentials, Engine, EngineContext, EngineError, Finding, InspectRequest, Inspection,
    LockHolder, MasterRequirement, PairLock, RedshiftOptions, RedshiftProbe, RenderedChange,
    Replication, Session, SignInChecks, SignedIn, Target,
};
use twinkey_core::aws::Aws;
use twinkey_core::secret::pair::Pair;

/// The engine, for one rotation.
#[derive(Debug, Clone)]
pub struct Redshift {
    options: RedshiftOptions,
    context: EngineContext,
}

impl Redshift {
    #[must_use]
    pub fn new(options: RedshiftOptions, context: &EngineContext) -> Self {
        Self {
            options,
            context: context.clone(),
        }
    }

    fn login(&self) -> Result<Login, EngineError> {
        let target = connect::target(&self.options, &self.context)?;
        connect::login(&self.options, &self.context, &target)
    }

    fn address(&self, target: &Target, user: &str) -> Result<DatabaseAddress, EngineError> {
        let cluster = connect::target(&self.options, &self.context)?;
        Ok(DatabaseAddress::new(cluster, target, user))
    }

    async fn client(&self, address: &DatabaseAddress) -> DataApiClient {
        DataApiClient::new(self.context.aws.config().await, address.target.clone())
    }

    /// The server's identity, if master and probe both use the Data API.
    ///
    /// A server's identity over the PostgreSQL protocol is not comparable to one in the Data API.
    fn identity(&self, address: &DatabaseAddress) -> Option<String> {
        (self.options.probe == RedshiftProbe::Secret).then(|| address.identity())
    }
}

#[async_trait]
impl Engine for Redshift {
    fn check_user_name(&self, name: &str) -> Result<(), EngineError> {
        quote::check_user_name(name)
    }

    fn master_requirement(&self) -> MasterRequirement {
        match self.login() {
            Ok(Login::DbUser(name)) => MasterRequirement::NoSecret { name },
            Ok(Login::Identity) => MasterRequirement::NoSecret {
                name: "the worker's IAM identity".into(),
            },
            // An error is returned when the master is used.
            Ok(Login::Secret(_)) | Err(_) => MasterRequirement::Secret,
        }
    }

    fn has_readers(&self) -> bool {
        false
    }

    fn connects_to_host(&self) -> bool {
        self.options.probe == RedshiftProbe::Wire
    }

    fn master_uses_host(&self) -> bool {
        false
    }

    fn check_master_database(&self) -> Result<(), EngineError> {
        match self.login()? {
            Login::Secret(_) => connect::check_trusted(&self.options, &self.context),
            Login::DbUser(_) | Login::Identity => Ok(()),
        }
    }

    async fn sign_in(
        &self,
        target: &Target,
        credentials: &Credentials,
        checks: SignInChecks<'_>,
    ) -> Result<SignedIn, EngineError> {
        let address = self.address(target, &credentials.username)?;
        let probes = checks.probes;
        let user = match self.options.probe {
            RedshiftProbe::Wire => pg_probe::sign_in(&address, target, credentials, probes).await?,
            RedshiftProbe::Secret => {
                let first = std::iter::once("SELECT current_user");
                let all = first.chain(probes.iter().map(String::as_str));
                let statements: Vec<BatchStatement> = all.map(BatchStatement::plain).collect();
                let config = self.context.aws.config().await;
                let client = self.client(&address).await;
                let rotated = &self.context.secret;
                let batches = split_into_batches(&statements, &[]);
                secret_probe::sign_in(config, &client, &address, rotated, credentials, &batches)
                    .await?
            }
        };
        Ok(SignedIn {
            user,
            server_identity: self.identity(&address),
            is_pooled: false,
            stored_form: None,
            replication: Replication::default(),
            sees_mark: None,
        })
    }

    async fn admin(
        &self,
        target: &Target,
        master: &Credentials,
    ) -> Result<Box<dyn Admin>, EngineError> {
        self.check_master_database()?;
        let address = self.address(target, &master.username)?;
        let mut admin = RedshiftAdmin {
            client: self.client(&address).await,
            login: self.login()?,
            identity: self.identity(&address),
            address,
            user: String::new(),
            rights: AdminRights::default(),
            applied: BTreeSet::new(),
            kept: BTreeMap::new(),
            pair: None,
            server: String::new(),
            now: String::new(),
            numbers: BTreeMap::new(),
            leases: Vec::new(),
        };
        inspect::identify_admin(&mut admin).await?;
        Ok(Box::new(admin))
    }
}

/// Deletes the probe secrets that were created before `before`. Returns how many.
pub(super) async fn delete_leftovers(
    aws: &Aws,
    before: DateTime<Utc>,
) -> Result<usize, EngineError> {
    signin::leftovers::delete_leftovers(aws.config().await, before).await
}

/// The admin of one run.
struct RedshiftAdmin {
    client: DataApiClient,
    login: Login,
    address: DatabaseAddress,
    identity: Option<String>,
    /// Its user name on the server.
    user: String,
    rights: AdminRights,
    /// The REVOKE statements that it has run.
    applied: BTreeSet<String>,
    /// The changes of owners that the server refused, with the reasons.
    kept: BTreeMap<String, String>,
    /// The pair of the last inspection.
    pair: Option<Pair>,
    server: String,
    /// The server's time at the sign-in.
    now: String,
    /// User numbers of the pair, from the last inspection.
    numbers: BTreeMap<String, i64>,
    /// In the order in which they were taken.
    leases: Vec<Lease>,
}

impl RedshiftAdmin {
    /// The lease of the current pair.
    fn lease(&self) -> Option<&Lease> {
        self.leases.last()
    }

    /// Runs statements in the secret's database without the fence of the pair's lock.
    async fn execute(&self, statements: &[BatchStatement]) -> Result<(), Failure> {
        let database = &self.address.database;
        self.client.execute(&self.login, database, statements).await
    }

    /// Runs the statements that take a lease, and returns the row of the lock's holder.
    async fn take_lease(&self, statements: &[BatchStatement]) -> Result<Option<Row>, Failure> {
        let database = &self.address.database;
        let taken = self
            .client
            .query(&self.login, database, statements, BATCH_LIMIT)
            .await?;
        let rows = self.client.rows(&taken, statements.len() - 1).await?;
        Ok(rows.into_iter().next())
    }
}

#[async_trait]
impl Admin for RedshiftAdmin {
    fn server_identity(&self) -> Option<&str> {
        self.identity.as_deref()
    }

    async fn lock(&mut self, pair: &Pair) -> Result<PairLock, EngineError> {
        // An admin without privileges needs no lock: the inspection reports what it lacks.
        if !self.rights.superuser && self.rights.roles.is_empty() {
            return Ok(PairLock::Taken);
        }
        let lease = Lease {
            pair: pair.base.clone(),
            holder: self.client.id(),
        };
        let statements = lease.take_statements(self.rights.superuser);
        // Recorded first, so that it is also released after a lost response.
        self.leases.retain(|other| *other != lease);
        self.leases.push(lease.clone());
        // The inspection reports it, and without its lease this admin changes nothing.
        if !self.rights.superuser && !self.rights.locks.missing("").is_empty() {
            return Ok(PairLock::Taken);
        }
        let mut taken = self.take_lease(&statements).await;
        if matches!(&taken, Err(failed) if failed.kind == FailureKind::NoRelation) {
            let created = self.execute(&lock::create_table_statements()).await;
            // Other failures include a concurrent creation, after which the table exists.
            if let Err(failed) = created
                && failed.kind == FailureKind::Permission
            {
                return Err(EngineError::Refused {
                    what: "creating the table of locks, twinkey.locks".into(),
                    reason: failed.reason,
                    hint: quote::with_case_setting(format!(
                        "GRANT CREATE ON DATABASE {} TO {}",
                        quote::ident(&self.address.database),
                        quote::ident(&self.user)
                    )),
                });
            }
            taken = self.take_lease(&statements).await;
        }
        let explain = |failed| {
            self.address
                .explain("taking the pair's lock", &statements, failed)
        };
        let row = taken.map_err(explain)?.ok_or_else(|| EngineError::Busy {
            what: "taking the pair's lock".into(),
            reason: "its row is missing after the transaction".into(),
        })?;
        let own = lease.holder.to_string();
        if row.text(0).is_ok_and(|holder| holder.trim() == own) {
            return Ok(PairLock::Taken);
        }
        self.leases.retain(|other| *other != lease);
        Ok(PairLock::Held(lock::holder(&pair.base, &row)))
    }

    async fn lock_holders(&mut self, pair: &Pair) -> Result<Vec<LockHolder>, EngineError> {
        let statements = [lock::holder_statement(&pair.base)];
        let database = &self.address.database;
        let explain = |failed| {
            self.address
                .explain("reading the pair's lock", &statements, failed)
        };
        let read = self
            .client
            .query(&self.login, database, &statements, BATCH_LIMIT)
            .await;
        let found = match read {
            Ok(finished) => self.client.rows(&finished, 0).await.map_err(explain)?,
            // Before the first run there is no table.
            Err(failed)
                if matches!(
                    failed.kind,
                    FailureKind::NoRelation | FailureKind::Permission
                ) =>
            {
                return Ok(Vec::new());
            }
            Err(failed) => return Err(explain(failed)),
        };
        Ok(found
            .iter()
            .map(|row| lock::holder(&pair.base, row))
            .collect())
    }

    async fn inspect(&mut self, request: &InspectRequest<'_>) -> Result<Inspection, EngineError> {
        let pair = request.pair;
        let facts = inspect::facts(self, pair, request.thorough).await?;
        let users = [
            (pair.active_user(), &facts.active),
            (pair.standby_user(), &facts.standby),
        ];
        let found = users.into_iter();
        self.numbers = found
            .filter_map(|(name, user)| Some((name.to_owned(), user.as_ref()?.id)))
            .collect();
        self.pair = Some(pair.clone());
        let mut inspection = plan::plan(&facts, pair);
        if self.applied.is_empty() {
            let found = inspect::granted_by_others(self, pair, &inspection.differences).await?;
            inspection.findings.extend(found);
        } else {
            inspect::explain_what_stayed(self, pair, &mut inspection.differences).await?;
        }
        Ok(inspection)
    }

    async fn apply(&mut self, changes: &[RenderedChange]) -> Result<(), EngineError> {
        apply::apply(self, changes).await?;
        let revoked = changes
            .iter()
            .filter(|change| change.shown.starts_with("REVOKE "));
        self.applied
            .extend(revoked.map(|change| change.shown.clone()));
        Ok(())
    }

    async fn sessions(&mut self, user: &str) -> Result<Option<Vec<Session>>, EngineError> {
        sessions::of_user(self, user).await
    }

    /// Only a superuser may end the sessions of another user.
    async fn cannot_end_sessions(&mut self, user: &str) -> Result<Vec<Finding>, EngineError> {
        if self.rights.superuser {
            return Ok(Vec::new());
        }
        Ok(vec![Finding::lacks(
            format!(
                "the admin {:?} is no superuser, and may not end the sessions of {user:?}",
                self.user
            ),
            format!("ALTER USER {} CREATEUSER", quote::ident(&self.user)),
        )])
    }

    async fn end_sessions(&mut self, user: &str) -> Result<usize, EngineError> {
        sessions::end(self, user).await
    }

    async fn close(self: Box<Self>) {
        for lease in &self.leases {
            // A lease that is not released expires.
            let release = lease.release_statements(self.rights.superuser);
            let _ = self.execute(&release).await;
        }
    }
}
