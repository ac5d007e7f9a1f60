use super::*;
use proptest::prelude::*;

fn parse(text: &str) -> Result<Document, DocumentError> {
    Document::parse(SecretString::from(text))
}

#[test]
fn unknown_fields_their_order_and_their_formatting_survive_a_new_user() {
    let text = "{ \"zeta\" : 1.00,\n \"password\":\"old\", \"n\": 12345678901234567890123,\n\t\"username\" :\"app\",\"a\":[1 , {\"password\":\"inner\"}] }";
    let next = parse(text)
        .unwrap()
        .with_credentials("app_clone", &SecretString::from("n\"ew"))
        .unwrap();
    assert_eq!(
        next.text().expose_secret(),
        "{ \"zeta\" : 1.00,\n \"password\":\"n\\\"ew\", \"n\": 12345678901234567890123,\n\t\"username\" :\"app_clone\",\"a\":[1 , {\"password\":\"inner\"}] }"
    );
    assert_eq!(next.fields().username, "app_clone");
    assert_eq!(next.password().expose_secret(), "n\"ew");
}

#[test]
fn every_missing_field_is_named_at_once() {
    assert_eq!(
        parse("{}").unwrap_err().to_string(),
        "the secret lacks the field `username`, `password`"
    );
}

#[test]
fn each_malformed_field_is_named_and_no_value_is_quoted() {
    for (text, field) in [
        (r#"{"username":7,"password":"hunter2hunter2"}"#, "username"),
        (r#"{"username":"","password":"hunter2hunter2"}"#, "username"),
        (
            r#"{"username":"a\u0000b","password":"hunter2hunter2"}"#,
            "username",
        ),
        (r#"{"username":"a","password":""}"#, "password"),
        (r#"{"username":"a","password":null}"#, "password"),
        (
            r#"{"username":"a","password":"hunter2hunter2","port":0}"#,
            "port",
        ),
        (
            r#"{"username":"a","password":"hunter2hunter2","port":"x"}"#,
            "port",
        ),
        (
            r#"{"username":"a","password":"hunter2hunter2","port":70000}"#,
            "port",
        ),
        (
            r#"{"username":"a","password":"hunter2hunter2","ssl":"maybe"}"#,
            "ssl",
        ),
        (
            r#"{"username":"a","password":"hunter2hunter2","host":[]}"#,
            "host",
        ),
        (
            r#"{"username":"a","password":"hunter2hunter2","engine":1}"#,
            "engine",
        ),
        (
            r#"{"username":"a","password":"hunter2hunter2","password":"x"}"#,
            "password",
        ),
    ] {
        let error = parse(text).unwrap_err();
        assert!(error.to_string().contains(&format!("`{field}`")), "{error}");
        assert!(!format!("{error:?}{error}{}", error.hint()).contains("hunter2"));
    }
    for text in ["", "[]", "not json hunter2", "{\"username\":\"a\"", "{} x"] {
        let error = parse(text).unwrap_err();
        assert!(!format!("{error:?}{error}{}", error.hint()).contains("hunter2"));
    }
}

#[test]
fn a_port_may_be_a_number_or_a_string_and_ssl_a_boolean_or_a_string() {
    let d = parse(r#"{"username":"a","password":"b","port":"5432","ssl":"False"}"#).unwrap();
    assert_eq!((d.fields().port, d.fields().ssl), (Some(5432), Some(false)));
    let d = parse(r#"{"username":"a","password":"b","port":5433,"ssl":true}"#).unwrap();
    assert_eq!((d.fields().port, d.fields().ssl), (Some(5433), Some(true)));
}

#[test]
fn an_edit_is_seen_also_beside_a_number_that_no_type_holds() {
    let of = |host: &str| {
        let text = format!(r#"{{"username":"a","password":"b","n":1e99999,"host":"{host}"}}"#);
        parse(&text).unwrap()
    };
    assert!(!of("one").same_but_for_credentials(&of("other")));
    let next = of("one").with_credentials("c", &SecretString::from("d"));
    assert!(next.unwrap().same_but_for_credentials(&of("one")));
}

#[test]
fn debug_shows_no_password() {
    let d = parse(r#"{"username":"a","password":"hunter2"}"#).unwrap();
    assert!(!format!("{d:?}").contains("hunter2"));
}

proptest! {
    #[test]
    fn any_credentials_read_back_as_they_were_put_in(
        user in "[^\u{0}]{1,40}", password in "[^\u{0}]{1,60}", note in ".*"
    ) {
        let text = serde_json::json!({"note": note, "username": "x", "password": "y", "tail": [1, 2]}).to_string();
        let old = parse(&text).unwrap();
        let next = old.with_credentials(&user, &SecretString::from(password.clone())).unwrap();
        let again = Document::parse(next.text().clone()).unwrap();
        prop_assert_eq!(&again.fields().username, &user);
        prop_assert_eq!(again.password().expose_secret(), password.as_str());
        prop_assert!(again.same_but_for_credentials(&old));
        let back = again.with_credentials("x", &SecretString::from("y")).unwrap();
        prop_assert_eq!(back.text().expose_secret(), text.as_str());
    }

    #[test]
    fn no_input_panics(text in ".*") {
        let _ = parse(&text);
    }
}

#[test]
fn the_size_of_the_next_document_is_known_before_its_password() {
    for text in [
        r#"{"username":"app","password":"old","host":"db"}"#,
        r#"{ "password" : "o\"ld" , "username" : "a\u0070p" }"#,
    ] {
        let document = parse(text).unwrap();
        for user in ["app_clone", "a\"b", "ü"] {
            let next = document
                .with_credentials(user, &SecretString::from("x".repeat(32)))
                .unwrap();
            assert_eq!(
                document.size_with(user, 32),
                next.text().expose_secret().len()
            );
        }
    }
}
