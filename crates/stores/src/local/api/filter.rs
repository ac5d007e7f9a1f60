//! Filters of ListSecrets and BatchGetSecretValue, as pure functions.
//!
//! Sources: API reference, `Filter`; user guide, "Find secrets in Secrets Manager". A value of
//! `name`, `tag-key` or `tag-value` is a prefix, and case matters. The words of a value of
//! `description` or `all` must all be in one text; see [`super::words`]. A leading `!` negates a
//! value. The reference does not define how values combine. Here one positive value must match, and
//! no negated value may match.
//!
//! # Failure modes
//! - An unknown filter is ignored, and more secrets are listed than requested. It is refused.

use super::super::constraints::{not_one_of, only, within, within_length};
use super::super::refusal::{Refusal, RefusalKind};
use super::super::secrets::Details;
use super::request::Filter;
use super::words::WordSearch;

const MAX_FILTERS: usize = 10;
const MAX_VALUES: usize = 10;
const MAX_VALUE: usize = 512;
/// The reference's pattern of a value, and the punctuation in it.
const VALUE_PATTERN: &str = r"^\!?[a-zA-Z0-9 :_@\/\+\=\.\-\!]*$";
const VALUE_PUNCTUATION: &str = " :_@/+=.-!";

/// Field that a filter compares.
#[derive(Clone, Copy)]
enum FilterField {
    Description,
    Name,
    TagKey,
    TagValue,
    PrimaryRegion,
    OwningService,
    All,
}

impl FilterField {
    /// All fields by key, in the order of the reference.
    const KEYS: [(&str, Self); 7] = [
        ("description", Self::Description),
        ("name", Self::Name),
        ("tag-key", Self::TagKey),
        ("tag-value", Self::TagValue),
        ("primary-region", Self::PrimaryRegion),
        ("owning-service", Self::OwningService),
        ("all", Self::All),
    ];

    fn named(key: &str) -> Option<Self> {
        let mut keys = Self::KEYS.into_iter();
        keys.find_map(|(name, field)| (name == key).then_some(field))
    }

    fn matches(self, value: &FilterValue, details: &Details) -> bool {
        let secret = &details.secret;
        let is_prefix = |text: &str| text.starts_with(&value.text);
        let has_words = |text: &str| value.words.matches(text);
        let description = || secret.description.as_deref().unwrap_or_default();
        match self {
            Self::Description => has_words(description()),
            Self::Name => is_prefix(&secret.name),
            Self::TagKey => details.tags.keys().any(|key| is_prefix(key)),
            Self::TagValue => details.tags.values().any(|tag| is_prefix(tag)),
            // No secret of this store is a replica, or is owned by a service.
            Self::PrimaryRegion | Self::OwningService => false,
            Self::All => {
                let mut tags = details.tags.iter();
                has_words(&secret.name)
                    || has_words(description())
                    || tags.any(|(key, tag)| has_words(key) || has_words(tag))
            }
        }
    }
}

/// A value of a filter.
struct FilterValue {
    /// Without the leading `!`.
    text: String,
    words: WordSearch,
    negated: bool,
}

impl FilterValue {
    fn new(value: &str) -> Self {
        let negated = value.strip_prefix('!');
        let text = negated.unwrap_or(value);
        Self {
            text: text.to_owned(),
            words: WordSearch::new(text),
            negated: negated.is_some(),
        }
    }
}

/// A field and the values that it is compared with.
struct FieldFilter {
    field: FilterField,
    values: Vec<FilterValue>,
}

impl FieldFilter {
    /// Parses the filter with this number, from 1.
    fn new(number: usize, filter: &Filter) -> Result<Self, Refusal> {
        let member = |name: &str| format!("filters.{number}.member.{name}");
        let Some(key) = &filter.key else {
            return Err(invalid("Invalid filter key".to_owned()));
        };
        let field = FilterField::named(key).ok_or_else(|| {
            let names = FilterField::KEYS.map(|(name, _)| name);
            not_one_of(&member("key"), key, &names)
        })?;
        let Some(values) = &filter.values else {
            return Err(invalid(format!("Invalid filter values for key: {key}")));
        };
        let values_member = member("values");
        within_length(&values_member, values.len(), 1..=MAX_VALUES)?;
        for value in values {
            within(&values_member, Some(value), 0..=MAX_VALUE)?;
            let allowed = |c: char| c.is_ascii_alphanumeric() || VALUE_PUNCTUATION.contains(c);
            only(&values_member, value, VALUE_PATTERN, allowed)?;
        }
        let values = values.iter().map(|value| FilterValue::new(value)).collect();
        Ok(Self { field, values })
    }

    fn matches(&self, details: &Details) -> bool {
        let (negated, positive): (Vec<&FilterValue>, Vec<&FilterValue>) =
            self.values.iter().partition(|value| value.negated);
        let matches = |value: &FilterValue| self.field.matches(value, details);
        (positive.is_empty() || positive.into_iter().any(matches))
            && !negated.into_iter().any(matches)
    }
}

/// Valid filters, all of which must match.
pub(super) struct Filters(Vec<FieldFilter>);

impl Filters {
    /// Parses filters.
    ///
    /// # Errors
    /// InvalidParameterException without a key or values; ValidationException for an unknown key,
    /// and for too many or malformed values.
    pub(super) fn new(filters: &[Filter]) -> Result<Self, Refusal> {
        within_length("filters", filters.len(), 0..=MAX_FILTERS)?;
        let numbered = filters.iter().enumerate();
        let parsed = numbered.map(|(n, filter)| FieldFilter::new(n + 1, filter));
        parsed.collect::<Result<_, _>>().map(Self)
    }

    /// Whether all filters match a secret.
    pub(super) fn match_secret(&self, details: &Details) -> bool {
        self.0.iter().all(|filter| filter.matches(details))
    }
}

fn invalid(why: String) -> Refusal {
    Refusal::new(RefusalKind::InvalidParameter, why)
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
            rotation_function: None,
            rotation_enabled: false,
            rotated: None,
            rotated_version: None,
            accessed: None,
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
            key: Some(key.into()),
            values: Some(values.iter().map(|value| (*value).to_owned()).collect()),
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
            ("description", &["database orders"], true),
            ("description", &["data"], true),
            ("description", &["base"], false),
            ("description", &["!orders"], false),
            ("description", &["!payments"], true),
            ("tag-key", &["Te"], true),
            ("tag-key", &["te"], false),
            ("tag-value", &["Pay"], true),
            ("tag-value", &["Team"], false),
            ("primary-region", &["eu"], false),
            ("owning-service", &["!rds"], true),
            ("owning-service", &[""], false),
            ("all", &["DATABASE"], true),
            ("all", &["pay"], true),
            ("all", &["team"], true),
            ("all", &["prod_orders"], true),
            ("all", &["ments"], false),
            ("all", &["database payments"], false),
            ("all", &["+"], false),
            ("all", &["!+"], true),
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
    fn each_invalid_filter_has_the_error_of_aws() {
        use RefusalKind::{InvalidParameter, Validation};
        let many = vec!["x"; 11];
        let without = |key: Option<&str>, values: Option<&[&str]>| Filter {
            key: key.map(str::to_owned),
            values: values.map(|values| values.iter().map(|v| (*v).to_owned()).collect()),
        };
        for (wrong, kind, words) in [
            (
                without(None, Some(&["x"])),
                InvalidParameter,
                "Invalid filter key",
            ),
            (
                without(Some("name"), None),
                InvalidParameter,
                "Invalid filter values for key: name",
            ),
            (
                filter("kms", &["x"]),
                Validation,
                "Value 'kms' at 'filters.1.member.key' failed to satisfy constraint: Member must \
                 satisfy enum value set: [description, name, ",
            ),
            (filter("name", &[]), Validation, "'filters.1.member.values'"),
            (filter("name", &many), Validation, "equal to 10"),
            (
                filter("name", &[&*"x".repeat(513)]),
                Validation,
                "equal to 512",
            ),
            (filter("name", &["x#"]), Validation, "regular expression"),
        ] {
            let refusal = Filters::new(&[wrong]).err().unwrap();
            assert_eq!(refusal.kind, kind, "{words}");
            assert!(refusal.message.contains(words), "{}", refusal.message);
        }
        assert!(Filters::new(&[filter("name", &["!a Z0:_@/+=.-!"])]).is_ok());
        let filters: Vec<Filter> = (0..11).map(|_| filter("name", &["x"])).collect();
        assert_eq!(Filters::new(&filters).err().unwrap().kind, Validation);
    }
}
