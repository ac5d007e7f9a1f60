use super::with;

const APP: &str = "[secrets]\nbackend = \"local\"\n[[rotation]]\nname = \"app-eu\"\nsecret = \"s\"\n\
    [[rotation]]\nname = \"app-eu--b\"\nsecret = \"t\"\n";

fn refusal(text: &str, variables: &[(&str, &str)]) -> String {
    with(text, variables).unwrap_err().to_string()
}

#[test]
fn variables_override_the_file_at_every_level() {
    let settings = with(
        APP,
        &[
            ("TWINKEY__SERVER__LISTEN", "127.0.0.1:9"),
            ("TWINKEY__LIMITS__PER_HOST", "7"),
            ("TWINKEY__DEFAULTS__PASSWORD__LENGTH", "40"),
            ("TWINKEY__DEFAULTS__PROBE", "[\"SELECT 1\"]"),
            ("TWINKEY__ROTATION__APP_EU__POSTGRES__SET_ROLE", "false"),
            ("TWINKEY__ROTATION__APP_EU__CLONE_SUFFIX", "_two"),
            // `app-eu--b` also begins with `app-eu` and the separator.
            ("TWINKEY__ROTATION__APP_EU__B__CLONE_SUFFIX", "_three"),
            ("TWINKEY_CONFIG", "x"),
        ],
    )
    .unwrap();
    assert_eq!(settings.server.listen.port(), 9);
    assert_eq!(settings.limits.per_host, 7);
    let [first, second] = &settings.rotations[..] else {
        panic!("two rotations");
    };
    assert_eq!(first.password.length(), 40);
    assert_eq!(first.probe, ["SELECT 1"]);
    assert!(!first.options.postgres.set_role && second.options.postgres.set_role);
    assert_eq!(
        (&*first.clone_suffix, &*second.clone_suffix),
        ("_two", "_three")
    );
}

#[test]
fn a_variable_can_set_a_key_that_the_file_lacks() {
    let settings = with("", &[("TWINKEY__SECRETS__BACKEND", "local")]).unwrap();
    assert!(settings.rotations.is_empty());
}

#[test]
fn an_invalid_variable_is_an_error_with_its_name() {
    for (name, value, message) in [
        (
            "TWINKEY__SERVER__LISTN",
            "x",
            "TWINKEY__SERVER__LISTN: server.listn: is not a known key; did you mean `listen`?",
        ),
        (
            "TWINKEY__LIMITS__PER_HOST",
            "0",
            "TWINKEY__LIMITS__PER_HOST: limits.per_host: must be a whole number from 1 to 1000000",
        ),
        (
            "TWINKEY__SERVER",
            "x",
            "TWINKEY__SERVER: server: must be a table",
        ),
        (
            "TWINKEY__SECRETS__PATH__X",
            "x",
            "TWINKEY__SECRETS__PATH__X: `path` is not a table",
        ),
        (
            "TWINKEY__SERVER__",
            "x",
            "TWINKEY__SERVER__: names no key: the form is TWINKEY__SECTION__KEY",
        ),
        (
            "TWINKEY__server__LISTEN",
            "x",
            "TWINKEY__server__LISTEN: must be in upper case",
        ),
        (
            "TWINKEY__ROTATION__UNKNOWN__WINDOW",
            "1h",
            "TWINKEY__ROTATION__UNKNOWN__WINDOW: names no rotation of the file: the form is TWINKEY__ROTATION__NAME__KEY, with the name in upper case and _ for -",
        ),
        (
            "TWINKEY__DEFAULTS__TLS__MODE",
            "x",
            "TWINKEY__DEFAULTS__TLS__MODE: defaults.tls.mode: must be one of \"verify-full\", \"verify-ca\", \"require\", \"disable\", \"secret\"",
        ),
        (
            "TWINKEY__SERVER__TLS",
            "x",
            "TWINKEY__SERVER__TLS: server.tls: must be a table",
        ),
        (
            "TWINKEY__SECRETS__SERVE",
            "x",
            "TWINKEY__SECRETS__SERVE: secrets.serve: must be a table",
        ),
    ] {
        let text = APP.replace("backend", "path = \"p\"\nbackend");
        assert_eq!(refusal(&text, &[(name, value)]), message);
    }
}
