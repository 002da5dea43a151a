//! The parts of the contract that security depends on.

use prost::Message as _;
use prost_types::{DescriptorProto, FileDescriptorSet};

use crate::proto::DESCRIPTORS;

/// The only call that affects VPP requests a sync. It cannot accept removals, whose IDs every reader knows.
#[test]
fn sync_request_has_no_fields() {
    let files = FileDescriptorSet::decode(DESCRIPTORS).expect("descriptors").file;
    let file = files.iter().find(|file| file.package() == "maglev.v1").expect("the contract");
    let is_request = |message: &&DescriptorProto| message.name() == "SyncVppLbStateRequest";
    let request = file.message_type.iter().find(is_request).expect("the request");
    assert!(request.field.is_empty(), "{request:?}");
    assert_eq!(request.reserved_name, ["accept_removals"]);
}
