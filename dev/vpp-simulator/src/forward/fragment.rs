//! Fragmentation of IPv4 packets (`ip4-frag`).

use etherparse::{IpFragOffset, Ipv4Header};

/// Size of VPP's buffers, which limits a fragment.
const BUFFER: u16 = 2048;
const HEADER: usize = Ipv4Header::MIN_LEN;
/// Limit of the fragment offset in units of 8 bytes.
const MAX_OFFSET: u16 = 0x1fff;

/// Splits a packet that is larger than `mtu`. A packet that is a fragment keeps its identification, any other one gets `id`.
/// `scratch` is a buffer for the fragments. Returns false, without a fragment, if an offset would be too large, or if the MTU
/// is below 28.
pub(crate) fn fragment(packet: &[u8], mtu: u16, id: u16, scratch: &mut Vec<u8>, emit: &mut dyn FnMut(&[u8])) -> bool {
    let Ok((original, payload)) = Ipv4Header::from_slice(packet) else { return false };
    let size = usize::from(mtu.min(BUFFER)).saturating_sub(HEADER) & !7;
    if size == 0 {
        return false;
    }
    let first = original.fragment_offset.value();
    let id = if original.is_fragmenting_payload() { original.identification } else { id };
    let last = payload.len().div_ceil(size) - 1;
    if usize::from(first) + last * size / 8 > usize::from(MAX_OFFSET) {
        return false;
    }
    for (number, data) in payload.chunks(size).enumerate() {
        let offset = first + (number * size / 8) as u16;
        let mut header = Ipv4Header {
            total_len: (HEADER + data.len()) as u16,
            identification: id,
            more_fragments: number < last || original.more_fragments,
            fragment_offset: IpFragOffset::try_new(offset).unwrap_or_default(),
            ..original.clone()
        };
        header.header_checksum = header.calc_header_checksum();
        scratch.clear();
        scratch.extend_from_slice(&header.to_bytes());
        scratch.extend_from_slice(data);
        emit(scratch);
    }
    true
}
