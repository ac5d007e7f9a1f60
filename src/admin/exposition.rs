//! Text formats of metrics: OpenMetrics 1.0, and Prometheus's older text format 0.0.4.
//!
//! Sources: OpenMetrics 1.0, "ABNF"; Prometheus, "Exposition formats"; RFC 9110, 12.5.1 (`Accept`).
//!
//! # Failure modes
//! - A program reads only the older format and gets the newer one. The `Accept` header selects the
//!   format; without a preference it is OpenMetrics.
//! - The two formats have different samples. Samples are encoded once, and only the lines of
//!   metadata are written anew.

use std::collections::HashMap;

use axum::http::HeaderMap;
use axum::http::header::ACCEPT;

/// A text format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TextFormat {
    OpenMetrics,
    Text004,
}

impl TextFormat {
    /// The format that a request prefers.
    pub(super) fn preferred(headers: &HeaderMap) -> Self {
        let accept = headers.get_all(ACCEPT).into_iter();
        let ranges: Vec<MediaRange<'_>> = accept
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(MediaRange::parse)
            .collect();
        let wanted = |format| quality(&ranges, format);
        if wanted(Self::Text004) > wanted(Self::OpenMetrics) {
            Self::Text004
        } else {
            Self::OpenMetrics
        }
    }

    /// The value of `Content-Type`.
    pub(super) const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text004 => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// The text of OpenMetrics in this format.
    pub(super) fn convert(self, open_metrics: String) -> String {
        match self {
            Self::OpenMetrics => open_metrics,
            Self::Text004 => text_004(&open_metrics),
        }
    }

    const fn media_type(self) -> (&'static str, &'static str) {
        match self {
            Self::OpenMetrics => ("application", "openmetrics-text"),
            Self::Text004 => ("text", "plain"),
        }
    }

    /// Whether a request for this version of the media type means this format.
    fn has_version(self, version: &str) -> bool {
        match self {
            // Prometheus asks for 0.0.1 too, and reads 1.0.0 instead.
            Self::OpenMetrics => true,
            Self::Text004 => version == "0.0.4",
        }
    }
}

/// A media range of an `Accept` header.
struct MediaRange<'a> {
    kind: &'a str,
    subtype: &'a str,
    version: Option<&'a str>,
    /// In thousandths.
    quality: u16,
}

impl<'a> MediaRange<'a> {
    /// Parses a range. A malformed quality counts as 0.
    fn parse(range: &'a str) -> Self {
        let mut parts = range.split(';').map(str::trim);
        let media_type = parts.next().unwrap_or_default();
        let (kind, subtype) = media_type.split_once('/').unwrap_or((media_type, ""));
        let (mut version, mut quality) = (None, 1000);
        for (name, value) in parts.filter_map(|parameter| parameter.split_once('=')) {
            match name.trim() {
                "version" => version = Some(value.trim().trim_matches('"')),
                "q" => quality = thousandths(value.trim()),
                _ => {}
            }
        }
        Self {
            kind,
            subtype,
            version,
            quality,
        }
    }

    /// How specifically this range names a format; `None` if it does not.
    fn specificity(&self, format: TextFormat) -> Option<u8> {
        let (kind, subtype) = format.media_type();
        match (self.kind, self.subtype) {
            ("*", "*") => Some(0),
            (own, "*") if own.eq_ignore_ascii_case(kind) => Some(1),
            (own, sub) if own.eq_ignore_ascii_case(kind) && sub.eq_ignore_ascii_case(subtype) => {
                match self.version {
                    None => Some(2),
                    Some(version) => format.has_version(version).then_some(3),
                }
            }
            _ => None,
        }
    }
}

/// A quality of RFC 9110 (`0` to `1`, up to three digits after the point) in thousandths.
fn thousandths(quality: &str) -> u16 {
    let (whole, digits) = quality.split_once('.').unwrap_or((quality, ""));
    match (whole, format!("{digits:0<3}").parse::<u16>()) {
        ("0", Ok(thousandths)) if thousandths < 1000 => thousandths,
        ("1", Ok(0)) => 1000,
        _ => 0,
    }
}

/// The quality of a format in a request: that of the most specific range that names it.
fn quality(ranges: &[MediaRange<'_>], format: TextFormat) -> u16 {
    let named = ranges
        .iter()
        .filter_map(|range| Some((range.specificity(format)?, range.quality)));
    named.max().map_or(0, |(_, quality)| quality)
}

/// A text of OpenMetrics in the text format 0.0.4. That format names a family as its samples are
/// named, and has neither units nor a last line.
fn text_004(open_metrics: &str) -> String {
    let metadata = |line: &str, of: &str| -> Option<(String, String)> {
        let rest = line.strip_prefix(of)?;
        let (name, value) = rest.split_once(' ').unwrap_or((rest, ""));
        Some((name.to_owned(), value.to_owned()))
    };
    let kinds: HashMap<String, String> = open_metrics
        .lines()
        .filter_map(|line| metadata(line, "# TYPE "))
        .collect();
    let family = |name: &str| match kinds.get(name).map(String::as_str) {
        Some("counter") => format!("{name}_total"),
        Some("info") => format!("{name}_info"),
        _ => name.to_owned(),
    };
    let mut text = String::with_capacity(open_metrics.len());
    for line in open_metrics.lines() {
        let line = if let Some((name, help)) = metadata(line, "# HELP ") {
            format!("# HELP {} {help}", family(&name))
        } else if let Some((name, kind)) = metadata(line, "# TYPE ") {
            let kind = match kind.as_str() {
                "info" | "stateset" => "gauge",
                "unknown" => "untyped",
                kind => kind,
            };
            format!("# TYPE {} {kind}", family(&name))
        } else if line.starts_with("# ") {
            continue;
        } else {
            line.to_owned()
        };
        text.push_str(&line);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn preferred(accept: &[&str]) -> TextFormat {
        let mut headers = HeaderMap::new();
        for value in accept {
            headers.append(ACCEPT, value.parse().unwrap());
        }
        TextFormat::preferred(&headers)
    }

    #[test]
    fn the_accept_header_selects_the_format() {
        let prometheus_2 = "application/openmetrics-text;version=1.0.0,\
                            application/openmetrics-text;version=0.0.1;q=0.75,\
                            text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        let prometheus_3 = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                            text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
                            text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for accept in [
            &[] as &[&str],
            &["*/*"],
            &[prometheus_2],
            &[prometheus_3],
            &["text/html,application/xhtml+xml,*/*;q=0.8"],
            &["application/json"],
            &[
                "text/plain;version=0.0.4;q=0.5",
                "application/openmetrics-text",
            ],
            &["text/plain;q=0, */*"],
            &["text/plain;version=1.0.0"],
            &["text/plain;q=2, */*;q=0.1"],
        ] {
            assert_eq!(preferred(accept), TextFormat::OpenMetrics, "{accept:?}");
        }
        for accept in [
            &["text/plain;version=0.0.4"][..],
            &["text/plain; version=\"0.0.4\""],
            &["Text/Plain"],
            &["text/*"],
            &["text/plain;version=0.0.4, */*;q=0.1"],
            &["application/openmetrics-text;q=0.5", "text/plain;q=0.501"],
            &["application/openmetrics-text;q=0, */*"],
        ] {
            assert_eq!(preferred(accept), TextFormat::Text004, "{accept:?}");
        }
    }

    #[test]
    fn the_older_format_names_families_as_their_samples() {
        let open_metrics = "# HELP a_runs Runs that ended.\n\
                            # TYPE a_runs counter\n\
                            a_runs_total{outcome=\"# TYPE x y\"} 1\n\
                            # HELP a_seconds Duration.\n\
                            # TYPE a_seconds histogram\n\
                            # UNIT a_seconds seconds\n\
                            a_seconds_sum 0.5\n\
                            a_seconds_count 1\n\
                            a_seconds_bucket{le=\"+Inf\"} 1\n\
                            # HELP a_build Version.\n\
                            # TYPE a_build info\n\
                            a_build_info{version=\"1\"} 1\n\
                            # HELP a_up Up.\n\
                            # TYPE a_up gauge\n\
                            a_up 1\n\
                            # EOF\n";
        let text = "# HELP a_runs_total Runs that ended.\n\
                    # TYPE a_runs_total counter\n\
                    a_runs_total{outcome=\"# TYPE x y\"} 1\n\
                    # HELP a_seconds Duration.\n\
                    # TYPE a_seconds histogram\n\
                    a_seconds_sum 0.5\n\
                    a_seconds_count 1\n\
                    a_seconds_bucket{le=\"+Inf\"} 1\n\
                    # HELP a_build_info Version.\n\
                    # TYPE a_build_info gauge\n\
                    a_build_info{version=\"1\"} 1\n\
                    # HELP a_up Up.\n\
                    # TYPE a_up gauge\n\
                    a_up 1\n";
        let convert = |format: TextFormat| format.convert(open_metrics.to_owned());
        assert_eq!(convert(TextFormat::Text004), text);
        assert_eq!(convert(TextFormat::OpenMetrics), open_metrics);
    }
}
