//! `vlib.api`: VPP's command line, for state without an API message.

use crate::{
    codec::{CodecError, Reader, Wire as _},
    messages::{HeaderKind, header},
};

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

/// Size of the body of a [`CliInbandReply`] up to its text.
pub const BEFORE_TEXT: usize = 14;

/// Reads the body of a [`CliInbandReply`] up to its text. Returns the length of the text.
///
/// # Errors
/// The body is too short, or the text does not fill the rest of a body of `length` bytes.
pub fn text_length(body: &[u8], length: usize) -> Result<usize, CodecError> {
    let mut from = Reader::new(body);
    header(&mut from, HeaderKind::Reply)?;
    let _retval = i32::get(&mut from)?;
    let needed = usize::try_from(u32::get(&mut from)?).unwrap_or(usize::MAX);
    let left = length.saturating_sub(BEFORE_TEXT);
    match left.checked_sub(needed) {
        Some(0) => Ok(needed),
        Some(left) => Err(CodecError::Trailing { left }),
        None => Err(CodecError::Short { needed, left }),
    }
}
