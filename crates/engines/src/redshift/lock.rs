//! The pair's lock. Redshift has no advisory locks, and the Data API no connection that one could hold
//! on to: the lock is a row with a lease in a table of twinkey's own, in the secret's database.
//!
//! What can go wrong, and what prevents it:
//! - two take it at once: they take the table's lock first, in one transaction with everything else;
//! - clocks differ: all times are the server's;
//! - a worker dies, and nobody can rotate: the lease runs out a little after the longest batch;
//! - a worker comes back after its lease was given to another: each batch that changes something first
//!   renews the lease, and fails unless there is one (a division by the number of leases). The renewal
//!   holds the row until the transaction's end, so nobody takes the lock meanwhile.

use uuid::Uuid;

use super::batch::Line;
use super::client::BATCH_LIMIT;
use super::quote::literal;

/// How long a lease is worth beyond the longest batch, in seconds.
const GRACE: u64 = 15;
/// What goes before the changes of a batch; the fence is the second of them.
pub(super) const FENCE: usize = 1;

/// Whose lease on which pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lease {
    /// The base user.
    pub pair: String,
    pub holder: Uuid,
}

fn expiry() -> String {
    let seconds = BATCH_LIMIT.as_secs() + GRACE;
    format!("getdate() + interval '{seconds} seconds'")
}

/// Makes the table, where it is not there yet.
pub(super) fn set_up() -> [Line; 2] {
    [
        Line::plain("CREATE SCHEMA IF NOT EXISTS twinkey"),
        Line::plain(
            "CREATE TABLE IF NOT EXISTS twinkey.locks \
             (pair varchar(512), holder varchar(64), expires timestamp)",
        ),
    ]
}

impl Lease {
    fn of_pair(&self) -> String {
        format!("pair = {}", literal(&self.pair))
    }

    fn ours(&self) -> String {
        format!("{} AND holder = '{}'", self.of_pair(), self.holder)
    }

    /// Takes the lock if it is free; the last line tells who has it.
    pub(super) fn take(&self) -> [Line; 4] {
        let (pair, ours) = (self.of_pair(), self.ours());
        [
            Line::plain("LOCK TABLE twinkey.locks"),
            Line::plain(format!(
                "DELETE FROM twinkey.locks WHERE {ours} OR {pair} AND expires < getdate()"
            )),
            Line::plain(format!(
                "INSERT INTO twinkey.locks (pair, holder, expires) \
                 SELECT {}, '{}', {} WHERE NOT EXISTS (SELECT 1 FROM twinkey.locks WHERE {pair})",
                literal(&self.pair),
                self.holder,
                expiry()
            )),
            Line::plain(format!("SELECT holder FROM twinkey.locks WHERE {pair}")),
        ]
    }

    /// Renews the lease, and fails where there is none.
    pub(super) fn fence(&self) -> [Line; 2] {
        let ours = self.ours();
        [
            Line::plain(format!(
                "UPDATE twinkey.locks SET expires = {} WHERE {ours}",
                expiry()
            )),
            Line::plain(format!(
                "SELECT 1 / count(*) FROM twinkey.locks WHERE {ours}"
            )),
        ]
    }

    pub(super) fn release(&self) -> [Line; 1] {
        [Line::plain(format!(
            "DELETE FROM twinkey.locks WHERE {}",
            self.ours()
        ))]
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
    fn a_lease_outlives_the_longest_batch_and_names_are_only_names() {
        let take = lease().take();
        assert!(take[2].shown.contains("getdate() + interval '75 seconds'"));
        assert!(
            take.iter()
                .skip(1)
                .all(|line| line.shown.contains("'a''b'"))
        );
    }

    #[test]
    fn the_fence_renews_first_and_divides_by_the_number_of_leases() {
        let fence = lease().fence();
        assert!(fence[0].shown.starts_with("UPDATE"));
        assert!(fence[FENCE].shown.starts_with("SELECT 1 / count(*)"));
        assert!(fence[FENCE].shown.ends_with(&lease().ours()));
    }
}
