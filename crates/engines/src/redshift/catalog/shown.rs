//! Rows of SHOW GRANTS. Pure.
//!
//! # Failure modes
//! - Columns differ between versions of Redshift. They are found by their names, and a row without
//!   a necessary column is an error.

use crate::redshift::api::{Row, Table, UnexpectedColumn};

/// One grant to a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::redshift) struct ShownGrant {
    pub schema: String,
    pub object: String,
    /// In upper case, for example `TABLE`.
    pub object_type: String,
    pub privilege: String,
    pub option: bool,
    /// The user that made the grant, where the server shows it.
    pub grantor: Option<String>,
}

/// Reads the result of [`super::queries::show_grants`].
pub(in crate::redshift) fn read(table: &Table) -> Result<Vec<ShownGrant>, UnexpectedColumn> {
    let at = |name: &str| table.columns.iter().position(|column| column == name);
    let text = |row: &Row, name: &str| -> Result<String, UnexpectedColumn> {
        let cell = at(name)
            .map(|column| row.optional_text(column))
            .transpose()?;
        Ok(cell.flatten().unwrap_or_default().trim_end().to_owned())
    };
    let needed = |row: &Row, name: &str| row.text(at(name).unwrap_or(table.columns.len()));
    let shown = |row: &Row| {
        Ok(ShownGrant {
            schema: text(row, "schema_name")?,
            object: text(row, "object_name")?,
            object_type: needed(row, "object_type")?.to_ascii_uppercase(),
            privilege: needed(row, "privilege_type")?.trim().to_ascii_uppercase(),
            option: at("admin_option").map_or(Ok(false), |column| row.boolean(column))?,
            grantor: Some(text(row, "grantor_name")?).filter(|name| !name.is_empty()),
        })
    };
    table.rows.iter().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use aws_sdk_redshiftdata::types::Field;

    use super::*;

    fn table(columns: &[&str], cells: &[&str]) -> Table {
        let cells = cells.iter().map(|cell| Field::StringValue((*cell).into()));
        let cells: Vec<Field> = cells.collect();
        Table {
            columns: columns.iter().map(|name| (*name).to_owned()).collect(),
            rows: vec![Row::new(&cells)],
        }
    }

    #[test]
    fn columns_are_found_by_name() {
        let columns = [
            "privilege_type",
            "object_type",
            "object_name",
            "grantor_name",
        ];
        let shown = read(&table(&columns, &["truncate", "table", "t", "dba"])).unwrap();
        assert_eq!(shown[0].privilege, "TRUNCATE");
        assert_eq!(shown[0].object_type, "TABLE");
        assert_eq!((&*shown[0].schema, shown[0].option), ("", false));
        assert_eq!(shown[0].grantor.as_deref(), Some("dba"));
    }

    #[test]
    fn a_result_without_privileges_is_an_error() {
        assert!(read(&table(&["object_type"], &["TABLE"])).is_err());
    }
}
