//! One run on a world: inspect, apply, prove. Fixes of findings are applied as a DBA.

use sqlx::postgres::PgConnection;
use twinkey_core::secret::pair::Pair;
use twinkey_engines::{
    Admin, Credentials, Engine, EngineError, Finding, InspectRequest, Severity, SignInChecks,
    Target, TlsMode, render_changes,
};

use super::server::{Server, execute, new_password};
use super::world::World;

pub enum Run {
    /// The credentials of the standby.
    Rotated(Credentials),
    /// Findings that refuse a run; nothing was changed.
    Refused(Vec<Finding>),
    /// A run would change the pair.
    Checked,
    /// An error that no finding named before.
    Failed(String),
}

/// `only_check`: changes nothing.
pub async fn run(
    server: &Server,
    world: &World,
    pair: &Pair,
    current: &Credentials,
    only_check: bool,
) -> Run {
    let target = server.target(&world.databases[0]);
    let mut admin = match server.engine.admin(&target, &server.master).await {
        Ok(admin) => admin,
        Err(error) => return Run::Failed(format!("the master's sign-in: {error:?}")),
    };
    let run = rotate(server, &target, admin.as_mut(), (pair, current), only_check).await;
    admin.close().await;
    run.unwrap_or_else(Run::Failed)
}

async fn rotate(
    server: &Server,
    target: &Target,
    admin: &mut dyn Admin,
    (pair, current): (&Pair, &Credentials),
    only_check: bool,
) -> Result<Run, String> {
    if !only_check && !admin.lock(pair).await.unwrap().is_taken() {
        return Err("the lock is not taken".into());
    }
    let next = Credentials {
        username: pair.standby_user().to_owned(),
        password: new_password(),
    };
    let request = InspectRequest {
        pair,
        password: Some(&next.password),
        current: Some(&current.password),
        tls: TlsMode::Disable,
        thorough: true,
    };
    let failed = |what: &'static str| move |error: EngineError| format!("{what}: {error:?}");
    let before = admin
        .inspect(&request)
        .await
        .map_err(failed("the inspection"))?;
    let findings = before.findings.iter().chain(&before.missing);
    let refusals = findings.filter(|finding| finding.severity == Severity::Error);
    let refusals: Vec<Finding> = refusals.cloned().collect();
    if !refusals.is_empty() {
        return Ok(Run::Refused(refusals));
    }
    if only_check {
        return Ok(Run::Checked);
    }
    let changes = [before.differences.as_slice(), &before.set_password].concat();
    let rendered = render_changes(&changes, &next.password).unwrap();
    if let Err(error) = admin.apply(&rendered).await {
        let shown: Vec<String> = changes.iter().map(|c| c.statement.to_string()).collect();
        return Err(format!("{error:?}\nof {shown:#?}"));
    }
    let after = admin
        .inspect(&request)
        .await
        .map_err(failed("the second inspection"))?;
    if !after.differences.is_empty() {
        let remain = after.differences.iter();
        let remain: Vec<String> = remain
            .map(|c| format!("{:?} {}", c.kind, c.statement))
            .collect();
        return Err(format!("differences remain: [{}]", remain.join(", ")));
    }
    let checks = SignInChecks {
        role: after.session_role.as_deref(),
        ..SignInChecks::default()
    };
    let proof = server.engine.sign_in(target, &next, checks).await;
    proof.map_err(failed("the proof"))?;
    let replaced = server
        .engine
        .sign_in(target, current, SignInChecks::default())
        .await;
    replaced.map_err(failed("the replaced credentials"))?;
    Ok(Run::Rotated(next))
}

/// Executes the fix of a finding in the database that the finding names. `Err`: it is no statement,
/// or the server refused it.
pub async fn fix(
    world: &World,
    superusers: &mut [PgConnection],
    finding: &Finding,
) -> Result<(), String> {
    let fix = finding.fix.as_deref().unwrap_or_default();
    let verbs = [
        "GRANT ",
        "ALTER ",
        "REVOKE ",
        "CREATE ",
        "DROP ",
        "DO ",
        "REASSIGN ",
    ];
    if !verbs.iter().any(|verb| fix.starts_with(verb)) {
        return Err(format!("{fix:?} is no statement"));
    }
    let other = finding
        .what
        .contains(&format!("in {:?}", world.databases[1]));
    let connection = &mut superusers[usize::from(other)];
    execute(connection, fix)
        .await
        .map_err(|error| format!("{fix}: {error}"))
}
