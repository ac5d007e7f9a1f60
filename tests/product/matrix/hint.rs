//! Statements and config keys in a printed hint.

/// The words with which statements begin.
const BEGINNINGS: [&str; 10] = [
    "ALTER ",
    "GRANT ",
    "REVOKE ",
    "CREATE ",
    "DROP ",
    "SELECT ",
    "SET GLOBAL ",
    "INSTALL ",
    "KILL ",
    "db.getSiblingDB(",
];

/// What follows a statement in a sentence.
const ENDS: [&str; 4] = [", or ", ", with ", ", and ", " (RDS"];

/// The statements in a hint, which separates them by semicolons.
pub fn statements(hint: &str) -> Vec<String> {
    hint.split("; ")
        .filter_map(|part| {
            let start = BEGINNINGS.iter().filter_map(|word| part.find(word)).min()?;
            let statement = &part[start..];
            let end = ENDS.iter().filter_map(|end| statement.find(end)).min();
            Some(
                statement[..end.unwrap_or(statement.len())]
                    .trim()
                    .to_owned(),
            )
        })
        .collect()
}

/// The keys of the config that a hint sets, each with its value.
pub fn keys(hint: &str) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for part in hint.split("set ").skip(1) {
        let Some((key, rest)) = part.split_once(" = ") else {
            continue;
        };
        let is_key = |c: char| c.is_ascii_lowercase() || c == '_' || c == '.';
        let value = match rest.strip_prefix('[').and_then(|list| list.split_once(']')) {
            Some((list, _)) => format!("[{list}]"),
            None => rest.split_inclusive('"').take(2).collect(),
        };
        if key.chars().all(is_key) && value.starts_with(['"', '[']) {
            all.push((key.to_owned(), value));
        }
    }
    all
}

#[test]
fn statements_and_keys_are_found_in_sentences() {
    for (hint, expected) in [
        (
            "find out who set it, then ALTER ROLE \"app\" LOGIN",
            vec!["ALTER ROLE \"app\" LOGIN"],
        ),
        (
            "ALTER ROLE a VALID UNTIL 'infinity', or a later date",
            vec!["ALTER ROLE a VALID UNTIL 'infinity'"],
        ),
        (
            "GRANT a TO b; ALTER ROLE b SET role TO 'a'",
            vec!["GRANT a TO b", "ALTER ROLE b SET role TO 'a'"],
        ),
        ("check the host", vec![]),
    ] {
        assert_eq!(statements(hint), expected);
    }
    let hint = "set tls.mode = \"verify-full\": or set accounts = [\"%\"] if it is; set port = 1";
    let expected = [("tls.mode", "\"verify-full\""), ("accounts", "[\"%\"]")]
        .map(|(key, value)| (key.to_owned(), value.to_owned()));
    assert_eq!(keys(hint), expected);
}
