//! `check --offline`: the config and the files that it names.

use serde_json::Value as Json;
use twinkey_testkit::environment::{Backend, Environment, Setup};

/// All findings of `check --offline` with errors, as text.
async fn errors(env: &Environment) -> String {
    let checked = env.twinkey(&["check", "--offline", "--json"]).await;
    let reports: Json = serde_json::from_slice(&checked.stdout).unwrap();
    let findings = reports.as_array().unwrap().iter();
    let errors: Vec<String> = findings
        .flat_map(|report| report["findings"].as_array().unwrap())
        .filter(|finding| finding["severity"] == "error")
        .map(|finding| {
            assert_eq!(finding["code"], "config_invalid", "{finding:#}");
            assert!(finding["fix"].is_string(), "{finding:#}");
            finding["what"].as_str().unwrap().to_owned()
        })
        .collect();
    let status = i32::from(!errors.is_empty());
    assert_eq!(checked.status.code(), Some(status), "{errors:?}");
    errors.join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn check_offline_reads_the_files_that_the_config_names() {
    let env = Environment::open_with(Setup::default(), Backend::Local).await;
    assert_eq!(errors(&env).await, "");
    let valid = std::fs::read_to_string(env.config()).unwrap();
    let write =
        |name: &str, text: &str| std::fs::write(env.folder.path().join(name), text).unwrap();
    let configure =
        |lines: &str| std::fs::write(env.config(), format!("{lines}\n{valid}")).unwrap();

    configure("[server]\nadmin_token_file = \"admin.token\"");
    assert!(errors(&env).await.contains("admin.token"));
    write("admin.token", "short");
    assert!(errors(&env).await.contains("shorter than"));
    configure("[server]\nadmin_token = \"env:NO_SUCH_VARIABLE\"");
    assert_eq!(errors(&env).await, "");
    configure("[server]\ntls = { cert = \"no.crt\", key = \"no.key\" }");
    assert!(errors(&env).await.contains("no.crt"));
    configure("[[token]]\nname = \"one\"\nrole = \"viewer\"\ntoken = \"file:one.token\"");
    assert!(errors(&env).await.contains("one.token"));
    configure(
        "[[notify]]\nkind = \"webhook\"\nurl = \"https://127.0.0.1/hook\"\nkey = \"file:hook.key\"\nevents = [\"failed\"]",
    );
    assert!(errors(&env).await.contains("hook.key"));

    let disabled = "tls = { mode = \"disable\" }";
    let missing = "tls = { mode = \"verify-full\", ca_file = \"ca.pem\" }";
    std::fs::write(env.config(), valid.replace(disabled, missing)).unwrap();
    assert!(errors(&env).await.contains("ca.pem"));
    write("ca.pem", "no certificate");
    assert!(errors(&env).await.contains("ca.pem"));

    for secret in ["shop db!", "", "prod/shöp"] {
        let renamed = valid.replace("secret = \"prod/shop\"", &format!("secret = {secret:?}"));
        std::fs::write(env.config(), renamed).unwrap();
        let offline = ["check", "--offline"];
        let message = env.fails(&offline, 2, "config_invalid").await;
        assert!(message.contains("secret: "), "{message}");
    }
}
