//! Validation of requests.

use serde_json::{Map, Value as Json};

use super::api_error::ApiError;
use super::sql::parameters_of;

/// Size limit of the statements of one call ("100 KB" in the quotas of the Data API).
const MAX_BYTES: usize = 100_000;
const MAX_STATEMENTS: usize = 40;

/// The database and the credentials of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionTarget {
    pub cluster: Option<String>,
    pub workgroup: Option<String>,
    pub secret: Option<String>,
    pub db_user: Option<String>,
    pub database: String,
}

/// A request of ExecuteStatement or BatchExecuteStatement.
#[derive(Debug, Clone)]
pub struct Submission {
    pub target: ConnectionTarget,
    pub sqls: Vec<String>,
    pub is_batch: bool,
    pub parameters: Vec<(String, String)>,
    pub name: Option<String>,
    /// Each statement is a transaction of its own.
    pub auto_commit: bool,
    pub token: Option<String>,
    pub wait: Option<u64>,
}

pub fn text(request: &Json, key: &str) -> Result<Option<String>, ApiError> {
    match &request[key] {
        Json::Null => Ok(None),
        Json::String(text) => Ok(Some(text.clone())),
        _ => Err(ApiError::new(
            400,
            "SerializationException",
            format!("{key} is no string"),
        )),
    }
}

pub fn number(
    request: &Json,
    key: &str,
    range: std::ops::RangeInclusive<u64>,
) -> Result<Option<u64>, ApiError> {
    let refused = || {
        ApiError::invalid(format!(
            "{key} is not between {} and {}",
            range.start(),
            range.end()
        ))
    };
    match &request[key] {
        Json::Null => Ok(None),
        Json::Number(number) => {
            let number = number.as_u64().filter(|number| range.contains(number));
            number.map(Some).ok_or_else(refused)
        }
        _ => Err(ApiError::new(
            400,
            "SerializationException",
            format!("{key} is no number"),
        )),
    }
}

/// 1 to 30 seconds.
pub fn wait(request: &Json) -> Result<Option<u64>, ApiError> {
    number(request, "WaitTimeSeconds", 1..=30)
}

impl ConnectionTarget {
    /// Parses the combinations in the API's documentation.
    ///
    /// A cluster has a secret, a database user or the caller's identity; a workgroup has a secret
    /// or the caller's identity.
    pub fn read(request: &Json) -> Result<Self, ApiError> {
        let target = Self {
            cluster: text(request, "ClusterIdentifier")?,
            workgroup: text(request, "WorkgroupName")?,
            secret: text(request, "SecretArn")?,
            db_user: text(request, "DbUser")?,
            database: text(request, "Database")?.unwrap_or_default(),
        };
        let why = match (&target.cluster, &target.workgroup) {
            (Some(_), Some(_)) => "ClusterIdentifier and WorkgroupName exclude each other",
            (None, None) => "Either ClusterIdentifier or WorkgroupName is required",
            (None, Some(_)) if target.db_user.is_some() => "DbUser can't be used with a workgroup",
            _ if target.secret.is_some() && target.db_user.is_some() => {
                "SecretArn and DbUser exclude each other"
            }
            _ if target.database.is_empty() => "Database is required",
            _ => return Ok(target),
        };
        Err(ApiError::invalid(why))
    }
}

impl Submission {
    pub fn read(action: &str, request: &Json) -> Result<Self, ApiError> {
        let is_batch = action == "BatchExecuteStatement";
        let sqls = statements(request, is_batch)?;
        for key in ["SessionId", "SessionKeepAliveSeconds"] {
            if !request[key].is_null() {
                return Err(ApiError::invalid(format!(
                    "this stand-in has no sessions: {key}"
                )));
            }
        }
        if !["", "JSON"].contains(&text(request, "ResultFormat")?.unwrap_or_default().as_str()) {
            return Err(ApiError::invalid("this stand-in answers in JSON only"));
        }
        let token = text(request, "ClientToken")?;
        if token
            .as_ref()
            .is_some_and(|token| !(1..=64).contains(&token.len()))
        {
            return Err(ApiError::invalid(
                "ClientToken is not of 1 to 64 characters",
            ));
        }
        let name = text(request, "StatementName")?;
        if name.as_ref().is_some_and(|name| name.len() > 2048) {
            return Err(ApiError::invalid(
                "StatementName is longer than 2048 characters",
            ));
        }
        let auto_commit = match text(request, "ExecutionMode")?.as_deref() {
            Some(_) if !is_batch => return Err(ApiError::invalid("ExecutionMode is a batch's")),
            None | Some("TRANSACTION") => !is_batch,
            Some("AUTO_COMMIT") => true,
            Some(other) => {
                return Err(ApiError::invalid(format!("no such ExecutionMode: {other}")));
            }
        };
        Ok(Self {
            target: ConnectionTarget::read(request)?,
            parameters: parameters(request, &sqls)?,
            sqls,
            is_batch,
            name,
            auto_commit,
            token,
            wait: wait(request)?,
        })
    }

    /// The request without its wait time, for comparisons.
    pub fn without_wait(request: &Json) -> Json {
        let mut same: Map<String, Json> = request.as_object().cloned().unwrap_or_default();
        same.remove("WaitTimeSeconds");
        Json::Object(same)
    }
}

fn statements(request: &Json, is_batch: bool) -> Result<Vec<String>, ApiError> {
    let sqls: Vec<String> = if is_batch {
        let list = request["Sqls"].as_array().cloned().unwrap_or_default();
        let texts = list
            .iter()
            .filter_map(|sql| sql.as_str().map(str::to_owned));
        texts.collect()
    } else {
        text(request, "Sql")?.into_iter().collect()
    };
    if !(1..=MAX_STATEMENTS).contains(&sqls.len()) {
        return Err(ApiError::invalid(
            "Sqls is not a list of 1 to 40 statements",
        ));
    }
    if sqls.iter().any(|sql| sql.trim().is_empty()) {
        return Err(ApiError::invalid("A statement is empty"));
    }
    if sqls.iter().map(String::len).sum::<usize>() > MAX_BYTES {
        return Err(ApiError::invalid(
            "Cannot process queries larger than 100kB",
        ));
    }
    Ok(sqls)
}

/// Parses parameters; each has a unique name and a value, and a statement uses it.
fn parameters(request: &Json, sqls: &[String]) -> Result<Vec<(String, String)>, ApiError> {
    let list = match &request["Parameters"] {
        Json::Null => return Ok(Vec::new()),
        list => list.as_array().filter(|list| !list.is_empty()),
    };
    let list = list.ok_or_else(|| ApiError::invalid("Parameters is empty"))?;
    let used: Vec<String> = sqls.iter().flat_map(|sql| parameters_of(sql)).collect();
    let mut parameters: Vec<(String, String)> = Vec::new();
    for parameter in list {
        let name = text(parameter, "name")?.unwrap_or_default();
        let value = text(parameter, "value")?.unwrap_or_default();
        if value.is_empty()
            || !used.contains(&name)
            || parameters.iter().any(|(known, _)| *known == name)
        {
            return Err(ApiError::invalid(format!(
                "Parameter {name} is empty, twice there, or not used"
            )));
        }
        parameters.push((name, value));
    }
    Ok(parameters)
}
