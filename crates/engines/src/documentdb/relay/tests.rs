use std::time::Duration;

use mongodb::bson::{Document, doc};
use proptest::prelude::*;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use twinkey_testkit::hostile::{HostileServer, MongodbDemand, nested};
use twinkey_testkit::mongo::wire::Message as TestMessage;
use twinkey_testkit::pki::Pki;

use super::connection::relay;
use super::sign_in::{MOST_ROUNDS, check_challenge};
use super::wire::RelayError;
use super::{Remedy, depth};
use crate::documentdb::Documentdb;
use crate::{Credentials, Engine, EngineError, Target, Tls, TlsMode};

const PASSWORD: &str = "Master-0123456789-abcdef-XYZ";

/// The error of a master at this server.
async fn master_at(
    demand: MongodbDemand,
    mode: TlsMode,
    pki: &Pki,
) -> (HostileServer, EngineError) {
    let tls = (mode != TlsMode::Disable).then_some(&pki.server);
    let server = HostileServer::mongodb(demand, tls).await;
    let target = Target {
        address: None,
        host: "localhost".into(),
        port: Some(server.port()),
        dbname: None,
        tls: Tls {
            mode,
            ca_file: Some(pki.ca_file.clone()),
        },
    };
    let master = Credentials {
        username: "rdsmaster".into(),
        password: PASSWORD.into(),
    };
    let engine = Documentdb;
    let Err(error) = engine.admin(&target, &master).await else {
        panic!("{demand:?} {mode:?}: signed in");
    };
    (server, error)
}

#[tokio::test]
async fn what_a_server_may_cause_before_the_sign_in_is_limited() {
    let pki = Pki::new();
    for (demand, reason) in [
        (MongodbDemand::Rounds(2_147_483_647), "2147483647 rounds"),
        (MongodbDemand::Rounds(1_000_001), "the limit is 1000000"),
        (MongodbDemand::Rounds(4095), "at least 4096 are required"),
        (MongodbDemand::ShortNonce, "challenge is malformed"),
        (MongodbDemand::NoChallenge, "challenge is malformed"),
        (MongodbDemand::Plain, "challenge is malformed"),
        (MongodbDemand::Arbiter, "commands without a sign-in"),
        (MongodbDemand::NoSignature, "Authentication failed"),
        (MongodbDemand::HugeMessage, "a message of 2147483647 bytes"),
        (MongodbDemand::Deep(9000), "more than 200 levels"),
        (MongodbDemand::Endless, "no response to a request"),
    ] {
        for mode in [TlsMode::Disable, TlsMode::Require, TlsMode::VerifyFull] {
            let (server, error) = master_at(demand, mode, &pki).await;
            let text = error.to_string();
            assert!(text.contains(reason), "{demand:?} {mode:?}: {text}");
            assert!(!server.received(PASSWORD), "{demand:?} {mode:?}");
        }
    }
}

#[test]
fn a_challenge_needs_the_nonce_and_4096_to_1000000_rounds() {
    for rounds in [4096, 15_000, MOST_ROUNDS] {
        let challenge = format!("r=abcdef,s=c2FsdA==,i={rounds}");
        assert!(check_challenge(challenge.as_bytes(), "abc").is_ok());
    }
    for challenge in [
        "",
        "r=abcdef",
        "s=c2FsdA==,r=abcdef,i=4096",
        "r=abcdef,s=c2FsdA==,i=",
        "r=abcdef,s=c2FsdA==,i=-1",
        "r=abcdef,s=c2FsdA==,i=4294967296",
        "r=abc,s=c2FsdA==,i=4096",
        "r=ab,s=c2FsdA==,i=4096",
        "m=ext,r=abcdef,s=c2FsdA==,i=4096",
    ] {
        let refused = check_challenge(challenge.as_bytes(), "abc");
        assert!(
            matches!(&refused, Err(RelayError::Violation(it)) if it.remedy == Remedy::OtherServer),
            "{challenge}: {refused:?}"
        );
    }
}

#[test]
fn documents_of_201_levels_are_refused() {
    assert_eq!(depth::check(&nested(depth::DEEPEST)), Ok(()));
    assert!(depth::check(&nested(depth::DEEPEST + 1)).is_err());
    let deepest = Document::from_reader(nested(depth::DEEPEST).as_slice());
    assert!(deepest.is_ok(), "the driver reads it");
}

proptest! {
    #[test]
    fn every_kind_of_value_is_walked(
        text in ".{0,20}",
        bytes in proptest::collection::vec(any::<u8>(), 0..40),
        number in any::<i64>(),
    ) {
        use mongodb::bson::{
            Binary, Bson, DateTime, Decimal128, JavaScriptCodeWithScope, Regex, Timestamp, oid, spec,
        };
        let scope = doc! { "n": number };
        let pattern = |text: &str| text.replace('\0', "").try_into().unwrap();
        let document = doc! {
            "double": 1.5, "string": &text, "array": [1, [number]], "null": Bson::Null,
            "document": { "": { "bool": true } }, "undefined": Bson::Undefined,
            "binary": Binary { subtype: spec::BinarySubtype::Generic, bytes },
            "id": oid::ObjectId::new(), "date": DateTime::from_millis(number),
            "regex": Regex { pattern: pattern(&text), options: pattern("i") },
            "code": Bson::JavaScriptCode(text.clone()), "symbol": Bson::Symbol(text.clone()),
            "scoped": JavaScriptCodeWithScope { code: text, scope }, "i32": 7, "i64": number,
            "timestamp": Timestamp { time: 1, increment: 2 },
            "decimal": Decimal128::from_bytes([7; 16]), "min": Bson::MinKey, "max": Bson::MaxKey,
        };
        let bytes = document.to_vec().unwrap();
        prop_assert_eq!(depth::check(&bytes), Ok(()));
        for cut in 0..bytes.len() {
            prop_assert!(depth::check(&bytes[..cut]).is_err());
        }
    }

    #[test]
    fn no_bytes_make_the_walk_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let accepted = depth::check(&bytes).is_ok();
        prop_assert!(!accepted || bytes.len() >= 5);
    }
}

/// A relay whose driver has signed in, and its two ends.
async fn signed_in() -> (
    tokio::io::DuplexStream,
    tokio::io::DuplexStream,
    tokio::task::JoinHandle<Result<(), RelayError>>,
) {
    let (mut driver, client) = tokio::io::duplex(1 << 16);
    let (server, mut far) = tokio::io::duplex(1 << 16);
    let relay = tokio::spawn(relay(client, server));
    let proof = TestMessage::new(&doc! { "saslContinue": 1 }, 1, 0);
    driver.write_all(proof.bytes()).await.unwrap();
    exactly(&mut far, proof.bytes()).await;
    let done = proof.reply(&doc! { "ok": 1.0, "done": true });
    far.write_all(done.bytes()).await.unwrap();
    exactly(&mut driver, done.bytes()).await;
    (driver, far, relay)
}

async fn exactly(from: &mut (impl AsyncRead + Unpin), expected: &[u8]) {
    let mut bytes = vec![0; expected.len()];
    from.read_exact(&mut bytes).await.unwrap();
    assert_eq!(bytes, expected);
}

#[tokio::test]
async fn responses_after_the_sign_in_are_limited() {
    let request = TestMessage::new(&doc! { "usersInfo": 1 }, 2, 0);
    let header = |length: i32, response_to: i32, kind: i32| {
        [length, 9, response_to, kind]
            .map(i32::to_le_bytes)
            .concat()
    };
    let flagged = [header(26, 2, 2013), vec![2, 0, 0, 0, 0, 5, 0, 0, 0, 0]].concat();
    let section = [header(26, 2, 2013), vec![0, 0, 0, 0, 1, 5, 0, 0, 0, 0]].concat();
    let deep = nested(201);
    let length = i32::try_from(21 + deep.len()).unwrap();
    let deep = [header(length, 2, 2013), vec![0; 5], deep].concat();
    let ok = request.reply(&doc! { "ok": 1.0 }).bytes().to_vec();
    for (bytes, reason) in [
        (header(48_000_001, 2, 2013), "the limit is 48000000"),
        (header(-1, 2, 2013), "a message of -1 bytes"),
        (header(25, 2, 2013), "a message of 25 bytes"),
        (header(26, 3, 2013), "no response to a request"),
        (header(26, 2, 2012), "of the kind 2012"),
        (flagged, "were not requested"),
        (section, "were not requested"),
        (deep, "more than 200 levels"),
        ([ok.clone(), ok].concat(), "no response to a request"),
    ] {
        let (mut driver, mut far, relay) = signed_in().await;
        driver.write_all(request.bytes()).await.unwrap();
        exactly(&mut far, request.bytes()).await;
        far.write_all(&bytes).await.unwrap();
        match relay.await.unwrap() {
            Err(RelayError::Violation(it)) => assert!(it.reason.contains(reason), "{it:?}"),
            other => panic!("{reason}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn long_responses_pass_and_the_end_of_either_side_ends_the_relay() {
    for close_driver in [true, false] {
        let (mut driver, mut far, relay) = signed_in().await;
        let request = TestMessage::new(&doc! { "usersInfo": 1 }, 2, 0);
        driver.write_all(request.bytes()).await.unwrap();
        exactly(&mut far, request.bytes()).await;
        let long = request.reply(&doc! { "users": "u".repeat(1 << 20) });
        let sent = long.bytes().to_vec();
        let sending = tokio::spawn(async move {
            far.write_all(&sent).await.unwrap();
            far
        });
        exactly(&mut driver, long.bytes()).await;
        let far = sending.await.unwrap();
        if close_driver {
            drop(driver);
        } else {
            drop(far);
        }
        assert!(
            tokio::time::timeout(Duration::from_secs(20), relay)
                .await
                .is_ok()
        );
    }
}
