//! Result rows of the Data API with typed cells.
//!
//! Conversions are lenient, because Redshift returns some numbers as text and some booleans as `t`.

use aws_sdk_redshiftdata::types::Field;

use crate::EngineError;

/// One row of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::redshift) struct Row(Vec<Cell>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Cell {
    Null,
    Text(String),
    Number(i64),
    Boolean(bool),
    Other,
}

/// A column of another type than expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::redshift) struct UnexpectedColumn {
    pub column: usize,
    pub expected: &'static str,
}

/// Rows with the names of their columns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::redshift) struct Table {
    pub columns: Vec<String>,
    pub rows: Vec<Row>,
}

impl Row {
    pub(in crate::redshift) fn new(fields: &[Field]) -> Self {
        Self(fields.iter().map(Cell::new).collect())
    }

    /// Text, or `None` for NULL.
    pub(in crate::redshift) fn optional_text(
        &self,
        column: usize,
    ) -> Result<Option<String>, UnexpectedColumn> {
        match self.0.get(column) {
            Some(Cell::Null) => Ok(None),
            Some(Cell::Text(text)) => Ok(Some(text.clone())),
            Some(Cell::Number(number)) => Ok(Some(number.to_string())),
            Some(Cell::Boolean(value)) => Ok(Some(value.to_string())),
            Some(Cell::Other) | None => Err(UnexpectedColumn {
                column,
                expected: "text",
            }),
        }
    }

    pub(in crate::redshift) fn text(&self, column: usize) -> Result<String, UnexpectedColumn> {
        self.optional_text(column)?.ok_or(UnexpectedColumn {
            column,
            expected: "text",
        })
    }

    /// A boolean; NULL is false.
    pub(in crate::redshift) fn boolean(&self, column: usize) -> Result<bool, UnexpectedColumn> {
        match self.0.get(column) {
            Some(Cell::Boolean(value)) => Ok(*value),
            Some(Cell::Number(number)) => Ok(*number != 0),
            Some(Cell::Null) => Ok(false),
            Some(Cell::Text(text)) if matches!(text.trim(), "t" | "true" | "True" | "1") => {
                Ok(true)
            }
            Some(Cell::Text(text)) if matches!(text.trim(), "f" | "false" | "False" | "0" | "") => {
                Ok(false)
            }
            _ => Err(UnexpectedColumn {
                column,
                expected: "a boolean",
            }),
        }
    }

    /// An integer, or `None` for NULL and for words such as `UNLIMITED`.
    pub(in crate::redshift) fn number(
        &self,
        column: usize,
    ) -> Result<Option<i64>, UnexpectedColumn> {
        Ok(self
            .optional_text(column)?
            .and_then(|text| text.trim().parse().ok()))
    }
}

impl From<UnexpectedColumn> for EngineError {
    fn from(unexpected: UnexpectedColumn) -> Self {
        Self::Refused {
            what: "reading the cluster's views".into(),
            reason: format!(
                "column {} of a result is not {}",
                unexpected.column + 1,
                unexpected.expected
            ),
            hint: "check that the endpoint is a Redshift cluster or workgroup".into(),
        }
    }
}

impl Cell {
    fn new(field: &Field) -> Self {
        match field {
            Field::IsNull(_) => Self::Null,
            Field::StringValue(text) => Self::Text(text.clone()),
            Field::LongValue(number) => Self::Number(*number),
            Field::BooleanValue(value) => Self::Boolean(*value),
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_converted_leniently() {
        let row = Row::new(&[
            Field::StringValue("UNLIMITED".into()),
            Field::LongValue(7),
            Field::BooleanValue(true),
            Field::IsNull(true),
            Field::StringValue("f".into()),
            Field::DoubleValue(1.5),
        ]);
        assert_eq!(row.text(0).unwrap(), "UNLIMITED");
        assert_eq!(row.number(0).unwrap(), None);
        assert_eq!(row.number(1).unwrap(), Some(7));
        assert!(row.boolean(2).unwrap());
        assert_eq!(row.optional_text(3).unwrap(), None);
        assert!(!row.boolean(4).unwrap() && !row.boolean(3).unwrap());
        assert!(row.text(3).is_err() && row.text(5).is_err() && row.text(6).is_err());
    }
}
