//! Which lb plugin a VPP has, told by its message table, and whether that can be driven.

use crate::{
    error::Error,
    messages::{
        Message, Signature,
        lb::{
            LbAddDelAs, LbAddDelAsReply, LbAddDelAsV2, LbAddDelAsV2Reply, LbAddDelVipV2, LbAddDelVipV2Reply,
            LbAsSetWeight, LbAsSetWeightReply, LbAsV2Details, LbAsV2Dump, LbConf, LbConfGet, LbConfGetReply,
            LbConfReply, LbVipDetails, LbVipDump,
        },
        vlib::{CliInband, CliInbandReply},
    },
    session::Missing,
};

/// Which lb plugin VPP has. Told apart by the presence of `lb_conf_get`: the CRCs of the older
/// messages did not change although their meaning did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plugin {
    /// 26.10 and later: weights, and dumps that tell the truth.
    Weighted,
    /// Up to 26.06: no weights, other encodings of the same messages, and only the CLI's text tells
    /// what VPP has.
    Legacy,
}

impl Plugin {
    /// The plugin of a VPP that lacks `missing`.
    pub(crate) fn of(missing: &[Missing]) -> Self {
        let absent = |name: &str| missing.iter().any(|of| matches!(of, Missing::Absent(known) if known.name == name));
        if absent(LbConfGet::NAME) && !absent(LbAddDelVipV2::NAME) { Self::Legacy } else { Self::Weighted }
    }

    /// What cannot be done without.
    fn needed(self) -> &'static [Signature] {
        match self {
            Self::Weighted => WEIGHTED,
            Self::Legacy => LEGACY,
        }
    }

    /// Refuses a VPP that lacks what is needed.
    pub(crate) fn check(self, missing: &[Missing]) -> Result<(), Error> {
        let is_needed = |of: &&Missing| self.needed().iter().any(|needed| needed.name == of.name());
        let missing: Vec<Missing> = missing.iter().filter(is_needed).cloned().collect();
        if missing.is_empty() { Ok(()) } else { Err(Error::Missing { hint: "is lb_plugin.so loaded?", missing }) }
    }
}

const WEIGHTED: &[Signature] = &[
    Signature::of::<LbConf>(),
    Signature::of::<LbConfReply>(),
    Signature::of::<LbConfGet>(),
    Signature::of::<LbConfGetReply>(),
    Signature::of::<LbAddDelVipV2>(),
    Signature::of::<LbAddDelVipV2Reply>(),
    Signature::of::<LbAddDelAsV2>(),
    Signature::of::<LbAddDelAsV2Reply>(),
    Signature::of::<LbAsSetWeight>(),
    Signature::of::<LbAsSetWeightReply>(),
    Signature::of::<LbVipDump>(),
    Signature::of::<LbVipDetails>(),
    Signature::of::<LbAsV2Dump>(),
    Signature::of::<LbAsV2Details>(),
];

const LEGACY: &[Signature] = &[
    Signature::of::<LbConf>(),
    Signature::of::<LbConfReply>(),
    Signature::of::<LbAddDelVipV2>(),
    Signature::of::<LbAddDelVipV2Reply>(),
    Signature::of::<LbAddDelAs>(),
    Signature::of::<LbAddDelAsReply>(),
    Signature::of::<CliInband>(),
    Signature::of::<CliInbandReply>(),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn absent(names: &[Signature]) -> Vec<Missing> {
        names.iter().copied().map(Missing::Absent).collect()
    }

    #[test]
    fn the_plugin_is_told_by_lb_conf_get() {
        assert_eq!(Plugin::of(&[]), Plugin::Weighted);
        let legacy = absent(&[Signature::of::<LbConfGet>(), Signature::of::<LbAddDelAsV2>()]);
        assert_eq!(Plugin::of(&legacy), Plugin::Legacy);
        assert_eq!(Plugin::of(&absent(WEIGHTED)), Plugin::Weighted);
    }

    #[test]
    fn only_what_is_needed_is_insisted_on() {
        let error = Plugin::Weighted.check(&absent(WEIGHTED)).unwrap_err();
        assert_eq!(error.reason(), "MessagesMissing");
        assert!(error.to_string().contains("is lb_plugin.so loaded?"), "{error}");
        assert!(error.to_string().contains("lb_as_v2_dump is not there"), "{error}");
        let text = absent(&[Signature::of::<CliInband>()]);
        assert!(Plugin::Weighted.check(&text).is_ok());
        assert!(Plugin::Legacy.check(&text).is_err(), "the text is all that an old plugin tells");
        assert!(Plugin::Legacy.check(&absent(&[Signature::of::<LbVipDump>()])).is_ok());
    }
}
