//! Rows of the matrix, which are files in `rows/`: a fault, what the program reports, and the fix.

use std::path::PathBuf;

use config::{File, FileFormat};
use serde::Deserialize;
use serde_json::{Map, Value as Json};
use twinkey_core::code::Code;
use twinkey_testkit::locations::workspace;

/// A fault of a rotation.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    pub fault: String,
    pub engines: Vec<String>,
    /// Absent: the state looks like a fault, and the rotation succeeds.
    pub code: Option<Code>,
    #[serde(default)]
    pub report: Report,
    /// Why `check` cannot report it.
    pub why: Option<String>,
    pub setup: Vec<Step>,
    #[serde(default)]
    pub fix: Fix,
    /// A hint may leave a value open. Each of these texts in it is replaced by the next one first.
    /// In the next one, `{current}` stands for the password in AWSCURRENT.
    #[serde(default)]
    pub open: Vec<(String, String)>,
    /// A text in the hint.
    #[serde(default)]
    pub hint: String,
    /// Steps of a fix that the hint describes in words, or after its statements.
    #[serde(default)]
    pub steps: Vec<Step>,
    /// The fault concerns the whole server or store, so that no other row runs at the same time.
    #[serde(default)]
    pub alone: bool,
    /// The base user of the pair; absent: the driver selects a name.
    pub user: Option<String>,
}

/// What `check` and `plan` report of a run that fails.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Report {
    /// Both fail with its code.
    #[default]
    Fails,
    /// `plan` fails with its code. `check` warns, because the reason passes.
    Warns,
    /// The fault cannot be seen before the run.
    Nothing,
}

/// How the fault is removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fix {
    /// The statements in the hint.
    #[default]
    Statements,
    /// The keys that the hint sets in the config.
    Keys,
    /// The row's steps.
    Steps,
}

/// One step of a setup or a fix. In texts, `{user}`, `{clone}`, `{master}` and `{database}` stand for
/// the names of the cell, and `{password}` for the application's first password.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// A statement of the administrator in the pair's database.
    Sql(String),
    /// A statement of the administrator outside of the pair's database.
    ServerSql(String),
    /// Fields of the application's secret.
    Secret(Map<String, Json>),
    /// Removes a field of the application's secret.
    SecretWithout(String),
    /// Pads the application's secret to a length.
    SecretOfBytes(usize),
    /// Fields of the master secret.
    Master(Map<String, Json>),
    /// Removes a field of the master secret.
    MasterWithout(String),
    /// A text as the application's secret.
    SecretText(String),
    /// Bytes as the application's secret.
    SecretBinary,
    /// Both secrets get their first documents again.
    Restore,
    DeleteSecret,
    DeleteMaster,
    /// A key of the rotation with its value in TOML.
    Set(String, String),
    /// Removes a key of the rotation.
    Unset(String),
    /// Replaces a text of the config.
    Config(String, String),
    /// Sessions of a user, which stay open.
    Sessions(Login, usize),
    /// Sessions of a user until the server refuses one.
    AllSessions(Login),
    /// A session of a user, which executed this statement and stays open.
    Held(Login, String),
    CloseSessions,
    /// A command of the program, which must succeed.
    Run(Vec<String>),
    /// Removes the journal.
    NoJournal,
    /// AWSPENDING on a version that another program wrote.
    ForeignPending,
    /// Removes AWSPENDING from the version that has it.
    NoPending,
    /// Fields of DescribeSecret.
    Describe(Map<String, Json>),
    /// The store answers calls of an action with this error.
    StoreAnswers(String, String),
    /// The store answers as before.
    StoreWorks,
    /// Another rotation, whose secret has the application's document.
    OtherRotation,
    /// Fields of the other rotation's secret.
    OtherSecret(Map<String, Json>),
    /// A step of the engine, by name.
    Engine(String),
}

/// A user that signs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Login {
    Application,
    Master,
    /// With the credentials in AWSPREVIOUS.
    Previous,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rows {
    row: Vec<Row>,
}

/// All rows, in the order of their files.
pub fn all() -> Vec<Row> {
    let folder = workspace().join("tests/product/matrix/rows");
    let files = std::fs::read_dir(folder).unwrap();
    let mut files: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    files.iter().flat_map(read).collect()
}

fn read(path: &PathBuf) -> Vec<Row> {
    let text = std::fs::read_to_string(path).unwrap();
    let file = File::from_str(&text, FileFormat::Toml);
    let built = config::Config::builder().add_source(file).build();
    let rows = built.and_then(config::Config::try_deserialize::<Json>);
    let rows = rows.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let rows: Result<Rows, _> = serde_json::from_value(rows);
    rows.unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        .row
}
