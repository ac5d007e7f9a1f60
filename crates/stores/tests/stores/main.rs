//! One conformance suite over all secret stores, and the tests of each store.

#![cfg(feature = "aws")]

mod aws;
mod batch;
mod label_seals;
mod local;
mod protocol;
mod redshift;
mod sentences;
mod served;
mod subject;

use sentences::conforms;
use subject::Subject;
use twinkey_testkit::aws::StandIn;
use twinkey_testkit::moto::Moto;

#[tokio::test]
async fn the_embedded_store_conforms() {
    let folder = tempfile::tempdir().unwrap();
    conforms(&Subject::local(folder.path()).await, &[]).await;
}

#[tokio::test]
async fn the_aws_store_conforms_on_the_strict_stand_in() {
    let stand_in = StandIn::start().await;
    conforms(&Subject::aws(&stand_in.url()), &[]).await;
}

/// Second opinion by moto. The omitted properties are wrong in moto 5.2.5; comments state its
/// behaviour.
#[tokio::test]
async fn the_aws_store_conforms_on_moto() {
    let moto = Moto::start().await;
    let wrong = [
        // overwrites the value
        "a put under the same id with other content is refused",
        // strips AWSCURRENT from the version
        "the same put again changes nothing, even after promotion",
        // accepts it, and the secret has no AWSCURRENT
        "AWSCURRENT cannot be removed",
        // accept them
        "a value of more than 65,536 bytes is refused",
        "a secret marked for deletion can be described, but not read or written",
    ];
    conforms(&Subject::aws(moto.url()), &wrong).await;
}
