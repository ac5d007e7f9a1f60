//! The pair's lock: a lease in a table of twinkey in the secret's database.
//!
//! Redshift has no advisory locks, and the Data API has no connection that could hold one.
//!
//! # Failure modes
//! - Two runs take the lock at once. Each first locks the whole table in its transaction.
//! - Another user writes a lease. The table belongs to the admin, and others may not write it. A lease
//!   without an end, or one that no run takes that long, counts as expired.
//! - Clocks differ. All times are the server's.
//! - A worker exits without a release. The lease expires shortly after the longest batch.
//! - A worker continues after its lease expired and another run has the lock. Each batch with
//!   changes first renews the lease and fails without one, because it divides by the number of
//!   leases. The renewal locks the table until the end of the transaction, so that all pairs of a
//!   database are changed one after the other.
//! - A renewal fails by a conflict, because its snapshot is older than the lock. The first statement
//!   that needs a snapshot comes after LOCK TABLE.
//! - Statements wait in a full queue of the cluster. A superuser's go to the superuser queue.

use uuid::Uuid;

use super::api::{BATCH_LIMIT, BatchStatement, Row};
use super::quote::literal;
use crate::LockHolder;

/// Seconds of a lease beyond the longest batch.
const GRACE: u64 = 15;
/// Selects the superuser queue ("WLM queue assignment rules" in the developer guide).
const SUPERUSER_QUEUE: &str = "SET query_group TO 'superuser'";

/// A holder's lease on one pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lease {
    /// The pair's base user.
    pub pair: String,
    pub holder: Uuid,
}

fn expiry() -> String {
    let seconds = BATCH_LIMIT.as_secs() + GRACE;
    format!("getdate() + interval '{seconds} seconds'")
}

/// The condition of a lease that has expired, or that no run took.
fn expired() -> String {
    let longest = 2 * (BATCH_LIMIT.as_secs() + GRACE);
    format!(
        "(expires IS NULL OR expires < getdate() \
         OR expires > getdate() + interval '{longest} seconds')"
    )
}

/// Reads the holder of the pair's lock.
pub(super) fn holder_statement(base: &str) -> BatchStatement {
    BatchStatement::plain(format!(
        "SELECT holder, expires FROM twinkey.locks WHERE pair = {} AND NOT {}",
        literal(base),
        expired()
    ))
}

/// The holder in a row of [`holder_statement`].
pub(super) fn holder(base: &str, row: &Row) -> LockHolder {
    let text = |column| row.text(column).unwrap_or_default();
    LockHolder {
        id: format!(
            "lease {:?}, which expires at {} UTC",
            text(0).trim(),
            text(1).trim()
        ),
        user: None,
        client: None,
        application: None,
        since: None,
        may_be_run: true,
        end: format!("DELETE FROM twinkey.locks WHERE pair = {}", literal(base)),
    }
}

/// Creates the table of locks if it does not exist.
pub(super) fn create_table_statements() -> [BatchStatement; 2] {
    [
        BatchStatement::plain("CREATE SCHEMA IF NOT EXISTS twinkey"),
        BatchStatement::plain(
            "CREATE TABLE IF NOT EXISTS twinkey.locks \
             (pair varchar(512), holder varchar(64), expires timestamp)",
        ),
    ]
}

/// Locks the table, before the transaction has a snapshot.
fn lock_statements(superuser: bool) -> Vec<BatchStatement> {
    let queue = superuser.then_some(SUPERUSER_QUEUE);
    let all = queue.into_iter().chain(["LOCK TABLE twinkey.locks"]);
    all.map(BatchStatement::plain).collect()
}

impl Lease {
    fn pair_condition(&self) -> String {
        format!("pair = {}", literal(&self.pair))
    }

    fn own_condition(&self) -> String {
        format!("{} AND holder = '{}'", self.pair_condition(), self.holder)
    }

    /// Takes the lock if it is free; the last statement reads its holder.
    pub(super) fn take_statements(&self, superuser: bool) -> Vec<BatchStatement> {
        let (pair, ours) = (self.pair_condition(), self.own_condition());
        let mut all = lock_statements(superuser);
        all.extend([
            BatchStatement::plain(format!(
                "DELETE FROM twinkey.locks WHERE {ours} OR {pair} AND {}",
                expired()
            )),
            BatchStatement::plain(format!(
                "INSERT INTO twinkey.locks (pair, holder, expires) \
                 SELECT {}, '{}', {} WHERE NOT EXISTS (SELECT 1 FROM twinkey.locks WHERE {pair})",
                literal(&self.pair),
                self.holder,
                expiry()
            )),
            BatchStatement::plain(format!(
                "SELECT holder, expires FROM twinkey.locks WHERE {pair}"
            )),
        ]);
        all
    }

    /// Renews the lease; the last statement fails without one.
    pub(super) fn fence_statements(&self, superuser: bool) -> Vec<BatchStatement> {
        let ours = self.own_condition();
        let mut all = lock_statements(superuser);
        all.extend([
            BatchStatement::plain(format!(
                "UPDATE twinkey.locks SET expires = {} WHERE {ours}",
                expiry()
            )),
            BatchStatement::plain(format!(
                "SELECT 1 / count(*) FROM twinkey.locks WHERE {ours}"
            )),
        ]);
        all
    }

    /// Deletes the lease.
    pub(super) fn release_statements(&self, superuser: bool) -> Vec<BatchStatement> {
        let mut all = lock_statements(superuser);
        all.push(BatchStatement::plain(format!(
            "DELETE FROM twinkey.locks WHERE {}",
            self.own_condition()
        )));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease() -> Lease {
        Lease {
            pair: "a'b".into(),
            holder: Uuid::nil(),
        }
    }

    #[test]
    fn a_lease_outlives_the_longest_batch() {
        let take = lease().take_statements(false);
        assert!(take[2].shown.contains("getdate() + interval '75 seconds'"));
        assert!(
            take.iter()
                .skip(1)
                .all(|statement| statement.shown.contains("'a''b'"))
        );
    }

    #[test]
    fn the_fence_locks_renews_and_divides() {
        let fence = lease().fence_statements(false);
        assert_eq!(fence[0].shown, "LOCK TABLE twinkey.locks");
        assert!(fence[1].shown.starts_with("UPDATE"));
        assert!(fence[2].shown.starts_with("SELECT 1 / count(*)"));
        assert!(fence[2].shown.ends_with(&lease().own_condition()));
        assert_eq!(fence.len(), 3);
    }

    #[test]
    fn a_superusers_lock_does_not_wait_in_a_queue() {
        for statements in [
            lease().take_statements(true),
            lease().fence_statements(true),
            lease().release_statements(true),
        ] {
            assert_eq!(statements[0].shown, SUPERUSER_QUEUE);
            assert!(statements[1].shown.starts_with("LOCK TABLE"));
        }
    }
}
