//! `vpe.api`: VPP's version.

use crate::codec::Text;

message! {
    /// Reads VPP's version.
    Request ShowVersion = "show_version" 0x5107_7d14 {}
}

message! {
    /// The reply to [`ShowVersion`].
    Reply ShowVersionReply = "show_version_reply" 0xc919_bde1 {
        retval: i32,
        program: Text<32>,
        /// For example `26.10-rc0~374-gb575ec2c56d`.
        version: Text<32>,
        /// For example `2026-11-22T22:48:06`.
        build_date: Text<32>,
        /// Directory of the build.
        build_directory: Text<256>,
    }
}
answered!(ShowVersion => ShowVersionReply);
