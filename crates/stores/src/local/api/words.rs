//! Words of texts, as the filters `description` and `all` compare them.
//!
//! Source: user guide, "Find secrets in Secrets Manager". Words end at punctuation, at changes of
//! case, and between letters and digits. Of `COMPANYthings`, AWS makes `COMPAN` and `Ythings`.
//!
//! # Failure modes
//! - A search finds parts of words, such as "my" in "enemy". A searched word matches the beginning
//!   of a word only.
//! - A search for punctuation finds everything. A search without words finds nothing.

/// The words of a search, in lower case.
pub(super) struct WordSearch(Vec<String>);

impl WordSearch {
    /// The search for the words of a text.
    pub(super) fn new(text: &str) -> Self {
        Self(words(text))
    }

    /// Whether each searched word is the beginning of a word of this text.
    pub(super) fn matches(&self, text: &str) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let found = words(text);
        let is_found = |searched: &String| found.iter().any(|word| word.starts_with(searched));
        self.0.iter().all(is_found)
    }
}

/// Class of a character.
#[derive(Clone, Copy, PartialEq, Eq)]
enum CharClass {
    Upper,
    /// A lower-case letter, or one without case.
    Letter,
    Digit,
    Separator,
}

impl CharClass {
    fn of(c: char) -> Self {
        if c.is_numeric() {
            Self::Digit
        } else if c.is_uppercase() {
            Self::Upper
        } else if c.is_alphabetic() {
            Self::Letter
        } else {
            Self::Separator
        }
    }
}

/// The words of a text, in lower case.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut previous = CharClass::Separator;
    for c in text.chars() {
        let class = CharClass::of(c);
        if (previous, class) == (CharClass::Upper, CharClass::Letter) {
            // The capital before a lower-case letter begins its word.
            let capital = word.pop();
            end(&mut words, &mut word);
            word.extend(capital);
        } else if previous != class {
            end(&mut words, &mut word);
        }
        if class != CharClass::Separator {
            word.push(c);
        }
        previous = class;
    }
    end(&mut words, &mut word);
    words
}

/// Moves a word to the list, if it has a character.
fn end(words: &mut Vec<String>, word: &mut String) {
    if !word.is_empty() {
        words.push(std::mem::take(word).to_lowercase());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_end_as_in_the_user_guide() {
        for (text, expected) in [
            ("", &[] as &[&str]),
            ("+", &[]),
            ("test", &["test"]),
            ("My Test", &["my", "test"]),
            ("Mytest", &["mytest"]),
            ("MyTestPhrase", &["my", "test", "phrase"]),
            ("myTest", &["my", "test"]),
            ("prod-AppBeta/x", &["prod", "app", "beta", "x"]),
            ("credsDatabase#892", &["creds", "database", "892"]),
            ("uat/COMPANY", &["uat", "company"]),
            ("COMPANYthings", &["compan", "ythings"]),
            ("v2Beta10", &["v", "2", "beta", "10"]),
            ("ÄrgerÜber", &["ärger", "über"]),
        ] {
            assert_eq!(words(text), expected, "{text}");
        }
    }

    #[test]
    fn a_search_compares_beginnings_of_words() {
        for (search, text, matches) in [
            ("my", "My secret", true),
            ("my", "enemy", false),
            ("My_Secret", "my secret", true),
            ("My Description", "Description of my secret", true),
            ("My Description", "my secret", false),
            ("sec", "SecretOne", true),
            ("ret", "SecretOne", false),
            ("SomeSecret", "SecretOne", false),
            ("d t", "DescTwo", true),
            ("N", "COMPANYthings", false),
            ("+", "prod+AppBeta", false),
            ("", "anything", false),
        ] {
            let is_match = WordSearch::new(search).matches(text);
            assert_eq!(is_match, matches, "{search:?} in {text:?}");
        }
    }
}
