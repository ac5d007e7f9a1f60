//! Further accounts and regions of the stand-in, with roles that STS lets a caller assume.
//!
//! The access key of a request decides its account, and the scope of its signature the region. Each account
//! and region has its own store, whose ARNs name both.
//!
//! # Failure modes
//! - A call in one account reads a secret of another one: each session has the secrets of its account only.
//! - A caller uses credentials that have ended, or the token of another session: both are refused as AWS
//!   refuses them.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, Response, header::CONTENT_LENGTH};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use parking_lot::Mutex;
use tower::ServiceExt;
use twinkey_core::telemetry::Clock;
use twinkey_stores::local::{LocalStore, router};

use super::rds::{self, Rds};

const VERSION: &str = "2011-06-15";
const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";
/// The prefix of the ARNs of a store.
const LOCAL: &str = "arn:aws:secretsmanager:local:000000000000:";

/// The further accounts, their roles and the sessions of these.
#[derive(Default)]
pub struct Accounts(Mutex<State>);

#[derive(Default)]
struct State {
    places: BTreeMap<Place, Arc<AccountRegion>>,
    roles: BTreeMap<String, Role>,
    sessions: HashMap<String, Session>,
    calls: Vec<AccountCall>,
    /// The quota of writes of each account and region.
    writes_per_second: Option<usize>,
    throttled: usize,
}

/// The calls that the quota of writes counts.
const WRITES: [&str; 2] = ["PutSecretValue", "UpdateSecretVersionStage"];

/// An account and a region.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub account: String,
    pub region: String,
}

/// What an account has in a region.
pub struct AccountRegion {
    pub store: Arc<LocalStore>,
    pub rds: Rds,
    router: Router,
}

#[derive(Debug, Clone)]
struct Role {
    external_id: Option<String>,
    session_length: TimeDelta,
    /// Its trust policy does not allow the caller any more.
    is_revoked: bool,
    /// The action after which its sessions end, once.
    ends_after: Option<(&'static str, SessionEnd)>,
    assumed: usize,
}

/// Why a session ends before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionEnd {
    /// As by [`Accounts::revoke`].
    Revoked,
    /// AWS does not accept its token any more, although its end is not near.
    Expired,
}

#[derive(Debug, Clone)]
struct Session {
    token: String,
    account: String,
    role: String,
    name: String,
    expires: DateTime<Utc>,
    /// The role denies everything to sessions that began before.
    is_revoked: bool,
}

/// A call with the credentials of a role.
#[derive(Debug, Clone)]
pub struct AccountCall {
    pub place: Place,
    pub action: String,
    /// The name of the role's session.
    pub session: String,
    pub at: DateTime<Utc>,
}

/// The caller of a request.
pub(super) enum Caller {
    /// The account of the stand-in itself.
    Base,
    Session(Place),
    Refused(&'static str, String),
}

impl State {
    /// Whether the last call exceeds the quota of writes of its account and region.
    fn exceeds_quota(&self, place: &Place) -> bool {
        let (Some(quota), Some(last)) = (self.writes_per_second, self.calls.last()) else {
            return false;
        };
        let since = last.at - TimeDelta::seconds(1);
        let recent = self.calls.iter().rev().take_while(|call| call.at > since);
        let is_write = |call: &&AccountCall| WRITES.contains(&&*call.action);
        let writes = recent.filter(|call| call.place == *place && is_write(call));
        is_write(&last) && writes.count() > quota
    }

    fn end_sessions(&mut self, arn: &str, end: SessionEnd) {
        if end == SessionEnd::Revoked {
            self.roles.get_mut(arn).unwrap().is_revoked = true;
        }
        for session in self.sessions.values_mut().filter(|one| one.role == arn) {
            match end {
                SessionEnd::Revoked => session.is_revoked = true,
                SessionEnd::Expired => session.expires = DateTime::UNIX_EPOCH,
            }
        }
    }
}

impl Accounts {
    /// Adds a region of an account, with an empty store.
    pub(super) async fn add(&self, folder: &Path, account: &str, region: &str) -> Arc<LocalStore> {
        let store = super::open(folder, &format!("{account}-{region}.db")).await;
        let place = Place {
            account: account.to_owned(),
            region: region.to_owned(),
        };
        let opened = AccountRegion {
            router: router(Arc::clone(&store)),
            rds: Rds::default(),
            store: Arc::clone(&store),
        };
        self.0.lock().places.insert(place, Arc::new(opened));
        store
    }

    /// What an account has in a region.
    ///
    /// # Panics
    /// It was not added.
    pub fn of(&self, account: &str, region: &str) -> Arc<AccountRegion> {
        let place = Place {
            account: account.to_owned(),
            region: region.to_owned(),
        };
        Arc::clone(&self.0.lock().places[&place])
    }

    /// Adds a role that the stand-in's own account may assume. AWS allows 15 minutes to 12 hours; a test
    /// needs shorter sessions.
    pub fn add_role(&self, arn: &str, external_id: Option<&str>, session_length: Duration) {
        let role = Role {
            external_id: external_id.map(str::to_owned),
            session_length: TimeDelta::from_std(session_length).unwrap(),
            is_revoked: false,
            ends_after: None,
            assumed: 0,
        };
        self.0.lock().roles.insert(arn.to_owned(), role);
    }

    /// Removes the caller from the trust policy of a role, and denies everything to its sessions
    /// ("Revoke active sessions" in the IAM console).
    pub fn revoke(&self, arn: &str) {
        self.0.lock().end_sessions(arn, SessionEnd::Revoked);
    }

    /// Ends the sessions of a role after its next call of an action.
    pub fn end_after(&self, arn: &str, action: &'static str, end: SessionEnd) {
        self.0.lock().roles.get_mut(arn).unwrap().ends_after = Some((action, end));
    }

    /// Allows the caller to assume a revoked role again.
    pub fn restore(&self, arn: &str) {
        self.0.lock().roles.get_mut(arn).unwrap().is_revoked = false;
    }

    /// How often a role was assumed.
    pub fn assumed(&self, arn: &str) -> usize {
        self.0.lock().roles[arn].assumed
    }

    /// The calls with credentials of roles, in order.
    pub fn calls(&self) -> Vec<AccountCall> {
        self.0.lock().calls.clone()
    }

    /// The most writes to secrets that an account and region had in any second.
    pub fn most_writes_in_a_second(&self, account: &str, region: &str) -> usize {
        let calls = self.calls();
        let writes = calls.iter().filter(|call| {
            call.place.account == account
                && call.place.region == region
                && WRITES.contains(&&*call.action)
        });
        let mut most = 0;
        let mut recent = VecDeque::new();
        for write in writes {
            recent.push_back(write.at);
            while recent
                .front()
                .is_some_and(|at| write.at - *at >= TimeDelta::seconds(1))
            {
                recent.pop_front();
            }
            most = most.max(recent.len());
        }
        most
    }

    /// Throttles writes above a number in any second of an account and region. The quota of AWS is 50.
    pub fn limit_writes(&self, per_second: usize) {
        self.0.lock().writes_per_second = Some(per_second);
    }

    /// The number of writes that the quota refused.
    pub fn throttled(&self) -> usize {
        self.0.lock().throttled
    }

    /// The caller of a request, by the key and the scope of its signature ("Authorization" in
    /// "Authenticating requests"). A call of a role is recorded.
    pub(super) fn caller(&self, headers: &HeaderMap, action: &str) -> Caller {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let credential = (text("authorization"))
            .and_then(|text| text.split_once("Credential="))
            .and_then(|(_, rest)| rest.split(',').next());
        let mut scope = credential.unwrap_or_default().split('/');
        let key = scope.next().unwrap_or_default();
        let region = scope.nth(1).unwrap_or_default().to_owned();
        let mut state = self.0.lock();
        let Some(session) = state.sessions.get(key).cloned() else {
            return match text("x-amz-security-token") {
                // Only sessions have a token, and each of them is known.
                Some(_) => Caller::Refused("UnrecognizedClientException", INVALID.into()),
                None => Caller::Base,
            };
        };
        if text("x-amz-security-token") != Some(&session.token) {
            return Caller::Refused("UnrecognizedClientException", INVALID.into());
        }
        if session.expires <= Clock::system().now() {
            return Caller::Refused("ExpiredTokenException", EXPIRED.into());
        }
        let place = Place {
            account: session.account,
            region,
        };
        state.calls.push(AccountCall {
            place: place.clone(),
            action: action.to_owned(),
            session: session.name,
            at: Clock::system().now(),
        });
        if session.is_revoked {
            let why = format!(
                "User: {} is not authorized to perform: {action} with an explicit deny in an identity-based policy",
                session.role
            );
            return Caller::Refused("AccessDeniedException", why);
        }
        if state.exceeds_quota(&place) {
            state.throttled += 1;
            return Caller::Refused("ThrottlingException", "Rate exceeded".into());
        }
        let role = session.role;
        let ends_after = &mut state.roles.get_mut(&role).unwrap().ends_after;
        if let Some((_, end)) = ends_after.take_if(|(after, _)| *after == action) {
            state.end_sessions(&role, end);
        }
        Caller::Session(place)
    }

    /// Answers AssumeRole: HTTP status and XML.
    pub(super) fn assume_role(
        &self,
        caller: &Caller,
        authorization: &str,
        body: &[u8],
    ) -> (u16, String) {
        let assumed = if !authorization.contains("/sts/aws4_request") {
            Err((
                403,
                "IncompleteSignature",
                "the request is not signed for sts".to_owned(),
            ))
        } else if matches!(caller, Caller::Base) {
            self.begin_session(rds::parameters(body))
        } else {
            Err((
                403,
                "AccessDenied",
                "the caller is not the worker's own role".to_owned(),
            ))
        };
        match assumed {
            Ok(xml) => (200, xml),
            Err((status, code, why)) => (status, error(code, &why)),
        }
    }

    fn begin_session(
        &self,
        mut asked: BTreeMap<String, String>,
    ) -> Result<String, (u16, &'static str, String)> {
        let invalid = |why: String| (400, "ValidationError", why);
        asked.remove("Action");
        if asked.remove("Version").as_deref() != Some(VERSION) {
            return Err(invalid(format!("the version is not {VERSION}")));
        }
        let arn = asked.remove("RoleArn").unwrap_or_default();
        let name = asked.remove("RoleSessionName").unwrap_or_default();
        let external_id = asked.remove("ExternalId");
        if let Some(other) = asked.keys().next() {
            return Err(invalid(format!("the stand-in has no parameter {other}")));
        }
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
        if !(2..=64).contains(&name.len()) || !name.chars().all(is_allowed) {
            return Err(invalid(format!("{name:?} is no name of a session")));
        }
        let denied = format!(
            "User: arn:aws:sts::000000000000:assumed-role/worker/i is not authorized to perform: sts:AssumeRole on resource: {arn}"
        );
        let denied = (403, "AccessDenied", denied);
        let mut state = self.0.lock();
        let Some(role) = state.roles.get_mut(&arn) else {
            return Err(denied);
        };
        if role.is_revoked || (role.external_id.is_some() && role.external_id != external_id) {
            return Err(denied);
        }
        role.assumed += 1;
        let expires = Clock::system().now() + role.session_length;
        let account = arn.split(':').nth(4).unwrap_or_default().to_owned();
        let (key, token) = (random("ASIA"), random("token-"));
        let session = Session {
            token: token.clone(),
            account: account.clone(),
            role: arn.clone(),
            name: name.clone(),
            expires,
            is_revoked: false,
        };
        state.sessions.insert(key.clone(), session);
        let role = arn.rsplit('/').next().unwrap_or_default();
        let expires = expires.to_rfc3339_opts(SecondsFormat::Millis, true);
        Ok(format!(
            "<AssumeRoleResponse xmlns=\"{NAMESPACE}\"><AssumeRoleResult>\
             <AssumedRoleUser><AssumedRoleId>AROA0:{name}</AssumedRoleId>\
             <Arn>arn:aws:sts::{account}:assumed-role/{role}/{name}</Arn></AssumedRoleUser>\
             <Credentials><AccessKeyId>{key}</AccessKeyId><SecretAccessKey>{}</SecretAccessKey>\
             <SessionToken>{token}</SessionToken><Expiration>{expires}</Expiration></Credentials>\
             </AssumeRoleResult><ResponseMetadata><RequestId>1</RequestId></ResponseMetadata>\
             </AssumeRoleResponse>",
            random("secret-")
        ))
    }

    /// Serves a request of Secrets Manager in an account and region, which has ARNs of its own.
    pub(super) async fn serve(&self, place: &Place, request: Request) -> Response<Body> {
        let Some(found) = self.0.lock().places.get(place).cloned() else {
            return super::error(400, "ResourceNotFoundException");
        };
        let own = format!("arn:aws:secretsmanager:{}:{}:", place.region, place.account);
        let (mut parts, body) = request.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        parts.headers.remove(CONTENT_LENGTH);
        let body = String::from_utf8(body.to_vec())
            .unwrap()
            .replace(&own, LOCAL);
        let request = Request::from_parts(parts, Body::from(body));
        let answer = found.router.clone().oneshot(request).await.unwrap();
        let (mut parts, body) = answer.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        parts.headers.remove(CONTENT_LENGTH);
        let body = String::from_utf8(body.to_vec())
            .unwrap()
            .replace(LOCAL, &own);
        Response::from_parts(parts, Body::from(body))
    }
}

const INVALID: &str = "The security token included in the request is invalid.";
const EXPIRED: &str = "The security token included in the request is expired";

fn random(prefix: &str) -> String {
    format!(
        "{prefix}{}",
        uuid::Uuid::new_v4().simple().to_string().to_uppercase()
    )
}

fn error(code: &str, why: &str) -> String {
    format!(
        "<ErrorResponse xmlns=\"{NAMESPACE}\"><Error><Type>Sender</Type><Code>{code}</Code><Message>{why}</Message></Error>\
         <RequestId>1</RequestId></ErrorResponse>"
    )
}
