//! `vpe.api`: which VPP this is.

use crate::codec::Text;

message! {
    /// Asks for VPP's version.
    Request ShowVersion = "show_version" 0x5107_7d14 {}
}

message! {
    /// The answer to [`ShowVersion`].
    Reply ShowVersionReply = "show_version_reply" 0xc919_bde1 {
        retval: i32,
        program: Text<32>,
        /// Such as `26.10-rc0~374-gb575ec2c56d`.
        version: Text<32>,
        /// Such as `2026-11-22T22:48:06`.
        build_date: Text<32>,
        /// Where it was built.
        build_directory: Text<256>,
    }
}
answered!(ShowVersion => ShowVersionReply);
