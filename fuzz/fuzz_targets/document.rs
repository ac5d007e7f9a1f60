//! A text as a secret document: a new user and password change these two values and no other byte.
//!
//! The input is the document, then a user and a password after NUL characters.
#![no_main]

use std::ops::Range;

use libfuzzer_sys::fuzz_target;
use secrecy::{ExposeSecret, SecretString};
use serde_json::value::RawValue;
use twinkey_core::code::Diagnostic;
use twinkey_core::secret::document::{Document, DocumentError};

fuzz_target!(|input: &str| {
    let mut parts = input.split('\0');
    let text = parts.next().unwrap_or_default();
    let user = parts.next().unwrap_or("app_clone");
    let password = parts.next().unwrap_or("n\"ew\\");
    match Document::parse(SecretString::from(text)) {
        Ok(document) => changes_two_values(&document, text, user, password),
        Err(error) => points_inside(&error, text),
    }
});

fn points_inside(error: &DocumentError, text: &str) {
    assert!(!error.to_string().is_empty() && !error.hint().is_empty());
    match error {
        DocumentError::NotAnObject { line, column } => {
            // The end of the text is a valid position.
            let lines: Vec<&str> = text.split('\n').collect();
            assert!((1..=lines.len()).contains(line), "{error:?}");
            assert!(*column <= lines[line - 1].len() + 1, "{error:?}");
        }
        DocumentError::Duplicate { field } => {
            let object = serde_json::from_str::<serde_json::Value>(text);
            assert!(object.is_err() || object.is_ok_and(|o| o.get(field).is_some()));
        }
        _ => {}
    }
}

fn changes_two_values(document: &Document, text: &str, user: &str, password: &str) {
    assert_eq!(document.text().expose_secret(), text);
    let shown = format!("{document:?}");
    let next = document.with_credentials(user, &SecretString::from(password));
    let Ok(next) = next else {
        assert!(
            user.is_empty() || password.is_empty(),
            "only an empty value is refused"
        );
        return;
    };
    assert_eq!(next.fields().username, user);
    assert_eq!(next.password().expose_secret(), password);
    assert!(next.same_but_for_credentials(document));
    let edited = text.replacen('{', "{\"edited here\":1,", 1);
    if let Ok(edited) = Document::parse(SecretString::from(edited)) {
        assert!(
            !edited.same_but_for_credentials(document),
            "an edit is detected"
        );
    }
    let mut expected = text.to_owned();
    let mut values = [
        (value_of(text, "username"), user),
        (value_of(text, "password"), password),
    ];
    values.sort_by_key(|(span, _)| std::cmp::Reverse(span.start));
    for (span, value) in values {
        expected.replace_range(span, &serde_json::Value::from(value).to_string());
    }
    assert_eq!(
        next.text().expose_secret(),
        &expected,
        "every other byte is unchanged"
    );
    let secret = document.password().expose_secret();
    let fields = format!("{:?}", document.fields());
    assert!(secret.len() < 8 || fields.contains(secret) || !shown.contains(secret));
}

/// The range of the value of a top-level field, without the product's parser.
fn value_of(text: &str, expected: &str) -> Range<usize> {
    let skip = |at: usize, sign: &str| {
        let blank = |c: char| c.is_ascii_whitespace() || sign.contains(c);
        text.len() - text[at..].trim_start_matches(blank).len()
    };
    let mut at = skip(0, "{");
    loop {
        let mut key = serde_json::Deserializer::from_str(&text[at..]).into_iter::<String>();
        let name = key.next().expect("a field").expect("its name");
        let from = skip(at + key.byte_offset(), ":");
        let mut value = serde_json::Deserializer::from_str(&text[from..]).into_iter();
        let _: &RawValue = value.next().expect("a value").expect("a right one");
        let to = from + value.byte_offset();
        if name == expected {
            return from..to;
        }
        at = skip(to, ",");
    }
}
