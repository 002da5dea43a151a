//! The VIPs that a VPP announces to the router.
//!
//! A VIP is announced one interval after VPP has it, as by a routing daemon. Meanwhile the agent adds the servers: a flow from
//! another node that came before the last server could get a server that is not its own.

use std::{collections::BTreeSet, time::Duration};

use super::frame::ProgrammedVip;

/// Interval at which the VIPs of a VPP are read.
pub const INTERVAL: Duration = Duration::from_millis(100);

/// Compares the VIPs of a VPP with those at the last reading, and with those announced last.
#[derive(Debug, Default)]
pub struct AnnouncedVips {
    before: Option<BTreeSet<ProgrammedVip>>,
    announced: Option<Vec<ProgrammedVip>>,
}

impl AnnouncedVips {
    /// Takes a reading. Returns the VIPs to announce if they differ from those announced last.
    pub fn update(&mut self, now: BTreeSet<ProgrammedVip>) -> Option<Vec<ProgrammedVip>> {
        let before = self.before.replace(now);
        let vips: Vec<_> = self.before.as_ref()?.intersection(&before?).cloned().collect();
        if self.announced.as_ref() == Some(&vips) {
            return None;
        }
        self.announced = Some(vips.clone());
        Some(vips)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vips_are_announced_at_their_second_reading_and_withdrawn_at_once() {
        let vip = |port| ProgrammedVip { address: [203, 0, 113, 10].into(), protocol: 6, port, dscp: None };
        let mut vips = AnnouncedVips::default();
        assert_eq!(vips.update([vip(80)].into()), None);
        assert_eq!(vips.update([vip(80), vip(443)].into()), Some(vec![vip(80)]));
        assert_eq!(vips.update([vip(80), vip(443)].into()), Some(vec![vip(80), vip(443)]));
        assert_eq!(vips.update([vip(80), vip(443)].into()), None);
        assert_eq!(vips.update([vip(443)].into()), Some(vec![vip(443)]));
    }

    #[test]
    fn vpp_without_vips_is_announced_too() {
        let mut vips = AnnouncedVips::default();
        assert_eq!((vips.update([].into()), vips.update([].into())), (None, Some(Vec::new())));
    }
}
