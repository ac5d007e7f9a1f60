//! Filters of ListSecrets and BatchGetSecretValue, as pure functions.
//!
//! Source: API reference, `Filter`. Values are prefixes except for `all`; case matters except for
//! `description` and `all`; a leading `!` negates a value. The reference does not define how values
//! combine. Here one positive value must match, and no negated value may match.
//!
//! # Failure modes
//! - An unknown filter is ignored, and more secrets are listed than requested. It is refused.

use super::super::refusal::{Refusal, RefusalKind};
use super::super::secrets::Details;
use super::request::Filter;

const MAX_FILTERS: usize = 10;
const MAX_VALUES: usize = 10;

/// Field that a filter compares.
#[derive(Clone, Copy)]
enum FilterField {
    Description,
    Name,
    TagKey,
    TagValue,
    /// Replica region or owning service, which no secret of this store has.
    Absent,
    All,
}

/// Valid filters, all of which must match.
pub(super) struct Filters(Vec<(FilterField, Vec<String>)>);

impl Filters {
    /// Parses filters.
    ///
    /// # Errors
    /// An unknown key, no value, or too many filters or values.
    pub(super) fn new(filters: &[Filter]) -> Result<Self, Refusal> {
        if filters.len() > MAX_FILTERS {
            return Err(invalid("At most 10 filters are allowed."));
        }
        let read = |filter: &Filter| {
            let key = match filter.key.as_str() {
                "description" => FilterField::Description,
                "name" => FilterField::Name,
                "tag-key" => FilterField::TagKey,
                "tag-value" => FilterField::TagValue,
                "primary-region" | "owning-service" => FilterField::Absent,
                "all" => FilterField::All,
                _ => {
                    return Err(invalid(
                        "A filter's Key must be one of description, name, tag-key, tag-value, \
                         primary-region, owning-service and all.",
                    ));
                }
            };
            if !(1..=MAX_VALUES).contains(&filter.values.len()) {
                return Err(invalid("A filter must have 1 to 10 values."));
            }
            Ok((key, filter.values.clone()))
        };
        filters.iter().map(read).collect::<Result<_, _>>().map(Self)
    }

    /// Whether all filters match a secret.
    pub(super) fn match_secret(&self, details: &Details) -> bool {
        self.0.iter().all(|(key, values)| {
            let (negated, positive): (Vec<&str>, Vec<&str>) = values
                .iter()
                .map(String::as_str)
                .partition(|value| value.starts_with('!'));
            let matches = |value: &str| key.matches(value, details);
            (positive.is_empty() || positive.into_iter().any(matches))
                && !negated.into_iter().any(|value| matches(&value[1..]))
        })
    }
}

fn invalid(why: &str) -> Refusal {
    Refusal::new(RefusalKind::InvalidParameter, why)
}

impl FilterField {
    fn matches(self, value: &str, details: &Details) -> bool {
        let secret = &details.secret;
        let description = || secret.description.as_deref().unwrap_or_default();
        match self {
            Self::Description => description()
                .to_lowercase()
                .starts_with(&value.to_lowercase()),
            Self::Name => secret.name.starts_with(value),
            Self::TagKey => details.tags.keys().any(|key| key.starts_with(value)),
            Self::TagValue => details.tags.values().any(|tag| tag.starts_with(value)),
            Self::Absent => false,
            Self::All => {
                let tags = details.tags.iter().flat_map(|(key, value)| [key, value]);
                let texts: Vec<String> = [secret.name.as_str(), description()]
                    .into_iter()
                    .chain(tags.map(String::as_str))
                    .map(str::to_lowercase)
                    .collect();
                let value = value.to_lowercase();
                value
                    .split_whitespace()
                    .all(|word| texts.iter().any(|text| text.contains(word)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::super::rows::SecretRow;
    use super::*;

    fn details() -> Details {
        let secret = SecretRow {
            arn: String::new(),
            name: "prod/Orders".into(),
            description: Some("The Orders database".into()),
            kms_key_id: None,
            created: 0,
            changed: 0,
            deleted: None,
            due: None,
            label_seal: None,
        };
        Details {
            secret,
            labels: BTreeMap::new(),
            versions: Vec::new(),
            tags: BTreeMap::from([("Team".to_owned(), "Payments".to_owned())]),
        }
    }

    fn filter(key: &str, values: &[&str]) -> Filter {
        Filter {
            key: key.into(),
            values: values.iter().map(|value| (*value).to_owned()).collect(),
        }
    }

    #[test]
    fn each_key_matches_as_in_the_reference() {
        for (key, values, matches) in [
            ("name", &["prod/"][..], true),
            ("name", &["Prod/"], false),
            ("name", &["Orders"], false),
            ("name", &["x", "prod"], true),
            ("name", &["!prod"], false),
            ("name", &["!x"], true),
            ("name", &["prod", "!prod/O"], false),
            ("description", &["the orders"], true),
            ("description", &["orders"], false),
            ("tag-key", &["Te"], true),
            ("tag-key", &["te"], false),
            ("tag-value", &["Pay"], true),
            ("tag-value", &["Team"], false),
            ("primary-region", &["eu"], false),
            ("owning-service", &["!rds"], true),
            ("all", &["DATABASE payments"], true),
            ("all", &["database invoices"], false),
        ] {
            let filters = Filters::new(&[filter(key, values)]).unwrap();
            assert_eq!(
                filters.match_secret(&details()),
                matches,
                "{key} {values:?}"
            );
        }
        let both = [filter("name", &["prod"]), filter("tag-key", &["x"])];
        assert!(!Filters::new(&both).unwrap().match_secret(&details()));
    }

    #[test]
    fn refuses_invalid_filters() {
        let many = vec!["x"; 11];
        for wrong in [
            filter("kms", &["x"]),
            filter("name", &[]),
            filter("name", &many),
        ] {
            assert!(Filters::new(&[wrong]).is_err());
        }
        let filters: Vec<Filter> = (0..11).map(|_| filter("name", &["x"])).collect();
        assert!(Filters::new(&filters).is_err());
    }
}
