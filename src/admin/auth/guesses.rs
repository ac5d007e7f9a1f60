//! Wrong tokens, counted by address.
//!
//! # Failure modes
//! - A client tries many tokens: from the eleventh in a minute, each response takes a second, and from the
//!   61st it is 429. A request with a right token is never counted or slowed.
//! - Wrong tokens from many addresses fill the memory: the table has [`MAX_ADDRESSES`] entries, and the
//!   oldest one is removed.
//! - Slowed requests use up the connections: at most [`MAX_DELAYS`] wait at once; others are 429.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::admin::problem::ApiError;
use twinkey_core::telemetry::{AUDIT, Clock};
use twinkey_stores::listener::PeerAddr;

/// How long wrong tokens are counted.
const PERIOD: TimeDelta = TimeDelta::minutes(1);
/// Wrong tokens of an address in a period before responses are slowed.
const FREE: u32 = 10;
/// Wrong tokens of an address in a period before responses are 429.
const MAX_WRONG: u32 = 60;
const DELAY: Duration = Duration::from_secs(1);
const MAX_ADDRESSES: usize = 1024;
const MAX_DELAYS: usize = 64;

/// The wrong tokens of the last minute.
pub(in crate::admin) struct Guesses {
    table: Mutex<HashMap<IpAddr, Count>>,
    delays: Semaphore,
}

#[derive(Clone, Copy)]
struct Count {
    since: DateTime<Utc>,
    wrong: u32,
}

impl Default for Guesses {
    fn default() -> Self {
        Self {
            table: Mutex::default(),
            delays: Semaphore::new(MAX_DELAYS),
        }
    }
}

impl Guesses {
    /// Counts, logs and slows a wrong token. The response to send instead of 401, if there is one.
    pub(in crate::admin) async fn refuse(&self, peer: PeerAddr) -> Option<Response> {
        let clock = Clock::system();
        let now = clock.now();
        let count = self.record(group(peer.0.ip()), now);
        if count.wrong <= FREE {
            tracing::warn!(target: AUDIT, peer = %peer.0, "wrong token refused");
            return None;
        }
        if count.wrong == FREE + 1 {
            tracing::warn!(target: AUDIT, peer = %peer.0, "wrong tokens slowed; further ones of this minute are not logged");
        }
        let permit = self.delays.try_acquire();
        if permit.is_ok() {
            clock.sleep(DELAY).await;
        }
        (permit.is_err() || count.wrong > MAX_WRONG).then(|| too_many(count.since + PERIOD - now))
    }

    fn record(&self, address: IpAddr, now: DateTime<Utc>) -> Count {
        let mut table = self.table.lock();
        let is_current = |count: &Count| now - count.since < PERIOD && now >= count.since;
        if table.len() >= MAX_ADDRESSES && !table.contains_key(&address) {
            table.retain(|_, count| is_current(count));
            let oldest = table.iter().min_by_key(|(_, count)| count.since);
            if let Some(oldest) = oldest.map(|(address, _)| *address)
                && table.len() >= MAX_ADDRESSES
            {
                table.remove(&oldest);
            }
        }
        let new = Count {
            since: now,
            wrong: 0,
        };
        let count = table.entry(address).or_insert(new);
        if !is_current(count) {
            *count = new;
        }
        count.wrong = count.wrong.saturating_add(1);
        *count
    }
}

fn too_many(rest: TimeDelta) -> Response {
    let seconds = rest.num_seconds().max(1);
    let mut response = ApiError::new(
        StatusCode::TOO_MANY_REQUESTS,
        "too many wrong tokens came from this address",
        format!("correct the token, and try again after {seconds} s"),
    )
    .into_response();
    response
        .headers_mut()
        .insert(RETRY_AFTER, HeaderValue::from(seconds));
    response
}

/// The address that is counted: of IPv6 the network of one customer, 64 bits.
fn group(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_and_an_address_have_one_count() {
        let guesses = Guesses::default();
        let start: DateTime<Utc> = "2026-11-24T07:00:00Z".parse().unwrap();
        let address = |text: &str| group(text.parse().unwrap());
        let record = |text: &str, at| guesses.record(address(text), at).wrong;
        assert_eq!(record("10.0.0.1", start), 1);
        assert_eq!(record("::ffff:10.0.0.1", start + PERIOD / 2), 2);
        assert_eq!(record("10.0.0.2", start), 1);
        assert_eq!(record("10.0.0.1", start + PERIOD), 1);
        assert_eq!(record("10.0.0.1", start), 1, "the clock was set back");
        assert_eq!(record("2001:db8::1", start), 1);
        assert_eq!(record("2001:db8::2", start), 2);
        assert_eq!(record("2001:db8:0:1::2", start), 1);
    }

    #[test]
    fn the_table_is_bounded_and_keeps_the_newest() {
        let guesses = Guesses::default();
        let start: DateTime<Utc> = "2026-11-24T07:00:00Z".parse().unwrap();
        let last = Ipv6Addr::new(1, 0, 0, 4999, 0, 0, 0, 0);
        for n in 0..5000_u16 {
            let address = Ipv6Addr::new(1, 0, 0, n, 0, 0, 0, 0);
            guesses.record(address.into(), start + TimeDelta::milliseconds(n.into()));
        }
        assert_eq!(guesses.table.lock().len(), MAX_ADDRESSES);
        let after = start + TimeDelta::seconds(6);
        assert_eq!(guesses.record(last.into(), after).wrong, 2);
    }

    #[tokio::test]
    async fn responses_slow_down_and_then_refuse() {
        let guesses = Guesses::default();
        let peer = PeerAddr(([10, 0, 0, 1], 1).into());
        for _ in 0..FREE {
            assert!(guesses.refuse(peer).await.is_none());
        }
        let begun = std::time::Instant::now();
        assert!(guesses.refuse(peer).await.is_none());
        assert!(begun.elapsed() >= DELAY);
        for _ in 0..MAX_WRONG {
            guesses.record(peer.0.ip(), Clock::system().now());
        }
        let refused = guesses.refuse(peer).await.unwrap();
        assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
        assert!(refused.headers().contains_key(RETRY_AFTER));
    }
}
