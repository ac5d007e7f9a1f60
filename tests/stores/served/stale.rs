//! No read gives what a flip that was acknowledged has replaced, however many there are at once.

use std::time::Duration;

use crate::support::volley::Range;

/// Far more flips than there are in earnest. The full size, and how quick it is, is in `make bench`.
#[tokio::test(flavor = "multi_thread")]
async fn no_value_is_stale_after_a_flip_by_another_opener_of_the_file_was_acknowledged() {
    let range = Range::open().await;
    let outcome = range.served(6_000, Duration::from_millis(20)).await;
    println!("{outcome:?}");
    assert_eq!((outcome.answered, outcome.stale), (6_000, 0));
    assert!(outcome.flips > 10, "{outcome:?}");
}
