//! Parser of `show lb vips verbose`, the only source of a VIP's affinity and pool index and, up to 26.06, the only
//! correct source of the rest; and of `show lb`, for the sticky tables and, up to 26.06, the source addresses.
//!
//! ```text
//!  ip4-gre4 [1] 198.51.100.1/32 src_ip_sticky
//!   new_size:1024
//!   protocol:6 port:80
//!   counters:
//!     …
//!   #as:1
//!     192.0.2.10 weight:100 buckets:317 flows:0 dpo:18 used      (from 26.10 on)
//!     192.0.2.11 512 buckets   0 flows  dpo:17  removed          (up to 26.06)
//! ```
//!
//! The text is not a stable interface: a value that cannot be parsed is left out and thus unknown, VIP by VIP. No
//! function here returns an error, or keeps more of the text in memory than its results.

mod server_line;
mod sticky_tables;
pub mod vip_reader;

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::{FromStr, Lines},
};

pub use self::{sticky_tables::parse_sticky_tables, vip_reader::VipReader};

use self::server_line::application_server;
use maglev_model::actual::{ActualEncap, VppVip};

pub const SHOW_VIPS: &str = "show lb vips verbose";

/// The command that prints the source addresses of encapsulation and the usage of the sticky tables.
pub const SHOW_LB: &str = "show lb";

/// A VIP in the output of [`SHOW_VIPS`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CliVip {
    pub vip: VppVip,
    /// Index in VPP's pool.
    pub pool_index: u32,
    /// The VIP was deleted and waits for garbage collection.
    pub removed: bool,
    /// `None` if the encapsulation, or its DSCP, is unknown.
    pub encap: Option<ActualEncap>,
    /// `src_ip_sticky`; `None` if the line has unknown flags.
    pub sticky: Option<bool>,
    /// Buckets in the new-flow table.
    pub table_length: Option<u32>,
    /// `None` unless all application servers could be parsed.
    pub ases: Option<Vec<CliAs>>,
}

/// An application server in the output of [`SHOW_VIPS`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CliAs {
    pub address: IpAddr,
    /// `None` up to 26.06, which has no weights.
    pub weight: Option<u8>,
    /// Number of buckets that point at the server.
    pub buckets: u32,
    /// Entries of the sticky tables that refer to the server, expired ones included; `None` if not parsable.
    pub flows: Option<u32>,
    /// Index of VPP's load-balance object of the route to the server, which is also the index of the route's counters;
    /// `None` if not parsable.
    pub dpo: Option<u32>,
    /// The server was removed and waits for garbage collection.
    pub removed: bool,
}

/// The source addresses in the output of [`SHOW_LB`]; `None` if absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CliSources {
    /// All ones = unset.
    pub ipv4: Option<Ipv4Addr>,
    /// All ones = unset.
    pub ipv6: Option<Ipv6Addr>,
}

/// Parses the output of [`SHOW_LB`].
pub fn parse_sources(text: &str) -> CliSources {
    let after = |key: &str| text.split_whitespace().skip_while(|word| *word != key).nth(1);
    CliSources {
        ipv4: after("ip4-src-address:").and_then(|address| address.parse().ok()),
        ipv6: after("ip6-src-address:").and_then(|address| address.parse().ok()),
    }
}

/// The command that collects garbage up to 26.06. VPP ignores `lb conf` without arguments (seen on a real one), so the
/// command sets the IPv4 source address that is in force: `sources` must have been read just before.
pub fn collect_garbage(sources: CliSources) -> Option<String> {
    sources.ipv4.map(|address| format!("lb conf ip4-src-address {address}"))
}

/// Deleted VIPs and removed application servers in the output of [`SHOW_VIPS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Garbage {
    None,
    Collectable,
    /// Beside a NAT VIP, deleted or not: VPP may abort when it collects a NAT mapping. A VIP of unknown type counts as NAT.
    Unsafe,
}

/// Finds garbage in the output of [`SHOW_VIPS`].
pub fn find_garbage(text: &str) -> Garbage {
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    if !lines.clone().any(|line| line.split_whitespace().last() == Some("removed")) {
        return Garbage::None;
    }
    let is_safe = |line: &str| {
        let kind = line.split_whitespace().next().and_then(|kind| kind.split_once('-'));
        matches!(kind, Some((_, "gre4" | "gre6" | "l3dsr")))
    };
    // Any line with an index may be a VIP, so that a type with another prefix is noticed as well.
    let may_be_vip = |line: &str| line.split_whitespace().nth(1).is_some_and(|index| index.starts_with('['));
    if lines.any(|line| may_be_vip(line) && !is_safe(line)) { Garbage::Unsafe } else { Garbage::Collectable }
}

fn is_header(line: &str) -> bool {
    let mut words = line.split_whitespace();
    words.next().is_some_and(|kind| kind.starts_with("ip4-") || kind.starts_with("ip6-"))
        && words.next().is_some_and(|index| index.starts_with('['))
}

fn parse_vip(text: &str) -> Option<CliVip> {
    let mut body = text.lines();
    let mut words = body.next()?.split_whitespace();
    let kind = words.next()?;
    let pool_index = words.next()?.strip_prefix('[')?.strip_suffix(']')?.parse().ok()?;
    let (address, length) = words.next()?.split_once('/')?;
    let mut flags = words;
    let has_flag = |flag: &str| flags.clone().any(|word| word == flag);
    let (sticky, removed) = (has_flag("src_ip_sticky"), has_flag("removed"));
    let all_known = flags.all(|flag| matches!(flag, "src_ip_sticky" | "removed"));
    let (protocol, port) = match body.clone().map(str::trim).find(|line| line.starts_with("protocol:")) {
        Some(line) => (field(line, "protocol:")?, field(line, "port:")?),
        None => (255, 0),
    };
    Some(CliVip {
        vip: VppVip { address: address.parse().ok()?, length: length.parse().ok()?, protocol, port },
        pool_index,
        removed,
        encap: encap(kind, body.clone()),
        sticky: all_known.then_some(sticky),
        table_length: body.clone().find_map(|line| field(line, "new_size:")),
        ases: ases(body),
    })
}

/// Parses the type of the VIP (`ip4-gre6`). The NAT port is left out: its byte order in the text is not known for every
/// release.
fn encap(kind: &str, mut body: Lines<'_>) -> Option<ActualEncap> {
    let (kind, dscp) = match kind.split_once('-')?.1 {
        "gre4" => (0, 0),
        "gre6" => (1, 0),
        "l3dsr" => (2, body.find_map(|line| field(line, "dscp:"))?),
        "nat4" => (3, 0),
        "nat6" => (4, 0),
        _ => return None,
    };
    Some(ActualEncap { kind, dscp, target_port: 0 })
}

fn ases(mut body: Lines<'_>) -> Option<Vec<CliAs>> {
    let start = body.find(|line| line.trim().starts_with("#as:"))?;
    let count: usize = field(start, "#as:")?;
    let lines = body.filter(|line| !line.trim().is_empty());
    let ases = lines.map(application_server).collect::<Option<Vec<_>>>()?;
    (ases.len() == count).then_some(ases)
}

/// The value of the word that begins with `key`.
fn field<T: FromStr>(line: &str, key: &str) -> Option<T> {
    parsed(line, |word| word.strip_prefix(key))
}

/// The first value that `find` finds in a word.
fn parsed<T: FromStr>(line: &str, find: impl Fn(&str) -> Option<&str>) -> Option<T> {
    line.split_whitespace().find_map(find)?.parse().ok()
}

#[cfg(test)]
pub mod tests {
    use proptest::prelude::*;

    use super::{vip_reader::parse_vips, *};

    pub const WEIGHTED_TEXT: &str = " ip4-gre4 [1] 198.51.100.1/32
  new_size:1024
  protocol:6 port:80
  counters:
    no server configured: 0
  #as:2
    192.0.2.10 weight:100 buckets:317 flows:7 dpo:18 used
    192.0.2.11 weight:25 buckets:0 flows:0 dpo:19 removed

 ip6-gre6 [4] 2001:db8:1::1/128 src_ip_sticky
  new_size:2048
  counters:
    no server configured: 0
  #as:1
    2001:db8::10 weight:100 buckets:924 flows:0 dpo:22 used

 ip4-nat4 [8] 198.51.100.4/32 removed
  new_size:1024
  protocol:6 port:80
  type:clusterip port:20480 target_port:8080  counters:
    no server configured: 0
  #as:0
";

    const LEGACY_TEXT: &str = " ip4-gre4 [3] 198.51.100.1/32 src_ip_sticky removed
  new_size:1024
  protocol:6 port:443
  #as:2
    192.0.2.12 1024 buckets   9 flows  dpo:18 used
    192.0.2.13 0 buckets   0 flows  dpo:17  removed
";

    fn server(address: &str, weight: Option<u8>, buckets: u32, (flows, dpo): (u32, u32), removed: bool) -> CliAs {
        CliAs { address: address.parse().unwrap(), weight, buckets, flows: Some(flows), dpo: Some(dpo), removed }
    }

    fn vip(address: &str, length: u8, protocol: u8, port: u16) -> VppVip {
        VppVip { address: address.parse().unwrap(), length, protocol, port }
    }

    #[test]
    fn affinity_pool_index_and_servers_are_parsed() {
        let vips = parse_vips(WEIGHTED_TEXT);
        let parsed: Vec<_> =
            vips.iter().map(|vip| (vip.vip, vip.pool_index, vip.sticky, vip.removed, vip.table_length)).collect();
        let expected = [
            (vip("198.51.100.1", 32, 6, 80), 1, Some(false), false, Some(1024)),
            (vip("2001:db8:1::1", 128, 255, 0), 4, Some(true), false, Some(2048)),
            (vip("198.51.100.4", 32, 6, 80), 8, Some(false), true, Some(1024)),
        ];
        assert_eq!(parsed, expected);
        assert_eq!(
            vips[0].ases.as_deref().unwrap(),
            [server("192.0.2.10", Some(100), 317, (7, 18), false), server("192.0.2.11", Some(25), 0, (0, 19), true),]
        );
        assert_eq!(vips[2].ases.as_deref(), Some(&[][..]));
        let kinds: Vec<_> = vips.iter().map(|vip| vip.encap.map(|encap| (encap.kind, encap.target_port))).collect();
        assert_eq!(kinds, [Some((0, 0)), Some((1, 0)), Some((3, 0))]);
        let marked = WEIGHTED_TEXT
            .replace("ip4-gre4", "ip4-l3dsr")
            .replace("protocol:6 port:80", "dscp:7\n  protocol:6 port:80");
        assert_eq!(parse_vips(&marked)[0].encap, Some(ActualEncap { kind: 2, dscp: 7, target_port: 0 }));
        assert_eq!(parse_vips(&WEIGHTED_TEXT.replace("ip4-gre4", "ip4-l3dsr"))[0].encap, None, "the DSCP is missing");
        assert_eq!(parse_vips(&WEIGHTED_TEXT.replace("ip4-gre4", "ip4-new"))[0].encap, None);
    }

    #[test]
    fn source_addresses_are_parsed() {
        let text = "lb_main ip4-src-address: 192.0.2.254 \n ip6-src-address: 2001:db8::254 \n #vips: 2\n #ass: 1\n";
        let sources = parse_sources(text);
        assert_eq!(sources.ipv4, Some(Ipv4Addr::new(192, 0, 2, 254)));
        assert_eq!(sources.ipv6.map(|address| address.to_string()).as_deref(), Some("2001:db8::254"));
        assert_eq!(parse_sources("show lb: unknown input"), CliSources::default());
    }

    #[test]
    fn text_of_the_legacy_plugin_is_parsed() {
        let vips = parse_vips(LEGACY_TEXT);
        assert_eq!((vips[0].sticky, vips[0].removed, vips[0].pool_index), (Some(true), true, 3));
        let ases = vips[0].ases.as_deref().unwrap();
        assert_eq!(
            ases,
            [server("192.0.2.12", None, 1024, (9, 18), false), server("192.0.2.13", None, 0, (0, 17), true)]
        );
    }

    #[test]
    fn server_without_readable_flows_and_index_is_parsed() {
        for text in
            [WEIGHTED_TEXT.replace("flows:7 dpo:18 ", ""), WEIGHTED_TEXT.replace("flows:7 dpo:18", "flows:x dpo:y")]
        {
            let vips = parse_vips(&text);
            let server = &vips[0].ases.as_deref().unwrap()[0];
            assert_eq!((server.buckets, server.flows, server.dpo), (317, None, None));
        }
    }

    #[test]
    fn garbage_is_unsafe_beside_nat_or_an_unknown_type() {
        assert_eq!(find_garbage(""), Garbage::None);
        assert_eq!(find_garbage(&LEGACY_TEXT.replace("removed", "used")), Garbage::None);
        assert_eq!(find_garbage(LEGACY_TEXT), Garbage::Collectable);
        assert_eq!(find_garbage(&LEGACY_TEXT.replace(" removed", "")), Garbage::None);
        assert_eq!(find_garbage(&LEGACY_TEXT.replace("src_ip_sticky removed", "")), Garbage::Collectable, "a server");
        assert_eq!(find_garbage(WEIGHTED_TEXT), Garbage::Unsafe, "a deleted NAT VIP");
        for kind in ["ip4-nat4", "ip6-nat6", "ip4-new", "new"] {
            let live = format!("{LEGACY_TEXT}\n {kind} [9] 198.51.100.9/32\n  new_size:1024\n  #as:0\n");
            assert_eq!(find_garbage(&live), Garbage::Unsafe, "{kind}");
        }
    }

    #[test]
    fn unparsable_values_are_unknown_and_parsable_ones_are_kept() {
        let text = WEIGHTED_TEXT
            .replace("/32\n  new_size", "/32 brand_new_word\n  new_size")
            .replace("weight:25 buckets:0", "???");
        let vips = parse_vips(&text);
        assert_eq!(vips.len(), 3);
        assert_eq!((vips[0].sticky, vips[0].pool_index, &vips[0].ases), (None, 1, &None));
        assert_eq!(vips[1].sticky, Some(true));
        assert_eq!(parse_vips(&WEIGHTED_TEXT.replace("protocol:6 port:80", "protocol:tcp port:80")).len(), 1);
        assert_eq!(parse_vips("show lb vips: unknown input"), []);
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_without_a_panic(cut in 0usize..700, noise in ".{0,60}", at in 0usize..700) {
            let mut text = WEIGHTED_TEXT.to_owned();
            text.insert_str(at.min(WEIGHTED_TEXT.len()), &noise);
            let vips = parse_vips(&text[..text.floor_char_boundary(cut)]);
            prop_assert!(vips.len() <= 3 + noise.len());
        }
    }
}
