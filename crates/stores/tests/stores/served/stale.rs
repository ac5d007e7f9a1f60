//! No read returns a value that an acknowledged flip has replaced, under many concurrent reads.

use std::time::Duration;

use twinkey_testkit::load::LoadFixture;

const CALLS: usize = 6_000;
const MAX_ROUNDS: usize = 50;

/// Far more flips than in production. `make bench` runs the full size and measures it.
#[tokio::test(flavor = "multi_thread")]
async fn no_value_is_stale_after_an_acknowledged_flip() {
    let fixture = LoadFixture::open().await;
    let mut flips = 0;
    // How many fit into a volley is the machine's affair.
    for _ in 0..MAX_ROUNDS {
        let outcome = fixture.served(CALLS, Duration::from_millis(20)).await;
        assert_eq!((outcome.answered, outcome.stale), (CALLS, 0));
        flips += outcome.flips;
        if flips > 10 {
            return;
        }
    }
    panic!("{flips} flips in {MAX_ROUNDS} volleys");
}
