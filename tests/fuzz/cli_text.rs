//! The text of VPP's CLI.

use maglev_vpp::cli::{
    CliSources, CliVip, VipReader, collect_garbage, find_garbage, parse_sources, parse_sticky_tables,
};

use crate::{allocated::allocated, corpus::each_input};

const CASES: usize = 5_000;

#[test]
fn text_of_the_cli_is_parsed_in_bounded_memory() {
    each_input("cli_text", CASES, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let lines = text.lines().count();
        let (vips, bytes) = allocated(|| parse_vips(text.as_bytes()));
        let servers: usize = vips.iter().filter_map(|vip| vip.ases.as_ref()).map(Vec::len).sum();
        assert!(vips.len() + servers <= lines, "{} VIPs and {servers} servers in {lines} lines", vips.len());
        // The results and a copy of each line, however many words it has.
        assert!(bytes <= 1024 * (1 + lines) + 8 * text.len(), "{bytes} bytes for {lines} lines");

        let (tables, bytes) = allocated(|| parse_sticky_tables(&text));
        assert!(tables.len() <= lines && bytes <= 256 * (1 + lines), "{bytes} bytes for {lines} lines");
        let (_, bytes) = allocated(|| find_garbage(&text));
        assert_eq!(bytes, 0);
        let (sources, bytes) = allocated(|| parse_sources(&text));
        assert_eq!(bytes, 0);
        // A command sets the address that was read, and no other text.
        if let (Some(command), CliSources { ipv4: Some(address), .. }) = (collect_garbage(sources), sources) {
            assert_eq!(command, format!("lb conf ip4-src-address {address}"));
        }
    });
}

fn parse_vips(text: &[u8]) -> Vec<CliVip> {
    let (mut reader, mut vips) = (VipReader::default(), Vec::new());
    reader.read(text, |vip| vips.push(vip));
    reader.finish(|vip| vips.push(vip));
    vips
}
