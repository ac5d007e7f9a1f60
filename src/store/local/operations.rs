//! Secrets Manager's actions over the file: each one transaction, each with AWS's answer or refusal.
//!
//! What can go wrong, and what prevents it:
//! - an action is half done: it commits at its end or not at all;
//! - a value is kept longer than promised, or a labelled one is lost: `labels::prunable` decides.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretBox, SecretString};

use super::labels::{self, Labels};
use super::naming::{check_name, check_token, new_arn};
use super::refusal::{Kind, Refusal};
use super::rows::{self, SecretRow, VersionRow};
use super::sealed::Belongs;
use super::{LocalStore, Sensitive};
use crate::store::{VersionId, stage};

/// The newest versions that are kept; labelled ones are kept whatever their age.
const KEPT_VERSIONS: usize = 20;
/// AWS's limit for a value, in bytes.
const MOST_BYTES: usize = 65_536;
const MOST_TAGS: usize = 50;
const DAY_MS: i64 = 86_400_000;

/// What a version holds.
#[derive(Debug)]
pub enum Value {
    /// SecretString
    Text(Sensitive),
    /// SecretBinary
    Binary(SecretBox<Vec<u8>>),
}

impl Value {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.expose_secret().as_bytes(),
            Self::Binary(bytes) => bytes.expose_secret(),
        }
    }
}

/// A version that was read.
#[derive(Debug)]
pub(super) struct Found {
    pub secret: SecretRow,
    pub id: VersionId,
    pub value: Value,
    pub stages: Vec<String>,
    /// Milliseconds since 1970.
    pub created: i64,
}

/// A secret without its values.
#[derive(Debug)]
pub(super) struct Details {
    pub secret: SecretRow,
    pub labels: Labels,
    /// Newest first, with the time in milliseconds since 1970.
    pub versions: Vec<(VersionId, i64)>,
    pub tags: BTreeMap<String, String>,
}

/// What CreateSecret takes.
pub(super) struct NewSecret<'a> {
    pub name: &'a str,
    pub description: Option<String>,
    pub tags: BTreeMap<String, String>,
    pub first: Option<(&'a VersionId, &'a Value)>,
}

impl LocalStore {
    pub(super) async fn create_secret(&self, new: NewSecret<'_>) -> Result<SecretRow, Refusal> {
        check_name(new.name)?;
        check_tags(&new.tags)?;
        let mut tx = self.write().await?;
        if let Some(there) = rows::find(&mut tx, new.name).await? {
            if there.deleted.is_some() {
                return Err(Refusal::new(
                    Kind::InvalidRequest,
                    "You can't create this secret because a secret with this name is already \
                     scheduled for deletion.",
                ));
            }
            // The same request again is answered as the first one was.
            if let Some((id, value)) = new.first
                && let Some(row) = rows::version(&mut tx, &there.arn, id).await?
                && self.holds(&there, &row, value)?
            {
                return Ok(there);
            }
            return Err(Refusal::new(
                Kind::ResourceExists,
                format!(
                    "The operation failed because the secret {} already exists.",
                    new.name
                ),
            ));
        }
        let now = rows::now(&mut tx).await?;
        let secret = SecretRow {
            arn: new_arn(new.name)?,
            name: new.name.to_owned(),
            description: new.description,
            created: now,
            changed: now,
            deleted: None,
            due: None,
        };
        rows::insert_secret(&mut tx, &secret).await?;
        rows::set_tags(&mut tx, &secret.arn, &new.tags).await?;
        if let Some((id, value)) = new.first {
            self.add_version(&mut tx, &secret, id, value, None).await?;
        }
        tx.commit().await?;
        Ok(secret)
    }

    /// PutSecretValue. The same value under the same id changes nothing, labels included. Returns
    /// the labels that the version has then.
    pub(super) async fn put_value(
        &self,
        secret: &str,
        id: &VersionId,
        value: &Value,
        stages: Option<&[String]>,
    ) -> Result<(SecretRow, Vec<String>), Refusal> {
        let mut tx = self.write().await?;
        let row = live(rows::find(&mut tx, secret).await?)?;
        let labels = self.add_version(&mut tx, &row, id, value, stages).await?;
        tx.commit().await?;
        Ok((row, stages_of(&labels, id)))
    }

    /// UpdateSecret: a new description, a new AWSCURRENT value, or both.
    pub(super) async fn update_secret(
        &self,
        secret: &str,
        description: Option<String>,
        next: Option<(&VersionId, &Value)>,
    ) -> Result<SecretRow, Refusal> {
        let mut tx = self.write().await?;
        let mut row = live(rows::find(&mut tx, secret).await?)?;
        if let Some((id, value)) = next {
            self.add_version(&mut tx, &row, id, value, None).await?;
        }
        if description.is_some() {
            row.description = description;
        }
        touch(&mut tx, &mut row).await?;
        tx.commit().await?;
        Ok(row)
    }

    pub(super) async fn read_value(
        &self,
        secret: &str,
        version: Option<&VersionId>,
        label: Option<&str>,
    ) -> Result<Found, Refusal> {
        let mut tx = self.readers.begin().await?;
        let row = live(rows::find(&mut tx, secret).await?)?;
        let labels = rows::labels(&mut tx, &row.arn).await?;
        let not_found = |what: String| {
            Refusal::new(
                Kind::ResourceNotFound,
                format!("Secrets Manager can't find the specified secret value for {what}"),
            )
        };
        let id = if let Some(id) = version {
            if let Some(label) = label
                && labels.get(id).is_some_and(|on_it| !on_it.contains(label))
            {
                return Err(Refusal::new(
                    Kind::InvalidRequest,
                    "You provided a VersionStage that is not associated to the provided VersionId.",
                ));
            }
            id.clone()
        } else {
            let label = label.unwrap_or(stage::CURRENT);
            labels::holder(&labels, label)
                .ok_or_else(|| not_found(format!("staging label: {label}")))?
                .clone()
        };
        let found = rows::version(&mut tx, &row.arn, &id)
            .await?
            .ok_or_else(|| not_found(format!("VersionId: {id}")))?;
        Ok(Found {
            value: self.unseal(&row, &found)?,
            stages: stages_of(&labels, &id),
            created: found.created,
            secret: row,
            id,
        })
    }

    pub(super) async fn details(&self, secret: &str) -> Result<Details, Refusal> {
        let mut tx = self.readers.begin().await?;
        let row = rows::find(&mut tx, secret).await?;
        details_of(&mut tx, row.ok_or_else(Refusal::no_secret)?).await
    }

    /// Every secret, those marked for deletion included, by name.
    pub(super) async fn all_details(&self) -> Result<Vec<Details>, Refusal> {
        let mut tx = self.readers.begin().await?;
        let mut all = Vec::new();
        for row in rows::all(&mut tx).await? {
            all.push(details_of(&mut tx, row).await?);
        }
        Ok(all)
    }

    pub(super) async fn update_stage(
        &self,
        secret: &str,
        label: &str,
        from: Option<&VersionId>,
        to: Option<&VersionId>,
    ) -> Result<SecretRow, Refusal> {
        let mut tx = self.write().await?;
        let mut row = live(rows::find(&mut tx, secret).await?)?;
        let before = rows::labels(&mut tx, &row.arn).await?;
        let after = labels::move_stage(&before, label, from, to)?;
        rows::set_labels(&mut tx, &row.arn, &after).await?;
        touch(&mut tx, &mut row).await?;
        tx.commit().await?;
        Ok(row)
    }

    /// DeleteSecret: marks it for `days`, or removes it at once where they are absent.
    pub(super) async fn delete(
        &self,
        secret: &str,
        days: Option<i64>,
    ) -> Result<SecretRow, Refusal> {
        let mut tx = self.write().await?;
        let mut row = rows::find(&mut tx, secret)
            .await?
            .ok_or_else(Refusal::no_secret)?;
        let now = rows::now(&mut tx).await?;
        match days {
            None => rows::delete_secret(&mut tx, &row.arn).await?,
            Some(_) if row.deleted.is_some() => return Err(Refusal::marked_deleted()),
            Some(days) => {
                row.due = Some(now + days * DAY_MS);
                row.deleted = Some(now);
                rows::update_secret(&mut tx, &row).await?;
            }
        }
        row.due = row.due.or(Some(now));
        tx.commit().await?;
        Ok(row)
    }

    pub(super) async fn restore(&self, secret: &str) -> Result<SecretRow, Refusal> {
        let mut tx = self.write().await?;
        let mut row = rows::find(&mut tx, secret)
            .await?
            .ok_or_else(Refusal::no_secret)?;
        (row.deleted, row.due) = (None, None);
        rows::update_secret(&mut tx, &row).await?;
        tx.commit().await?;
        Ok(row)
    }

    /// TagResource and UntagResource.
    pub(super) async fn change_tags(
        &self,
        secret: &str,
        change: impl FnOnce(&mut BTreeMap<String, String>) + Send,
    ) -> Result<(), Refusal> {
        let mut tx = self.write().await?;
        let row = live(rows::find(&mut tx, secret).await?)?;
        let mut tags = rows::tags(&mut tx, &row.arn).await?;
        change(&mut tags);
        check_tags(&tags)?;
        rows::set_tags(&mut tx, &row.arn, &tags).await?;
        tx.commit().await?;
        Ok(())
    }

    async fn add_version(
        &self,
        tx: &mut sqlx::SqliteConnection,
        secret: &SecretRow,
        id: &VersionId,
        value: &Value,
        stages: Option<&[String]>,
    ) -> Result<Labels, Refusal> {
        check_token(&id.0)?;
        if !(1..=MOST_BYTES).contains(&value.bytes().len()) {
            return Err(Refusal::new(
                Kind::Validation,
                "A secret value must have 1 to 65536 bytes.",
            ));
        }
        let before = rows::labels(tx, &secret.arn).await?;
        if let Some(there) = rows::version(tx, &secret.arn, id).await? {
            if self.holds(secret, &there, value)? {
                return Ok(before);
            }
            return Err(Refusal::new(
                Kind::ResourceExists,
                format!(
                    "You can't use ClientRequestToken {id} because that value is already in use for a \
                     version of secret {}.",
                    secret.arn
                ),
            ));
        }
        let after = labels::put(&before, id, stages)?;
        let mut secret = secret.clone();
        touch(tx, &mut secret).await?;
        let row = self.seal(&secret, id, value)?;
        rows::insert_version(tx, &secret.arn, &row).await?;
        rows::set_labels(tx, &secret.arn, &after).await?;
        let versions: Vec<(VersionId, bool)> = rows::version_ids(tx, &secret.arn)
            .await?
            .into_iter()
            .map(|(id, _)| {
                let labelled = !stages_of(&after, &id).is_empty();
                (id, labelled)
            })
            .collect();
        for old in labels::prunable(&versions, KEPT_VERSIONS) {
            rows::delete_version(tx, &secret.arn, &old).await?;
        }
        Ok(after)
    }

    fn seal(
        &self,
        secret: &SecretRow,
        id: &VersionId,
        value: &Value,
    ) -> Result<VersionRow, Refusal> {
        let of = Belongs {
            arn: &secret.arn,
            version: &id.0,
        };
        let sealed = self
            .key
            .seal(of, value.bytes())
            .map_err(|_| Refusal::new(Kind::Encryption, "The value could not be encrypted."))?;
        Ok(VersionRow {
            id: id.0.clone(),
            is_text: matches!(value, Value::Text(_)),
            sealed,
            created: secret.changed,
        })
    }

    fn unseal(&self, secret: &SecretRow, row: &VersionRow) -> Result<Value, Refusal> {
        let damaged = || {
            Refusal::new(
                Kind::Decryption,
                format!(
                    "Version {} is damaged: it does not open under the store's key.",
                    row.id
                ),
            )
        };
        let of = Belongs {
            arn: &secret.arn,
            version: &row.id,
        };
        let mut bytes = self.key.open(of, &row.sealed).map_err(|_| damaged())?;
        let bytes = std::mem::take(&mut *bytes);
        if !row.is_text {
            return Ok(Value::Binary(SecretBox::new(Box::new(bytes))));
        }
        String::from_utf8(bytes)
            .map(|text| Value::Text(SecretString::from(text)))
            .map_err(|_| damaged())
    }

    fn holds(&self, secret: &SecretRow, row: &VersionRow, value: &Value) -> Result<bool, Refusal> {
        let there = self.unseal(secret, row)?;
        let same_kind = matches!(there, Value::Text(_)) == matches!(value, Value::Text(_));
        Ok(same_kind && there.bytes() == value.bytes())
    }
}

/// The labels of a version, in order.
pub(super) fn stages_of(labels: &Labels, id: &VersionId) -> Vec<String> {
    labels
        .get(id)
        .map(|on_it| on_it.iter().cloned().collect())
        .unwrap_or_default()
}

async fn details_of(
    db: &mut sqlx::SqliteConnection,
    secret: SecretRow,
) -> Result<Details, Refusal> {
    Ok(Details {
        labels: rows::labels(db, &secret.arn).await?,
        versions: rows::version_ids(db, &secret.arn).await?,
        tags: rows::tags(db, &secret.arn).await?,
        secret,
    })
}

fn live(found: Option<SecretRow>) -> Result<SecretRow, Refusal> {
    match found {
        None => Err(Refusal::no_secret()),
        Some(row) if row.deleted.is_some() => Err(Refusal::marked_deleted()),
        Some(row) => Ok(row),
    }
}

async fn touch(db: &mut sqlx::SqliteConnection, secret: &mut SecretRow) -> Result<(), Refusal> {
    secret.changed = rows::now(db).await?;
    rows::update_secret(db, secret).await?;
    Ok(())
}

fn check_tags(tags: &BTreeMap<String, String>) -> Result<(), Refusal> {
    let well_formed = |(key, value): (&String, &String)| {
        (1..=128).contains(&key.chars().count())
            && value.chars().count() <= 256
            && !key.starts_with("aws:")
    };
    if tags.len() <= MOST_TAGS && tags.iter().all(well_formed) {
        return Ok(());
    }
    Err(Refusal::new(
        Kind::InvalidParameter,
        "A secret has at most 50 tags; a key has 1 to 128 characters and does not begin with aws:, \
         a value has at most 256.",
    ))
}
