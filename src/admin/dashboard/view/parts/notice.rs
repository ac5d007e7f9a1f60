//! Notices and counts, as every page renders them.

use maud::{Markup, html};

use crate::admin::problem::ApiError;

/// The tone of a notice.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Tone {
    Good,
    Warning,
    Bad,
}

impl Tone {
    pub(in super::super) const fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Warning => "warning",
            Self::Bad => "bad",
        }
    }
}

/// A notice: a message, its code where there is one, and a hint.
pub(in super::super) fn notice(
    tone: Tone,
    message: &str,
    code: Option<&str>,
    hint: Option<&str>,
) -> Markup {
    let role = if tone == Tone::Good {
        "status"
    } else {
        "alert"
    };
    html! {
        div.notice data-tone=(tone.as_str()) role=(role) {
            p { @if let Some(code) = code { code { (code) } " " } (message) }
            @if let Some(hint) = hint.filter(|hint| !hint.is_empty()) { p.hint { (hint) } }
        }
    }
}

/// A count with its noun.
pub(in super::super) fn count(n: usize, one: &str, many: &str) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    format!("{text} {}", if n == 1 { one } else { many })
}

/// An error as a notice.
pub(in super::super) fn problem_notice(error: &ApiError) -> Markup {
    let code = error.code().map(|code| code.as_str());
    notice(Tone::Bad, error.detail(), code, Some(error.hint()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_has_thousands_separators_and_a_noun() {
        assert_eq!(count(1, "window", "windows"), "1 window");
        assert_eq!(count(0, "window", "windows"), "0 windows");
        assert_eq!(count(1_234_567, "window", "windows"), "1,234,567 windows");
    }
}
