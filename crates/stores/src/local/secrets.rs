//! Actions on whole secrets: create, describe, update, delete, restore, tag.
//!
//! # Failure modes
//! - An action is half done or mixed with another. Each is one transaction, which commits at its
//!   end or not at all.

use std::collections::BTreeMap;

use super::labels::Labels;
use super::naming::{check_name, new_arn};
use super::refusal::{Refusal, RefusalKind};
use super::rows::{self, FoundSecret, SecretRow, VersionRef};
use super::versions::{Value, live, token_in_use, touch};
use super::{LocalStore, write};
use crate::{ListFilter, ListedPage, ListedSecret, VersionId};

const MAX_TAGS: usize = 50;
const DAY_MS: i64 = 86_400_000;
/// The alias of the key that AWS uses without a KmsKeyId.
const SERVICE_KEY: &str = "alias/aws/secretsmanager";

/// A secret without its values.
#[derive(Debug)]
pub(super) struct Details {
    pub secret: SecretRow,
    pub labels: Labels,
    /// Newest first, with the creation time in milliseconds since 1970.
    pub versions: Vec<(VersionId, i64)>,
    pub tags: BTreeMap<String, String>,
}

/// Parameters of CreateSecret.
pub(super) struct NewSecret<'a> {
    pub name: &'a str,
    pub description: Option<String>,
    pub kms_key_id: Option<String>,
    pub tags: BTreeMap<String, String>,
    pub first: Option<(&'a VersionId, &'a Value)>,
}

impl LocalStore {
    pub(super) async fn create_secret(&self, new: NewSecret<'_>) -> Result<SecretRow, Refusal> {
        check_name(new.name)?;
        check_tags(&new.tags)?;
        let mut writer = self.database.writer().await?;
        let mut tx = write(&mut writer).await?;
        let which = new.first.map(|(id, _)| VersionRef::Id(id));
        if let Some(existing) = self.find(&mut tx, new.name, which).await? {
            if existing.secret.deleted.is_some() {
                return Err(Refusal::new(
                    RefusalKind::InvalidRequest,
                    "You can't create this secret because a secret with this name is already \
                     scheduled for deletion.",
                ));
            }
            if let (Some((id, value)), Some(row)) = (new.first, &existing.version) {
                // The same request again gets the same result.
                if self.holds(&existing.secret, row, value)? {
                    return Ok(existing.secret);
                }
                return Err(token_in_use(id, &existing.secret));
            }
            return Err(Refusal::new(
                RefusalKind::ResourceExists,
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
            kms_key_id: new.kms_key_id,
            created: now,
            changed: now,
            deleted: None,
            due: None,
            label_seal: None,
            rotation_function: None,
            rotation_enabled: false,
            rotated: None,
            rotated_version: None,
            accessed: None,
        };
        rows::insert_secret(&mut tx, &secret).await?;
        rows::set_tags(&mut tx, &secret.arn, &new.tags).await?;
        if let Some((id, value)) = new.first {
            let found = FoundSecret {
                secret: secret.clone(),
                labels: Labels::new(),
                version: None,
            };
            self.add_version(&mut tx, &found, id, value, None).await?;
        } else {
            self.seal_labels(&mut tx, &secret, &Labels::new()).await?;
        }
        tx.commit().await?;
        Ok(secret)
    }

    /// UpdateSecret: a new description, another key id, a new AWSCURRENT value, or all of them. An
    /// empty `kms_key_id` stands for the service's own key.
    pub(super) async fn update_secret(
        &self,
        secret: &str,
        description: Option<String>,
        kms_key_id: Option<String>,
        next: Option<(&VersionId, &Value)>,
    ) -> Result<SecretRow, Refusal> {
        let mut writer = self.database.writer().await?;
        let mut tx = write(&mut writer).await?;
        let which = next.map(|(id, _)| VersionRef::Id(id));
        let found = live(self.find(&mut tx, secret, which).await?)?;
        if let Some((id, value)) = next {
            self.add_version(&mut tx, &found, id, value, None).await?;
        }
        let mut row = found.secret;
        if description.is_some() {
            row.description = description;
        }
        if let Some(id) = kms_key_id {
            row.kms_key_id = shown_key_id(id);
        }
        touch(&mut tx, &mut row).await?;
        tx.commit().await?;
        Ok(row)
    }

    pub(super) async fn details(&self, secret: &str) -> Result<Details, Refusal> {
        let mut tx = self.database.read().await?;
        let found = self.find(&mut tx, secret, None).await?;
        let found = found.ok_or_else(Refusal::no_secret)?;
        details_of(&mut tx, found.secret, found.labels).await
    }

    /// A secret with its labels.
    pub(super) async fn labels_of(&self, secret: &str) -> Result<(SecretRow, Labels), Refusal> {
        let mut db = self.database.reader().await?;
        let found = self.find(&mut db, secret, None).await?;
        let found = found.ok_or_else(Refusal::no_secret)?;
        Ok((found.secret, found.labels))
    }

    /// A secret with its labels and tags.
    pub(super) async fn labels_and_tags(
        &self,
        secret: &str,
    ) -> Result<(SecretRow, Labels, BTreeMap<String, String>), Refusal> {
        let (secret, labels) = self.labels_of(secret).await?;
        let mut db = self.database.reader().await?;
        let tags = rows::tags(&mut db, &secret.arn).await?;
        Ok((secret, labels, tags))
    }

    /// All secrets that the filters match, on one page. Labels are not read, so that a damaged secret
    /// does not hide the others.
    pub(super) async fn listed(&self, filters: &[ListFilter]) -> Result<ListedPage, Refusal> {
        let mut tx = self.database.read().await?;
        let mut secrets = Vec::new();
        for row in rows::all(&mut tx).await? {
            let tags = rows::tags(&mut tx, &row.arn).await?;
            let secret = ListedSecret {
                arn: row.arn,
                name: row.name,
                tags,
                deleted: row.deleted.is_some(),
                rotation_enabled: row.rotation_enabled,
                owning_service: None,
                primary_region: None,
            };
            if filters.iter().all(|filter| filter.matches(&secret)) {
                secrets.push(secret);
            }
        }
        Ok(ListedPage {
            secrets,
            next: None,
        })
    }

    /// The secrets whose name is `visible`, by name, including those marked for deletion. A damaged
    /// secret has no labels here, so that it does not hide the others.
    pub(super) async fn all_details(
        &self,
        visible: impl Fn(&str) -> bool + Send,
    ) -> Result<Vec<Details>, Refusal> {
        let mut tx = self.database.read().await?;
        let mut all = rows::all(&mut tx).await?;
        all.retain(|row| visible(&row.name));
        let mut details = Vec::new();
        for row in all {
            let mut labels = rows::labels(&mut tx, &row.arn).await?;
            if self.verify_labels(&row, &labels).is_err() {
                labels.clear();
            }
            details.push(details_of(&mut tx, row, labels).await?);
        }
        Ok(details)
    }

    /// DeleteSecret: marks the secret for `days`, or deletes it at once without `days`. Deleting a
    /// missing secret succeeds, so that a request can be repeated (DeleteSecret,
    /// ForceDeleteWithoutRecovery). Returns the secret, and the time of its deletion in milliseconds
    /// since 1970.
    pub(super) async fn delete(
        &self,
        secret: &str,
        days: Option<i64>,
    ) -> Result<(Option<SecretRow>, i64), Refusal> {
        let mut writer = self.database.writer().await?;
        let mut tx = write(&mut writer).await?;
        let now = rows::now(&mut tx).await?;
        // A damaged secret can be deleted: its labels are not verified.
        let mut row = match (rows::find(&mut tx, secret, None).await?, days) {
            (Some(found), _) => found.secret,
            (None, None) => return Ok((None, now)),
            (None, Some(_)) => return Err(Refusal::no_secret()),
        };
        let due = match days {
            None => {
                rows::delete_secret(&mut tx, &row.arn).await?;
                now
            }
            Some(_) if row.deleted.is_some() => return Err(Refusal::marked_deleted()),
            Some(days) => {
                let due = now + days * DAY_MS;
                (row.deleted, row.due) = (Some(now), Some(due));
                rows::mark(&mut tx, &row).await?;
                touch(&mut tx, &mut row).await?;
                due
            }
        };
        tx.commit().await?;
        Ok((Some(row), due))
    }

    pub(super) async fn restore(&self, secret: &str) -> Result<SecretRow, Refusal> {
        let mut writer = self.database.writer().await?;
        let mut tx = write(&mut writer).await?;
        let found = self.find(&mut tx, secret, None).await?;
        let mut row = found.ok_or_else(Refusal::no_secret)?.secret;
        (row.deleted, row.due) = (None, None);
        rows::mark(&mut tx, &row).await?;
        touch(&mut tx, &mut row).await?;
        tx.commit().await?;
        Ok(row)
    }

    /// TagResource and UntagResource.
    pub(super) async fn change_tags(
        &self,
        secret: &str,
        change: impl FnOnce(&mut BTreeMap<String, String>) + Send,
    ) -> Result<(), Refusal> {
        let mut writer = self.database.writer().await?;
        let mut tx = write(&mut writer).await?;
        let mut row = live(self.find(&mut tx, secret, None).await?)?.secret;
        let mut tags = rows::tags(&mut tx, &row.arn).await?;
        change(&mut tags);
        check_tags(&tags)?;
        rows::set_tags(&mut tx, &row.arn, &tags).await?;
        touch(&mut tx, &mut row).await?;
        tx.commit().await?;
        Ok(())
    }
}

async fn details_of(
    db: &mut sqlx::SqliteConnection,
    secret: SecretRow,
    labels: Labels,
) -> Result<Details, Refusal> {
    Ok(Details {
        labels,
        versions: rows::version_ids(db, &secret.arn).await?,
        tags: rows::tags(db, &secret.arn).await?,
        secret,
    })
}

/// The key id of a request as responses have it. As in AWS, they omit the service's own key.
pub(super) fn shown_key_id(id: String) -> Option<String> {
    Some(id).filter(|id| !id.is_empty() && id != SERVICE_KEY)
}

fn check_tags(tags: &BTreeMap<String, String>) -> Result<(), Refusal> {
    let well_formed = |(key, value): (&String, &String)| {
        (1..=128).contains(&key.chars().count())
            && value.chars().count() <= 256
            && !key.starts_with("aws:")
    };
    if tags.len() <= MAX_TAGS && tags.iter().all(well_formed) {
        return Ok(());
    }
    Err(Refusal::new(
        RefusalKind::InvalidParameter,
        "A secret has at most 50 tags; a key has 1 to 128 characters and does not begin with aws:, \
         a value has at most 256.",
    ))
}
