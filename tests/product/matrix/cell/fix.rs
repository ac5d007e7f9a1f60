//! The fix of a row, as the printed hint describes it.

use serde_json::Value as Json;
use twinkey_stores::stage;

use super::super::row::{Fix, Row};
use super::super::{MatrixEngine, hint};
use super::Cell;

impl<E: MatrixEngine> Cell<'_, E> {
    /// Carries out the fix of a row, and returns its description.
    pub async fn mend(&mut self, row: &Row, hint: &str) -> Result<String, String> {
        if !hint.contains(&row.hint) {
            return Err(format!("the hint does not contain {:?}: {hint}", row.hint));
        }
        let mut hint = hint.to_owned();
        for (from, to) in &row.open {
            if !hint.contains(from) {
                return Err(format!("{from:?} is not in the hint: {hint}"));
            }
            let current = self.read(&self.secret(), stage::CURRENT).await;
            let current = current.map(|(document, _)| document["password"].clone());
            let current = current.as_ref().and_then(Json::as_str).unwrap_or_default();
            let to = self.filled(to).replace("{current}", current);
            hint = hint.replace(from, &to);
        }
        let mut carried_out = Vec::new();
        match row.fix {
            Fix::Statements => {
                for statement in hint::statements(&hint) {
                    let done = self.engine.execute(&self.names.database, &statement).await;
                    done.map_err(|error| format!("the hint's {statement}: {error}"))?;
                    carried_out.push(statement);
                }
            }
            Fix::Keys => {
                for (key, value) in hint::keys(&hint) {
                    self.set(&key, Some(&value));
                    carried_out.push(format!("{key} = {value}"));
                }
            }
            Fix::Steps => carried_out.push(format!("({})", row.hint)),
        }
        if carried_out.is_empty() {
            return Err(format!("the hint has no statement and no key: {hint}"));
        }
        for step in &row.steps {
            self.step(step).await;
        }
        Ok(carried_out.join("; "))
    }
}
