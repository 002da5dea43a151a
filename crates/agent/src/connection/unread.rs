//! What VPP did not tell of our VIPs, said once per connection.

use super::Connection;
use crate::brain::Brain;
use maglev_model::actual::ActualVip;

/// VIPs that one warning names.
const NAMED: usize = 5;

type Unread = fn(&ActualVip) -> bool;

/// The properties of which only a recreate mends a difference.
const PROPERTIES: [(&str, Unread); 3] = [
    ("encap", |vip| vip.encap.is_none()),
    ("session-affinity", |vip| vip.sticky.is_none()),
    ("table-length", |vip| vip.table_length.is_none()),
];

impl Connection {
    /// Warns of properties that could not be read: they count as equal, so nothing is recreated for
    /// them, and a difference would go unseen.
    pub fn tell_unread(&mut self, brain: &Brain) {
        let Some(picture) = &self.picture else { return };
        for (property, unread) in PROPERTIES {
            if self.unread_told.contains(property) {
                continue;
            }
            let vips: Vec<String> = picture
                .actual
                .vips
                .iter()
                .filter(|(vip, of)| unread(of) && !brain.is_foreign(vip))
                .map(|(vip, _)| vip.to_string())
                .collect();
            if !vips.is_empty() {
                self.unread_told.insert(property);
                let (count, some) = (vips.len(), vips[..vips.len().min(NAMED)].join(", "));
                tracing::warn!(
                    property,
                    count,
                    vips = some,
                    "VPP did not tell a property of our VIPs: it counts as right"
                );
            }
        }
    }
}
