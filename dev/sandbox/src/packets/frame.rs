//! Frames between the router of the sandbox and a simulated VPP, on a Unix stream socket: a packet in either direction, or
//! the VIPs of the VPP.
//!
//! A frame is a length in four bytes, a byte for the kind, and a packet or JSON.

use std::{io, net::IpAddr};

use bytes::{BufMut as _, Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use tokio_util::codec::{Decoder, Encoder, LengthDelimitedCodec};

/// Maximum length of a frame. The VIPs of a VPP take about 60 bytes each.
const MAX_FRAME: usize = 4 << 20;

/// `lb_encap_type` of L3DSR.
pub const L3DSR: u32 = 2;

const PACKET: u8 = 0;
const VIPS: u8 = 1;

/// A VIP that a VPP has.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ProgrammedVip {
    pub address: IpAddr,
    /// 6, 17, or 255 for all ports.
    pub protocol: u8,
    /// 0 for all ports.
    pub port: u16,
    /// The DSCP of packets to its servers; `None` without L3DSR.
    pub dscp: Option<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    Packet(Bytes),
    Vips(Vec<ProgrammedVip>),
}

/// Encodes and decodes [`Frame`]s.
#[derive(Debug)]
pub struct FrameCodec(LengthDelimitedCodec);

impl Default for FrameCodec {
    fn default() -> Self {
        Self(LengthDelimitedCodec::builder().max_frame_length(MAX_FRAME).new_codec())
    }
}

impl Encoder<Frame> for FrameCodec {
    type Error = io::Error;

    fn encode(&mut self, frame: Frame, buffer: &mut BytesMut) -> io::Result<()> {
        let (kind, body) = match frame {
            Frame::Packet(packet) => (PACKET, packet),
            Frame::Vips(vips) => (VIPS, serde_json::to_vec(&vips)?.into()),
        };
        let mut framed = BytesMut::with_capacity(1 + body.len());
        framed.put_u8(kind);
        framed.extend_from_slice(&body);
        self.0.encode(framed.freeze(), buffer)
    }
}

impl Decoder for FrameCodec {
    type Item = Frame;
    type Error = io::Error;

    fn decode(&mut self, buffer: &mut BytesMut) -> io::Result<Option<Frame>> {
        let Some(frame) = self.0.decode(buffer)? else { return Ok(None) };
        let mut body = frame.freeze();
        match body.split_to(body.len().min(1)).first() {
            Some(&PACKET) => Ok(Some(Frame::Packet(body))),
            Some(&VIPS) => Ok(Some(Frame::Vips(serde_json::from_slice(&body)?))),
            other => Err(io::Error::new(io::ErrorKind::InvalidData, format!("unknown kind of frame {other:?}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_decoded_as_encoded_and_unknown_kinds_are_rejected() {
        let vip = ProgrammedVip { address: [203, 0, 113, 10].into(), protocol: 6, port: 80, dscp: Some(7) };
        let frames =
            [Frame::Packet(Bytes::from_static(b"packet")), Frame::Vips(vec![vip]), Frame::Packet(Bytes::new())];
        let (mut codec, mut buffer) = (FrameCodec::default(), BytesMut::new());
        for frame in frames.clone() {
            codec.encode(frame, &mut buffer).unwrap();
        }
        for frame in frames {
            assert_eq!(codec.decode(&mut buffer).unwrap(), Some(frame));
        }
        assert_eq!(codec.decode(&mut buffer).unwrap(), None);
        for invalid in [&[0, 0, 0, 1, 9][..], &[0, 0, 0, 0], &[0, 0, 0, 2, 1, b'{'], &[0xff; 5]] {
            assert!(codec.decode(&mut invalid.into()).is_err(), "{invalid:?}");
        }
    }
}
