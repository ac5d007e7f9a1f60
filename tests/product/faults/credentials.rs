//! Credentials of AWS that are missing, expired or wrong.

use twinkey_testkit::environment::{Environment, Setup};
use twinkey_testkit::locations::twinkey_program;

/// The error and the hint, of one line each.
async fn refused(env: &Environment, code: &str, variables: &[(&str, &str)]) -> (String, String) {
    let mut command = env.command(twinkey_program());
    command.args(["rotate", "shop"]);
    // Nothing but these variables, so that the machine's own credentials are not used.
    for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"] {
        command.env_remove(name);
    }
    command
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("HOME", env.folder.path())
        .envs(variables.iter().copied());
    let output = command.output().await.unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{message}");
    let prefix = format!("error[{code}]: ");
    let error = message.lines().find(|line| line.starts_with(&prefix));
    let hint = message
        .lines()
        .find(|line| line.trim().starts_with("hint: "));
    let (Some(error), Some(hint)) = (error, hint) else {
        panic!("{message}");
    };
    assert!(error.len() < 250, "{error}");
    (error.to_owned(), hint.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_of_the_credentials_is_one_sentence() {
    let env = Environment::open(Setup::default()).await;
    let code = "aws_credentials";
    let (error, hint) = refused(&env, code, &[]).await;
    assert!(error.contains("no AWS credentials were found"), "{error}");
    assert!(hint.contains("AWS_PROFILE"), "{hint}");

    // A profile whose program fails.
    let config = env.folder.path().join("aws-config");
    std::fs::write(&config, "[default]\ncredential_process = /bin/false\n").unwrap();
    let by_profile = [("AWS_CONFIG_FILE", config.to_str().unwrap())];
    let (error, _) = refused(&env, code, &by_profile).await;
    assert!(error.contains("cannot be loaded"), "{error}");

    let keys = [
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
    ];
    for (name, words, remedy) in [
        ("ExpiredTokenException", "has expired", "renew the session"),
        (
            "UnrecognizedClientException",
            "does not exist",
            "AWS_ACCESS_KEY_ID",
        ),
        (
            "InvalidSignatureException",
            "does not match",
            "secret access key",
        ),
        ("RequestTimeTooSkewed", "clock", "NTP"),
    ] {
        let faults = env.stand_in().faults();
        faults.answer("DescribeSecret", usize::MAX, 400, name);
        faults.answer("GetSecretValue", usize::MAX, 400, name);
        let (error, hint) = refused(&env, code, &keys).await;
        assert!(error.contains(words), "{name}: {error}");
        assert!(error.contains(name), "{name}: {error}");
        assert!(hint.contains(remedy), "{name}: {hint}");
        faults.forget_answers();
    }
}

/// Removes the region and the endpoint from the config.
pub fn remove_region(env: &Environment) {
    let config = std::fs::read_to_string(env.config()).unwrap();
    let endpoint = format!("endpoint_url = \"{}\"", env.stand_in().url());
    let lines = config.lines();
    let lines = lines.filter(|line| !line.contains(&endpoint) && !line.starts_with("region"));
    let without: Vec<&str> = lines.collect();
    std::fs::write(env.config(), without.join("\n")).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_region_is_named() {
    let env = Environment::open(Setup::default()).await;
    remove_region(&env);
    let keys = [
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
    ];
    let (error, hint) = refused(&env, "aws_credentials", &keys).await;
    assert!(error.contains("no AWS region is set"), "{error}");
    assert!(hint.contains("secrets.region"), "{hint}");
}
