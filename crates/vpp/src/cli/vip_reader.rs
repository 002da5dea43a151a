//! Reader of the output of [`SHOW_VIPS`](super::SHOW_VIPS), VIP by VIP while it arrives: 300,000 application servers take 24 MB.

use super::{CliVip, is_header, parse_vip};

/// Reads the text in pieces, which may be cut anywhere. Keeps the text of one VIP.
#[derive(Debug, Default)]
pub struct VipReader {
    /// The last line, while it is not complete.
    line: Vec<u8>,
    /// The complete lines of the current VIP; empty before the first VIP.
    vip: String,
}

impl VipReader {
    /// Reads the next piece. Passes each complete VIP to `each`, in VPP's order; unparsable VIPs are left out.
    pub fn read(&mut self, piece: &[u8], mut each: impl FnMut(CliVip)) {
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            if self.line.is_empty() && part.ends_with(b"\n") {
                self.end_line(part, &mut each);
                continue;
            }
            self.line.extend_from_slice(part);
            if part.ends_with(b"\n") {
                let line = std::mem::take(&mut self.line);
                self.end_line(&line, &mut each);
            }
        }
    }

    /// Ends the text. Passes the last VIP to `each`.
    pub fn finish(mut self, mut each: impl FnMut(CliVip)) {
        let line = std::mem::take(&mut self.line);
        self.end_line(&line, &mut each);
        self.end_vip(&mut each);
    }

    fn end_line(&mut self, line: &[u8], each: &mut impl FnMut(CliVip)) {
        let line = String::from_utf8_lossy(line);
        let begins_vip = is_header(&line);
        if begins_vip {
            self.end_vip(each);
        }
        if begins_vip || !self.vip.is_empty() {
            self.vip.push_str(&line);
        }
    }

    fn end_vip(&mut self, each: &mut impl FnMut(CliVip)) {
        if let Some(vip) = parse_vip(&self.vip) {
            each(vip);
        }
        self.vip.clear();
    }
}

/// Reads a whole text.
#[cfg(test)]
pub fn parse_vips(text: &str) -> Vec<CliVip> {
    parse_pieces([text.as_bytes()])
}

#[cfg(test)]
fn parse_pieces<'t>(pieces: impl IntoIterator<Item = &'t [u8]>) -> Vec<CliVip> {
    let (mut reader, mut vips) = (VipReader::default(), Vec::new());
    pieces.into_iter().for_each(|piece| reader.read(piece, |vip| vips.push(vip)));
    reader.finish(|vip| vips.push(vip));
    vips
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cli::tests::WEIGHTED_TEXT;

    proptest! {
        #[test]
        fn text_may_be_cut_anywhere(size in 1usize..200, noise in ".{0,20}", at in 0usize..700, end in 0usize..700) {
            let mut text = WEIGHTED_TEXT.to_owned();
            text.insert_str(at.min(WEIGHTED_TEXT.len()), &noise);
            let text = &text.as_bytes()[..text.len().min(end)];
            let whole = parse_pieces([text]);
            prop_assert_eq!(parse_pieces(text.chunks(size)), whole);
        }
    }

    #[test]
    fn vip_is_passed_on_when_the_next_one_begins() {
        let mut reader = VipReader::default();
        let mut seen = Vec::new();
        let second = WEIGHTED_TEXT.find(" ip6-gre6").unwrap();
        reader.read(&WEIGHTED_TEXT.as_bytes()[..second], |vip| seen.push(vip));
        assert!(seen.is_empty());
        let (header, rest) = WEIGHTED_TEXT[second..].split_once('\n').unwrap();
        reader.read(format!("{header}\n").as_bytes(), |vip| seen.push(vip));
        assert_eq!((seen.len(), seen[0].pool_index), (1, 1));
        reader.read(rest.as_bytes(), |vip| seen.push(vip));
        assert_eq!(seen.len(), 2);
        reader.finish(|vip| seen.push(vip));
        assert_eq!(seen.len(), 3);
    }
}
