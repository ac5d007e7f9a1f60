//! Tests of the code itself: of all error codes (text form, hints and pages), and of the tasks.

mod hints;
mod pages;
mod tasks;

use twinkey_core::code::Code;

#[test]
fn the_text_form_is_the_serialised_form_and_unique() {
    let mut seen = std::collections::BTreeSet::new();
    for code in Code::ALL {
        assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        assert!(seen.insert(code.as_str()), "{code} is not unique");
    }
}
