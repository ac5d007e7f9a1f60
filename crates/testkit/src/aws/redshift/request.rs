//! What is asked, and whether the API would take it.

use serde_json::{Map, Value as Json};

use super::refusal::Refusal;
use super::sql::parameters_of;

/// The statements of one call, in bytes (quotas of the Data API: "100 KB").
const MOST_BYTES: usize = 100_000;
const MOST_STATEMENTS: usize = 40;

/// Where statements run, and as whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub cluster: Option<String>,
    pub workgroup: Option<String>,
    pub secret: Option<String>,
    pub db_user: Option<String>,
    pub database: String,
}

/// An ExecuteStatement or a BatchExecuteStatement.
#[derive(Debug, Clone)]
pub struct Submission {
    pub place: Place,
    pub sqls: Vec<String>,
    pub is_batch: bool,
    pub parameters: Vec<(String, String)>,
    pub name: Option<String>,
    /// Each statement commits on its own.
    pub auto_commit: bool,
    pub token: Option<String>,
    pub wait: Option<u64>,
}

pub fn text(asked: &Json, key: &str) -> Result<Option<String>, Refusal> {
    match &asked[key] {
        Json::Null => Ok(None),
        Json::String(text) => Ok(Some(text.clone())),
        _ => Err(Refusal::new(
            400,
            "SerializationException",
            format!("{key} is no string"),
        )),
    }
}

pub fn number(
    asked: &Json,
    key: &str,
    range: std::ops::RangeInclusive<u64>,
) -> Result<Option<u64>, Refusal> {
    let refused = || {
        Refusal::invalid(format!(
            "{key} is not between {} and {}",
            range.start(),
            range.end()
        ))
    };
    match &asked[key] {
        Json::Null => Ok(None),
        Json::Number(number) => {
            let number = number.as_u64().filter(|number| range.contains(number));
            number.map(Some).ok_or_else(refused)
        }
        _ => Err(Refusal::new(
            400,
            "SerializationException",
            format!("{key} is no number"),
        )),
    }
}

/// 1 to 30 seconds.
pub fn wait(asked: &Json) -> Result<Option<u64>, Refusal> {
    number(asked, "WaitTimeSeconds", 1..=30)
}

impl Place {
    /// The combinations of the API's documentation: a cluster with a secret, a database user or the
    /// caller's own identity; a workgroup with a secret or the caller's own identity.
    pub fn read(asked: &Json) -> Result<Self, Refusal> {
        let place = Self {
            cluster: text(asked, "ClusterIdentifier")?,
            workgroup: text(asked, "WorkgroupName")?,
            secret: text(asked, "SecretArn")?,
            db_user: text(asked, "DbUser")?,
            database: text(asked, "Database")?.unwrap_or_default(),
        };
        let why = match (&place.cluster, &place.workgroup) {
            (Some(_), Some(_)) => "ClusterIdentifier and WorkgroupName exclude each other",
            (None, None) => "Either ClusterIdentifier or WorkgroupName is required",
            (None, Some(_)) if place.db_user.is_some() => "DbUser can't be used with a workgroup",
            _ if place.secret.is_some() && place.db_user.is_some() => {
                "SecretArn and DbUser exclude each other"
            }
            _ if place.database.is_empty() => "Database is required",
            _ => return Ok(place),
        };
        Err(Refusal::invalid(why))
    }
}

impl Submission {
    pub fn read(action: &str, asked: &Json) -> Result<Self, Refusal> {
        let is_batch = action == "BatchExecuteStatement";
        let sqls = statements(asked, is_batch)?;
        for key in ["SessionId", "SessionKeepAliveSeconds"] {
            if !asked[key].is_null() {
                return Err(Refusal::invalid(format!(
                    "this stand-in has no sessions: {key}"
                )));
            }
        }
        if !["", "JSON"].contains(&text(asked, "ResultFormat")?.unwrap_or_default().as_str()) {
            return Err(Refusal::invalid("this stand-in answers in JSON only"));
        }
        let token = text(asked, "ClientToken")?;
        if token
            .as_ref()
            .is_some_and(|token| !(1..=64).contains(&token.len()))
        {
            return Err(Refusal::invalid("ClientToken is not of 1 to 64 characters"));
        }
        let name = text(asked, "StatementName")?;
        if name.as_ref().is_some_and(|name| name.len() > 2048) {
            return Err(Refusal::invalid(
                "StatementName is longer than 2048 characters",
            ));
        }
        let auto_commit = match text(asked, "ExecutionMode")?.as_deref() {
            Some(_) if !is_batch => return Err(Refusal::invalid("ExecutionMode is a batch's")),
            None | Some("TRANSACTION") => !is_batch,
            Some("AUTO_COMMIT") => true,
            Some(other) => return Err(Refusal::invalid(format!("no such ExecutionMode: {other}"))),
        };
        Ok(Self {
            place: Place::read(asked)?,
            parameters: parameters(asked, &sqls)?,
            sqls,
            is_batch,
            name,
            auto_commit,
            token,
            wait: wait(asked)?,
        })
    }

    /// Whether the same was asked: all but how long to wait for the answer.
    pub fn without_wait(asked: &Json) -> Json {
        let mut same: Map<String, Json> = asked.as_object().cloned().unwrap_or_default();
        same.remove("WaitTimeSeconds");
        Json::Object(same)
    }
}

fn statements(asked: &Json, is_batch: bool) -> Result<Vec<String>, Refusal> {
    let sqls: Vec<String> = if is_batch {
        let list = asked["Sqls"].as_array().cloned().unwrap_or_default();
        let texts = list
            .iter()
            .filter_map(|sql| sql.as_str().map(str::to_owned));
        texts.collect()
    } else {
        text(asked, "Sql")?.into_iter().collect()
    };
    if !(1..=MOST_STATEMENTS).contains(&sqls.len()) {
        return Err(Refusal::invalid("Sqls is not a list of 1 to 40 statements"));
    }
    if sqls.iter().any(|sql| sql.trim().is_empty()) {
        return Err(Refusal::invalid("A statement is empty"));
    }
    if sqls.iter().map(String::len).sum::<usize>() > MOST_BYTES {
        return Err(Refusal::invalid("Cannot process queries larger than 100kB"));
    }
    Ok(sqls)
}

/// Each is named once, has a value that is not empty, and is referred to.
fn parameters(asked: &Json, sqls: &[String]) -> Result<Vec<(String, String)>, Refusal> {
    let list = match &asked["Parameters"] {
        Json::Null => return Ok(Vec::new()),
        list => list.as_array().filter(|list| !list.is_empty()),
    };
    let list = list.ok_or_else(|| Refusal::invalid("Parameters is empty"))?;
    let used: Vec<String> = sqls.iter().flat_map(|sql| parameters_of(sql)).collect();
    let mut parameters: Vec<(String, String)> = Vec::new();
    for parameter in list {
        let name = text(parameter, "name")?.unwrap_or_default();
        let value = text(parameter, "value")?.unwrap_or_default();
        if value.is_empty()
            || !used.contains(&name)
            || parameters.iter().any(|(known, _)| *known == name)
        {
            return Err(Refusal::invalid(format!(
                "Parameter {name} is empty, twice there, or not used"
            )));
        }
        parameters.push((name, value));
    }
    Ok(parameters)
}
