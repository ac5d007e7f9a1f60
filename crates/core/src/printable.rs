//! Texts of other programs (servers, AWS, hooks, clients) in a form that is safe to print.
//!
//! # Failure modes
//! - A text forges a log line or controls a terminal. Line breaks and control characters are escaped.
//! - A text looks like another one. Marks of the text direction and invisible characters are escaped.
//! - A text fills a log. [`printable`] cuts it.
//!
//! A text is escaped once, where it enters. Escaping it again changes nothing.

use std::borrow::Cow;
use std::fmt::Write;

/// Characters of a message of a server; longer than any that an operator reads.
pub const MESSAGE: usize = 2000;
/// Characters of a name of a client, a host or a program.
pub const NAME: usize = 256;

/// The text without line breaks, control characters and invisible characters, cut after `most`
/// characters.
#[must_use]
pub fn printable(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", escaped(text.get(..end).unwrap_or_default())),
        None => escaped(text).into_owned(),
    }
}

/// As [`printable`], without a limit.
#[must_use]
pub fn escaped(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if is_unsafe(character) {
            // Writing to a String does not fail.
            let _ = write!(out, "{}", character.escape_unicode());
        } else {
            out.push(character);
        }
    }
    Cow::Owned(out)
}

/// Control characters (C0, C1, DEL), separators of lines, marks of the text direction, and characters
/// without a width.
fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_direction_and_invisible_characters_are_escaped() {
        let text = "a\r\n\u{1b}[31m\u{9b}\u{7f}\u{202e}b\u{2028}\u{200b}\u{feff}ä\"日";
        let safe =
            "a\\u{d}\\u{a}\\u{1b}[31m\\u{9b}\\u{7f}\\u{202e}b\\u{2028}\\u{200b}\\u{feff}ä\"日";
        assert_eq!(escaped(text), safe);
        assert_eq!(escaped(safe), safe, "escaped once");
        for character in ('\0'..='\u{2ffff}').filter(|it| it.is_control()) {
            assert_ne!(escaped(&character.to_string()), character.to_string());
        }
    }

    #[test]
    fn a_long_text_is_cut_before_it_is_escaped() {
        assert_eq!(printable("ääääää", 4), "ääää…");
        assert_eq!(printable("ääää", 4), "ääää");
        assert_eq!(printable("\n\n\n", 2), "\\u{a}\\u{a}…");
    }
}
