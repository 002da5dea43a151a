//! The output of `show lb` and `show lb vips [verbose]`, identical to that of VPP.
//!
//! Called by `dispatch` for `cli_inband`. Other commands get VPP's error message. Flows and usage are those of packets
//! or of the simulated traffic.

use std::fmt::Write as _;

use maglev_model::actual::ActualConf;

use super::{
    lb::Lb,
    options::Release,
    vip::{Server, Vip, VipType},
};

const COUNTERS: [&str; 4] =
    ["packet from existing sessions", "first session packet", "untracked packet", "no server configured"];

/// The output of `command`.
pub fn output(lb: &mut Lb, command: &str) -> String {
    let words: Vec<_> = command.split_whitespace().collect();
    match words.as_slice() {
        ["show", "lb"] => show_lb(lb),
        ["show", "lb", "vips", rest @ ..] => {
            lb.settle();
            show_vips(lb, rest.first() == Some(&"verbose"))
        }
        // Without arguments, VPP returns before it collects.
        ["lb", "conf"] => String::new(),
        ["lb", "conf", "ip4-src-address", address] => match address.parse() {
            Ok(ipv4_source) => {
                lb.collect_garbage(lb.now);
                let conf = lb.conf();
                lb.set_conf(ActualConf { ipv4_source, ..conf }).expect("the other settings are in force");
                String::new()
            }
            Err(_) => format!("lb conf: parse error: 'ip4-src-address {address}'\n"),
        },
        // VPP executes this command before it parses the rest of the line.
        ["show", "lb", rest @ ..] => show_lb(lb) + &unknown("", rest),
        ["show", rest @ ..] => unknown("show", rest),
        rest => unknown("", rest),
    }
}

/// Adds a word to the first line of each VIP in `text`, as in an unknown format.
pub fn garble(text: &str) -> String {
    text.replace("/32", "/32 rearranged").replace("/128", "/128 rearranged")
}

fn unknown(parent: &str, rest: &[&str]) -> String {
    let colon = if parent.is_empty() { "" } else { ": " };
    format!("{parent}{colon}unknown input `{}'\n", rest.join(" "))
}

fn show_lb(lb: &Lb) -> String {
    let conf = lb.conf();
    let mut text = format!(
        "lb_main ip4-src-address: {} \n ip6-src-address: {} \n #vips: {}\n #ass: {}\n",
        conf.ipv4_source,
        conf.ipv6_source,
        // VPP counts its placeholder as a VIP, but not as a server.
        lb.vips.len() + 1,
        lb.servers.len(),
    );
    for (thread, live) in lb.sticky.usage(lb.now) {
        // A wrong macro: a table has 4 entries per bucket.
        let (timeout, size) = (conf.flow_timeout, u64::from(conf.sticky_buckets_per_core) + 3);
        write!(text, "core {thread}\n  timeout: {timeout}s\n  usage: {live} / {size}\n")
            .expect("writing to a string cannot fail");
    }
    text
}

fn show_vips(lb: &Lb, verbose: bool) -> String {
    let mut text = String::new();
    for (index, vip) in lb.vips.iter() {
        if verbose { detail(&mut text, lb, index, vip) } else { brief(&mut text, vip) }
            .expect("writing to a string cannot fail");
    }
    text
}

fn brief(text: &mut String, vip: &Vip) -> std::fmt::Result {
    let (kind, prefix, length) = (vip.kind.as_str(), vip.prefix, vip.settings.table_length);
    write!(text, "{kind} {prefix} new_size:{length} #as:{}{}", vip.servers.len(), removed(vip))?;
    if vip.id.port != 0 {
        write!(text, "  protocol:{} port:{} ", vip.id.protocol, vip.id.port)?;
    }
    match vip.kind {
        VipType::Ip4L3dsr => write!(text, "  dscp:{}", vip.argument())?,
        VipType::Ip4Nat4 | VipType::Ip6Nat6 => write!(text, " {}", nat(vip))?,
        _ => {}
    }
    writeln!(text)
}

fn detail(text: &mut String, lb: &Lb, index: u32, vip: &Vip) -> std::fmt::Result {
    let sticky = if vip.settings.src_ip_sticky { " src_ip_sticky" } else { "" };
    writeln!(text, " {} [{index}] {}{sticky}{}", vip.kind.as_str(), vip.prefix, removed(vip))?;
    writeln!(text, "  new_size:{}", vip.settings.table_length)?;
    if vip.id.port != 0 {
        writeln!(text, "  protocol:{} port:{}", vip.id.protocol, vip.id.port)?;
    }
    match vip.kind {
        VipType::Ip4L3dsr => writeln!(text, "  dscp:{}", vip.argument())?,
        // VPP omits the end of this line.
        VipType::Ip4Nat4 | VipType::Ip6Nat6 => write!(text, "  {}", nat(vip))?,
        _ => {}
    }
    writeln!(text, "  counters:")?;
    for (counter, packets) in COUNTERS.iter().zip(vip.counters.packets) {
        writeln!(text, "    {counter}: {packets}")?;
    }
    writeln!(text, "  #as:{}", vip.servers.len())?;
    for (_, &slot) in vip.servers.iter() {
        let flows = lb.sticky.flows(slot);
        server(text, lb.release, lb.servers.get(slot).expect("a VIP's server is in the pool"), flows)?;
    }
    writeln!(text)
}

/// The service of a NAT VIP. VPP swaps the bytes of a port that is already in host order.
fn nat(vip: &Vip) -> String {
    let kind = if vip.argument() == 0 { "clusterip" } else { "nodeport" };
    format!("type:{kind} port:{} target_port:{}", vip.id.port.swap_bytes(), vip.target_port())
}

fn server(text: &mut String, release: Release, server: &Server, flows: u64) -> std::fmt::Result {
    let Server { address, weight, buckets, dpo, .. } = server;
    let used = if server.used { "used" } else { " removed" };
    match release {
        Release::V26_10 => {
            writeln!(text, "    {address} weight:{weight} buckets:{buckets} flows:{flows} dpo:{dpo} {used}")
        }
        Release::V26_06 => writeln!(text, "    {address} {buckets} buckets   {flows} flows  dpo:{dpo} {used}"),
    }
}

fn removed(vip: &Vip) -> &'static str {
    if vip.used { "" } else { " removed" }
}
