//! What the Data API gives back, decoded: typed cells, leniently where Redshift's types are not the
//! ones that one would think of (numbers as text, truth as `t`).

use aws_sdk_redshiftdata::types::Field;

/// One row of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row(Vec<Cell>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Cell {
    Null,
    Text(String),
    Number(i64),
    Truth(bool),
    Other,
}

/// A column is not what was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Strange {
    pub column: usize,
    pub wanted: &'static str,
}

impl Row {
    pub(super) fn new(fields: &[Field]) -> Self {
        Self(fields.iter().map(Cell::new).collect())
    }

    /// A text, or `None` for NULL.
    pub(super) fn maybe(&self, column: usize) -> Result<Option<String>, Strange> {
        match self.0.get(column) {
            Some(Cell::Null) => Ok(None),
            Some(Cell::Text(text)) => Ok(Some(text.clone())),
            Some(Cell::Number(number)) => Ok(Some(number.to_string())),
            Some(Cell::Truth(truth)) => Ok(Some(truth.to_string())),
            Some(Cell::Other) | None => Err(Strange {
                column,
                wanted: "a text",
            }),
        }
    }

    pub(super) fn text(&self, column: usize) -> Result<String, Strange> {
        self.maybe(column)?.ok_or(Strange {
            column,
            wanted: "a text",
        })
    }

    /// A truth; NULL is none.
    pub(super) fn truth(&self, column: usize) -> Result<bool, Strange> {
        match self.0.get(column) {
            Some(Cell::Truth(truth)) => Ok(*truth),
            Some(Cell::Number(number)) => Ok(*number != 0),
            Some(Cell::Null) => Ok(false),
            Some(Cell::Text(text)) if matches!(text.trim(), "t" | "true" | "True" | "1") => {
                Ok(true)
            }
            Some(Cell::Text(text)) if matches!(text.trim(), "f" | "false" | "False" | "0" | "") => {
                Ok(false)
            }
            _ => Err(Strange {
                column,
                wanted: "true or false",
            }),
        }
    }

    /// A whole number, or `None` for NULL and for words such as `UNLIMITED`.
    pub(super) fn number(&self, column: usize) -> Result<Option<i64>, Strange> {
        Ok(self
            .maybe(column)?
            .and_then(|text| text.trim().parse().ok()))
    }
}

impl Cell {
    fn new(field: &Field) -> Self {
        match field {
            Field::IsNull(_) => Self::Null,
            Field::StringValue(text) => Self::Text(text.clone()),
            Field::LongValue(number) => Self::Number(*number),
            Field::BooleanValue(truth) => Self::Truth(*truth),
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_read_by_what_they_mean() {
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
        assert!(row.truth(2).unwrap());
        assert_eq!(row.maybe(3).unwrap(), None);
        assert!(!row.truth(4).unwrap() && !row.truth(3).unwrap());
        assert!(row.text(3).is_err() && row.text(5).is_err() && row.text(6).is_err());
    }
}
