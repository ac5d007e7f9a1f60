//! Times in UTC with their distance from now, and durations.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use maud::{Markup, html};

/// A time with its distance from `now`.
pub(in super::super) fn when(at: DateTime<Utc>, now: DateTime<Utc>) -> Markup {
    let offset = at - now;
    let distance = if offset > TimeDelta::zero() {
        format!("in {}", length(offset))
    } else if -offset < TimeDelta::seconds(1) {
        "just now".into()
    } else {
        format!("{} ago", length(-offset))
    };
    html! { (instant(at, now)) " " span.far { (distance) } }
}

/// A time of day, with the date if it is not today.
pub(in super::super) fn instant(at: DateTime<Utc>, now: DateTime<Utc>) -> Markup {
    let shown = if at.date_naive() == now.date_naive() {
        at.format("%H:%M")
    } else if (at - now).abs() < TimeDelta::days(300) {
        at.format("%-d %b %H:%M")
    } else {
        at.format("%-d %b %Y")
    };
    let exact = at.format("%Y-%m-%d %H:%M:%S UTC");
    html! {
        time datetime=(at.to_rfc3339_opts(SecondsFormat::Secs, true)) title=(exact) { (shown) }
    }
}

/// A duration in its largest whole unit.
pub(in super::super) fn length(length: TimeDelta) -> String {
    let seconds = length.num_seconds();
    match seconds {
        s if s < 1 => format!("{} ms", length.num_milliseconds()),
        s if s < 120 => format!("{s} s"),
        s if s < 120 * 60 => format!("{} min", s / 60),
        s if s < 48 * 3600 => format!("{} h", s / 3600),
        s => format!("{} days", s / 86_400),
    }
}

/// A duration of the config.
pub(in super::super) fn config_duration(duration: Duration) -> String {
    if duration.is_zero() {
        return "no time".into();
    }
    TimeDelta::from_std(duration).map_or_else(|_| format!("{duration:?}"), length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_its_day_and_its_distance() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let now = at("2026-11-25T10:00:00Z");
        let text = |time: &str| {
            let html = when(at(time), now).into_string();
            let title = html.split('"').nth(3).unwrap().to_owned();
            assert!(title.ends_with(" UTC"), "{title}");
            let mut shown = String::new();
            let mut inside = false;
            for c in html.chars() {
                match c {
                    '<' => inside = true,
                    '>' => inside = false,
                    c if !inside => shown.push(c),
                    _ => {}
                }
            }
            shown
        };
        assert_eq!(text("2026-11-25T07:00:05Z"), "07:00 2 h ago");
        assert_eq!(text("2026-11-25T10:00:00Z"), "10:00 just now");
        assert_eq!(text("2026-11-26T03:00:00Z"), "26 Nov 03:00 in 17 h");
        assert_eq!(text("2025-01-01T00:00:00Z"), "1 Jan 2025 693 days ago");
    }

    #[test]
    fn a_duration_is_in_its_largest_unit() {
        for (seconds, text) in [
            (45, "45 s"),
            (119, "119 s"),
            (120, "2 min"),
            (7200, "2 h"),
            (48 * 3600, "2 days"),
        ] {
            assert_eq!(length(TimeDelta::seconds(seconds)), text);
        }
        assert_eq!(length(TimeDelta::milliseconds(67)), "67 ms");
    }
}
