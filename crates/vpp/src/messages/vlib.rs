//! `vlib.api`: VPP's command line, for state without an API message.

message! {
    /// Runs a command of VPP's command line.
    Request CliInband = "cli_inband" 0xf837_7302 {
        cmd: String,
    }
}

message! {
    /// The reply to [`CliInband`].
    Reply CliInbandReply = "cli_inband_reply" 0x0587_9051 {
        /// 0 if the command ran.
        retval: i32,
        /// Output of the command.
        reply: String,
    }
}
answered!(CliInband => CliInbandReply);
