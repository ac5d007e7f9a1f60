//! One conformance suite over every secret store, and what is special to each.

#[path = "stores/aws.rs"]
mod aws;
#[path = "stores/batch.rs"]
mod batch;
#[path = "stores/local.rs"]
mod local;
#[path = "stores/protocol.rs"]
mod protocol;
#[path = "stores/redshift/mod.rs"]
mod redshift;
#[path = "stores/sentences.rs"]
mod sentences;
#[path = "stores/served/mod.rs"]
mod served;
#[path = "stores/subject.rs"]
mod subject;
mod support;

use sentences::conforms;
use subject::Subject;
use support::aws::StandIn;
use support::moto::Moto;

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

/// moto is a second opinion where it is right. Left out is what moto 5.2.5 gets wrong, with what it
/// does in place of AWS's answer.
#[tokio::test]
async fn the_aws_store_conforms_on_moto_where_moto_is_right() {
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
