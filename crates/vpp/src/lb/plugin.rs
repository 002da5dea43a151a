//! Detection of VPP's lb plugin from the message table, and the check that it is usable.

use std::fmt;

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
    session::MissingMessage,
};

/// Optional features of this VPP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Application servers have weights.
    pub weights: bool,
}

impl fmt::Display for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.weights { "weights" } else { "none" })
    }
}

/// Generation of VPP's lb plugin, detected by the presence of `lb_conf_get`: the CRCs of the older messages did not
/// change although their meaning did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plugin {
    /// 26.10 and later: weights, and complete dumps.
    Weighted,
    /// Up to 26.06: no weights, other encodings of the same messages, and a complete state only in the CLI's text.
    Legacy,
}

impl Plugin {
    /// The plugin of a VPP that lacks `missing`.
    pub(crate) fn detect(missing: &[MissingMessage]) -> Self {
        let absent = |name: &str| {
            missing.iter().any(|message| matches!(message, MissingMessage::Absent(expected) if expected.name == name))
        };
        if absent(LbConfGet::NAME) && !absent(LbAddDelVipV2::NAME) { Self::Legacy } else { Self::Weighted }
    }

    /// The required messages.
    fn required(self) -> &'static [Signature] {
        match self {
            Self::Weighted => WEIGHTED,
            Self::Legacy => LEGACY,
        }
    }

    /// Fails if VPP lacks required messages.
    pub(crate) fn check(self, missing: &[MissingMessage]) -> Result<(), Error> {
        let is_required =
            |message: &&MissingMessage| self.required().iter().any(|required| required.name == message.name());
        let missing: Vec<MissingMessage> = missing.iter().filter(is_required).cloned().collect();
        if missing.is_empty() { Ok(()) } else { Err(Error::Missing { hint: "is lb_plugin.so loaded?", missing }) }
    }
}

const WEIGHTED: &[Signature] = &[
    Signature::new::<LbConf>(),
    Signature::new::<LbConfReply>(),
    Signature::new::<LbConfGet>(),
    Signature::new::<LbConfGetReply>(),
    Signature::new::<LbAddDelVipV2>(),
    Signature::new::<LbAddDelVipV2Reply>(),
    Signature::new::<LbAddDelAsV2>(),
    Signature::new::<LbAddDelAsV2Reply>(),
    Signature::new::<LbAsSetWeight>(),
    Signature::new::<LbAsSetWeightReply>(),
    Signature::new::<LbVipDump>(),
    Signature::new::<LbVipDetails>(),
    Signature::new::<LbAsV2Dump>(),
    Signature::new::<LbAsV2Details>(),
];

const LEGACY: &[Signature] = &[
    Signature::new::<LbConf>(),
    Signature::new::<LbConfReply>(),
    Signature::new::<LbAddDelVipV2>(),
    Signature::new::<LbAddDelVipV2Reply>(),
    Signature::new::<LbAddDelAs>(),
    Signature::new::<LbAddDelAsReply>(),
    Signature::new::<CliInband>(),
    Signature::new::<CliInbandReply>(),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn absent(names: &[Signature]) -> Vec<MissingMessage> {
        names.iter().copied().map(MissingMessage::Absent).collect()
    }

    #[test]
    fn plugin_is_detected_by_lb_conf_get() {
        assert_eq!(Plugin::detect(&[]), Plugin::Weighted);
        let legacy = absent(&[Signature::new::<LbConfGet>(), Signature::new::<LbAddDelAsV2>()]);
        assert_eq!(Plugin::detect(&legacy), Plugin::Legacy);
        assert_eq!(Plugin::detect(&absent(WEIGHTED)), Plugin::Weighted);
    }

    #[test]
    fn only_required_messages_are_checked() {
        let error = Plugin::Weighted.check(&absent(WEIGHTED)).unwrap_err();
        assert_eq!(error.reason(), "MessagesMissing");
        assert!(error.to_string().contains("is lb_plugin.so loaded?"), "{error}");
        assert!(error.to_string().contains("lb_as_v2_dump is absent"), "{error}");
        let text = absent(&[Signature::new::<CliInband>()]);
        assert!(Plugin::Weighted.check(&text).is_ok());
        assert!(Plugin::Legacy.check(&text).is_err(), "the text is the only source of a legacy plugin");
        assert!(Plugin::Legacy.check(&absent(&[Signature::new::<LbVipDump>()])).is_ok());
    }
}
