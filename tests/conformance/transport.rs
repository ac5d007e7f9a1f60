//! Sign-ins: TLS and credentials.

use std::io::{Read, Write};
use std::net::TcpListener;

use super::server::{Server, new_password};
use twinkey::code::Code;
use twinkey::engine::{Credentials, Engine, EngineError, Tls, TlsMode};

pub async fn all(server: &Server) {
    a_wrong_password_is_a_refused_sign_in(server).await;
    a_certificate_for_another_name_or_of_an_unknown_root_is_refused(server).await;
    a_server_without_tls_is_refused_and_hears_nothing_in_clear(server).await;
    nobody_there_is_unreachable(server).await;
}

async fn fails(server: &Server, change: impl FnOnce(&mut twinkey::engine::Target)) -> EngineError {
    let mut target = server.target("postgres");
    change(&mut target);
    let result = server.engine.sign_in(&target, &server.master, &[]).await;
    result.unwrap_err()
}

async fn a_wrong_password_is_a_refused_sign_in(server: &Server) {
    let wrong = Credentials {
        username: "rdsmaster".into(),
        password: new_password(),
    };
    let target = server.target("postgres");
    let error = server
        .engine
        .sign_in(&target, &wrong, &[])
        .await
        .unwrap_err();
    assert!(matches!(error, EngineError::SignIn { .. }), "{error}");
}

async fn a_certificate_for_another_name_or_of_an_unknown_root_is_refused(server: &Server) {
    let other_name = fails(server, |target| target.host = "127.0.0.1".into()).await;
    assert!(
        matches!(other_name, EngineError::Tls { .. }),
        "{other_name}"
    );
    let unknown_root = fails(server, |target| target.tls.ca_file = None).await;
    assert_eq!(unknown_root.code(), Code::TlsFailed, "{unknown_root}");
    let mut target = server.target("postgres");
    target.host = "127.0.0.1".into();
    target.tls.mode = TlsMode::VerifyCa;
    let engine = &server.engine;
    engine.sign_in(&target, &server.master, &[]).await.unwrap();
    target.tls = Tls {
        mode: TlsMode::VerifyCa,
        ca_file: None,
    };
    engine
        .sign_in(&target, &server.master, &[])
        .await
        .unwrap_err();
    target.tls.mode = TlsMode::Require;
    engine.sign_in(&target, &server.master, &[]).await.unwrap();
}

async fn a_server_without_tls_is_refused_and_hears_nothing_in_clear(server: &Server) {
    for mode in [TlsMode::VerifyFull, TlsMode::VerifyCa, TlsMode::Require] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        // Says "no TLS here", and gives back all that it was told.
        let plain = std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            let mut heard = vec![0; 8];
            socket.read_exact(&mut heard).unwrap();
            socket.write_all(b"N").unwrap();
            socket.read_to_end(&mut heard).unwrap();
            listener.set_nonblocking(true).unwrap();
            (heard, listener.accept().is_err())
        });
        let error = fails(server, |target| {
            target.host = "127.0.0.1".into();
            target.port = Some(port);
            target.tls.mode = mode;
        })
        .await;
        assert!(matches!(error, EngineError::Tls { .. }), "{error}");
        let (heard, no_second_try) = plain.join().unwrap();
        // SSLRequest: length 8, code 80877103.
        assert_eq!(heard, [0, 0, 0, 8, 4, 210, 22, 47]);
        assert!(no_second_try);
    }
}

async fn nobody_there_is_unreachable(server: &Server) {
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let error = fails(server, |target| target.port = Some(free)).await;
    assert!(matches!(error, EngineError::Unreachable { .. }), "{error}");
    assert!(error.retryable());
}
