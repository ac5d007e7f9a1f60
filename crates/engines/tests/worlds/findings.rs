//! Findings of an inspection.

use twinkey_engines::{Finding, Inspection, Severity};

/// The findings for which a run is refused.
pub fn errors(inspection: &Inspection) -> Vec<&Finding> {
    let all = inspection.findings.iter().chain(&inspection.missing);
    all.filter(|finding| finding.severity == Severity::Error)
        .collect()
}
