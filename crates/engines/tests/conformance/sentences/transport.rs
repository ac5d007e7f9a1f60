//! TLS and credentials of sign-ins.

use std::net::TcpListener;

use twinkey_core::code::{Code, Diagnostic as _};
use twinkey_engines::{Credentials, EngineError, SignInChecks, SignedIn, Target, Tls, TlsMode};

use crate::harness::Harness;
use crate::passwords::new_password;

pub async fn all(harness: &dyn Harness) {
    a_wrong_password_is_a_refused_sign_in(harness).await;
    if !harness.connects() {
        return;
    }
    another_name_or_an_unknown_root_is_refused(harness).await;
    a_server_without_tls_receives_no_clear_text(harness).await;
    a_closed_port_is_unreachable(harness).await;
}

/// Signs the master in, on a changed target.
async fn sign_in(
    harness: &dyn Harness,
    change: impl FnOnce(&mut Target),
) -> Result<SignedIn, EngineError> {
    let mut target = harness.target(harness.home());
    change(&mut target);
    let (engine, master) = (harness.engine(), harness.master());
    engine
        .sign_in(&target, master, SignInChecks::default())
        .await
}

async fn a_wrong_password_is_a_refused_sign_in(harness: &dyn Harness) {
    let target = harness.target(harness.home());
    for username in [harness.master().username.as_str(), "no_user_of_this_name"] {
        let wrong = Credentials {
            username: username.into(),
            password: new_password(),
        };
        let refused = harness
            .engine()
            .sign_in(&target, &wrong, SignInChecks::default())
            .await;
        let error = refused.unwrap_err();
        assert!(matches!(error, EngineError::SignIn { .. }), "{error}");
        assert!(!error.retryable());
    }
}

async fn another_name_or_an_unknown_root_is_refused(harness: &dyn Harness) {
    sign_in(harness, |_| ()).await.unwrap();
    let other_name = sign_in(harness, |target| target.host = "127.0.0.1".into()).await;
    let error = other_name.unwrap_err();
    assert!(matches!(error, EngineError::Tls { .. }), "{error}");
    let unknown_root = sign_in(harness, |target| target.tls.ca_file = None).await;
    let error = unknown_root.unwrap_err();
    assert_eq!(error.code(), Code::TlsFailed, "{error}");
    let verify_ca = |target: &mut Target| {
        target.host = "127.0.0.1".into();
        target.tls.mode = TlsMode::VerifyCa;
    };
    sign_in(harness, verify_ca).await.unwrap();
    let unverified = |mode| {
        move |target: &mut Target| {
            target.host = "127.0.0.1".into();
            target.tls = Tls {
                mode,
                ca_file: None,
            };
        }
    };
    let error = sign_in(harness, unverified(TlsMode::VerifyCa)).await;
    assert_eq!(error.unwrap_err().code(), Code::TlsFailed);
    let required = sign_in(harness, unverified(TlsMode::Require)).await;
    required.unwrap();
}

async fn a_server_without_tls_receives_no_clear_text(harness: &dyn Harness) {
    for mode in [TlsMode::VerifyFull, TlsMode::VerifyCa, TlsMode::Require] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let converse = harness.plain_server();
        let plain = std::thread::spawn(move || {
            let received = converse(listener.accept().unwrap().0);
            listener.set_nonblocking(true).unwrap();
            (received, listener.accept().is_err())
        });
        let refused = sign_in(harness, |target| {
            target.host = "127.0.0.1".into();
            target.port = Some(port);
            target.tls.mode = mode;
        })
        .await;
        let error = refused.unwrap_err();
        assert!(matches!(error, EngineError::Tls { .. }), "{error}");
        let (received, no_second_try) = plain.join().unwrap();
        assert_eq!(received, [0; 0], "{mode:?}");
        assert!(no_second_try, "{mode:?}");
    }
}

async fn a_closed_port_is_unreachable(harness: &dyn Harness) {
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let refused = sign_in(harness, |target| target.port = Some(free)).await;
    let error = refused.unwrap_err();
    assert!(matches!(error, EngineError::Unreachable { .. }), "{error}");
    assert!(error.retryable());
}
