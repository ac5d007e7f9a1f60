//! Settings of `[[discover]]`.
//!
//! # Failure modes
//! - A tag leads to the master of another team. The value of a placeholder has no slash, and the name that
//!   results must match `masters` ([`discovery`](crate::discovery) checks that).
//! - A tag's value contains a placeholder. Placeholders are replaced once, and braces are refused.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use wildmatch::WildMatch;

use super::{Rotation, StoreSettings};
use crate::config::read::RotationTemplate;
use twinkey_core::printable::{NAME, printable};

/// Prefix of the tags that set a key of a rotation.
pub(in crate::config) const TAG_PREFIX: &str = "twinkey:";
/// Length limit of a tag's value that is used; AWS allows 256.
const MAX_VALUE: usize = 256;

/// `[[discover]]`
#[derive(Debug, Clone)]
pub struct Discover {
    /// `None` for `[secrets]`.
    pub store: Option<Arc<StoreSettings>>,
    /// The tags that a secret must have, with their values.
    pub tags: BTreeMap<String, String>,
    /// Patterns, one of which a secret's name must match; empty for any name.
    pub names: Vec<String>,
    /// Patterns that a secret's name must not match.
    pub exclude: Vec<String>,
    /// The time between two listings.
    pub every: Duration,
    /// Keys of a rotation that tags `twinkey:KEY` of a secret set.
    pub tags_may_set: Vec<String>,
    /// `None` for `masterarn` of the secret.
    pub master_secret: Option<MasterTemplate>,
    /// The settings that its rotations share. Name, secret and master are samples.
    pub shared: Box<Rotation>,
    pub(in crate::config) template: RotationTemplate,
}

impl Discover {
    /// The name of its store; `None` for `[secrets]`.
    #[must_use]
    pub fn store_name(&self) -> Option<&str> {
        self.store.as_deref().map(|store| &*store.name)
    }

    /// The keys that the tags of a secret set, with their values.
    ///
    /// # Errors
    /// A sentence about the secret: a tag sets a key that `tags_may_set` does not have.
    pub fn overrides<'a>(
        &self,
        tags: &'a BTreeMap<String, String>,
    ) -> Result<BTreeMap<&'a str, &'a str>, String> {
        let mut overrides = BTreeMap::new();
        for (tag, value) in tags {
            let Some(key) = tag.strip_prefix(TAG_PREFIX) else {
                continue;
            };
            if !self.tags_may_set.iter().any(|own| own == key) {
                return Err(format!(
                    "its tag {:?} sets a key that `tags_may_set` of its [[discover]] does not have",
                    printable(tag, NAME)
                ));
            }
            if value.len() > MAX_VALUE {
                return Err(format!(
                    "its tag {tag:?} is longer than {MAX_VALUE} characters"
                ));
            }
            overrides.insert(key, value.as_str());
        }
        Ok(overrides)
    }

    /// The rotation of a secret, as if it were a `[[rotation]]` with the keys of this table.
    ///
    /// # Errors
    /// A sentence about the secret: its settings are not valid.
    pub fn rotation(
        &self,
        name: &str,
        secret: &str,
        master_secret: Option<&str>,
        overrides: &BTreeMap<&str, &str>,
    ) -> Result<Rotation, String> {
        self.template
            .rotation(name, secret, master_secret, overrides)
    }

    /// The keys of this table and those that tags set, as a `[[rotation]]` in TOML.
    ///
    /// # Errors
    /// A value that TOML cannot express.
    pub fn export(
        &self,
        name: &str,
        secret: &str,
        master_secret: Option<&str>,
        overrides: &BTreeMap<&str, &str>,
    ) -> Result<String, String> {
        self.template.export(name, secret, master_secret, overrides)
    }
}

/// `master_secret` of `[[discover]]`, which may hold `{name}` and `{tag:KEY}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MasterTemplate(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    /// The name of the secret.
    Name,
    /// The value of a tag of the secret.
    Tag(String),
}

/// Why a text is no [`MasterTemplate`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateError;

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("has braces that are neither {name} nor {tag:KEY}")
    }
}

impl MasterTemplate {
    /// Parses the text of the config.
    ///
    /// # Errors
    /// [`TemplateError`] for braces of another form.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (inside, after) = after.split_once('}').ok_or(TemplateError)?;
            if before.contains('}') {
                return Err(TemplateError);
            }
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            parts.push(match inside.strip_prefix("tag:") {
                Some(key) if !key.is_empty() && !key.contains('{') => Part::Tag(key.to_owned()),
                None if inside == "name" => Part::Name,
                _ => return Err(TemplateError),
            });
            rest = after;
        }
        if rest.contains('}') {
            return Err(TemplateError);
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self(parts))
    }

    /// Whether the name depends on the secret.
    #[must_use]
    pub fn has_placeholders(&self) -> bool {
        self.fixed().is_none()
    }

    /// The name that does not depend on the secret.
    #[must_use]
    pub fn fixed(&self) -> Option<&str> {
        match &self.0[..] {
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Whether placeholders can make it this name.
    #[must_use]
    pub fn can_be(&self, name: &str) -> bool {
        // The value of a tag has no slash.
        let tags_only = !self.0.contains(&Part::Name);
        let pattern = self.pattern();
        let slashes = |text: &str| text.matches('/').count();
        self.has_placeholders()
            && WildMatch::new(&pattern).matches(name)
            && (!tags_only || slashes(&pattern) == slashes(name))
    }

    /// The name with `*` for each placeholder.
    #[must_use]
    pub fn pattern(&self) -> String {
        let part = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Name | Part::Tag(_) => "*".into(),
        };
        self.0.iter().map(part).collect()
    }

    /// The name or ARN for a secret.
    ///
    /// # Errors
    /// A sentence about the secret: it has no such tag, or a value has characters that no part of a
    /// secret's name has.
    pub fn fill(&self, name: &str, tags: &BTreeMap<String, String>) -> Result<String, String> {
        let mut filled = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => filled += text,
                Part::Name if is_of(name, "/_+=.@-!") => filled += name,
                Part::Name => {
                    return Err("its name has characters that AWS does not allow".into());
                }
                Part::Tag(key) => {
                    let value = tags.get(key).ok_or_else(|| {
                        format!("it has no tag {key:?}, which `master_secret` uses")
                    })?;
                    if !is_of(value, "_+=.@-") {
                        return Err(format!(
                            "the value of its tag {key:?} is not only letters, digits and _+=.@-, so `master_secret` cannot use it"
                        ));
                    }
                    filled += value;
                }
            }
        }
        Ok(filled)
    }
}

/// Whether a text is not empty, and only letters, digits and these characters.
fn is_of(text: &str, others: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || others.contains(c);
    (1..=512).contains(&text.len()) && text.chars().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(value: &str) -> BTreeMap<String, String> {
        BTreeMap::from([("cluster".to_owned(), value.to_owned())])
    }

    #[test]
    fn placeholders_are_replaced_once() {
        let template = MasterTemplate::parse("rds/{tag:cluster}/{name}/master").unwrap();
        assert!(template.has_placeholders());
        let filled = template.fill("prod/orders", &tags("shop-1"));
        assert_eq!(filled.unwrap(), "rds/shop-1/prod/orders/master");
        let plain = MasterTemplate::parse("prod/master").unwrap();
        assert!(!plain.has_placeholders());
        assert_eq!(plain.fill("x", &tags("")).unwrap(), "prod/master");
        assert_eq!(plain.fixed(), Some("prod/master"));
        assert!(!plain.can_be("prod/master"), "a tag does not decide it");
        let by_tag = MasterTemplate::parse("rds/{tag:cluster}/master").unwrap();
        assert!(by_tag.can_be("rds/shop-1/master"));
        assert!(!by_tag.can_be("rds/shop/1/master"), "a value has no slash");
        assert!(!by_tag.can_be("rds/master"));
    }

    #[test]
    fn odd_values_are_refused() {
        let template = MasterTemplate::parse("rds/{tag:cluster}/master").unwrap();
        for value in [
            "",
            "a/b",
            "../x",
            "{name}",
            "{tag:cluster}",
            "a\nb",
            "a b",
            "ü",
            "arn:aws",
            "*",
        ] {
            assert!(
                template.fill("prod/orders", &tags(value)).is_err(),
                "{value:?}"
            );
        }
        let missing = template.fill("prod/orders", &BTreeMap::new()).unwrap_err();
        assert!(missing.contains("has no tag \"cluster\""), "{missing}");
        let by_name = MasterTemplate::parse("{name}-master").unwrap();
        assert!(by_name.fill("a{name}", &BTreeMap::new()).is_err());
    }

    #[test]
    fn other_braces_are_no_template() {
        for text in [
            "{",
            "}",
            "{}",
            "{tag}",
            "{tag:}",
            "{nam}",
            "a}b{name}",
            "{name",
            "{tag:{name}}",
            "{{name}}",
        ] {
            assert_eq!(MasterTemplate::parse(text), Err(TemplateError), "{text}");
        }
    }
}
