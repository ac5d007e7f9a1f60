//! The rate of GetSecretValue calls of the served store, as a ratio to a bare axum handler that
//! returns a constant of the same size, and the number of stale responses (`make bench`).

use std::time::Duration;

use twinkey_testkit::load;

const CALLS: usize = 100_000;
/// The rounds of each. They alternate, so that both have the same noise.
const TURNS: usize = 4;
const EVERY: Duration = Duration::from_secs(1);

#[tokio::main]
async fn main() {
    let fixture = load::LoadFixture::open().await;
    fixture.bare(CALLS / 20).await;
    fixture.served(CALLS / 20, EVERY).await;
    let (mut served, mut bare) = (Duration::ZERO, Duration::ZERO);
    let (mut answered, mut flips, mut stale) = (0, 0, 0);
    for _ in 0..TURNS {
        bare += fixture.bare(CALLS).await.took;
        let outcome = fixture.served(CALLS, EVERY).await;
        served += outcome.took;
        answered += outcome.answered;
        flips += outcome.flips;
        stale += outcome.stale;
    }
    let each = |took: Duration| (CALLS * TURNS) as f64 / took.as_secs_f64();
    println!(
        "{answered} GetSecretValue over 64 connections, {flips} concurrent flips, {stale} stale; {:.0} a second, \
         a bare handler {:.0}: ratio {:.2}",
        each(served),
        each(bare),
        each(served) / each(bare)
    );
    assert_eq!(stale, 0, "a value was read after its flip was acknowledged");
    assert!(flips > 0, "no rotation happened");
}
