//! Types of words: unions of string literals, with the spelling of the enums that the documents contain.

use ts_rs::{Config, TS};

use maglev_fleet::{LinkState as Link, survey};
use maglev_kube::objects;
use maglev_model::{actual::ActualEncap, config, event, health, path, problem, vip};

macro_rules! literals {
    ($($(#[doc = $doc:literal])* $name:ident: $words:expr;)*) => {$(
        pub struct $name;

        impl TS for $name {
            type WithoutGenerics = Self;
            type OptionInnerType = Self;

            fn docs() -> Option<String> {
                let docs: &[&str] = &[$($doc),*];
                (!docs.is_empty()).then(|| format!("/**\n *{}\n */\n", docs.join("\n *")))
            }

            fn decl(config: &Config) -> String {
                format!("type {} = {};", Self::name(config), Self::inline(config))
            }

            fn name(_: &Config) -> String {
                stringify!($name).to_owned()
            }

            fn inline(_: &Config) -> String {
                let words = Vec::<&str>::from_iter($words);
                words.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(" | ")
            }
        }
    )*};
}

literals! {
    /// A kind of problem; a count that can be used as a filter.
    Flag: survey::Flag::ALL.map(survey::Flag::as_str);
    /// A kind of object that agents watch.
    Kind: config::Kind::ALL.map(config::Kind::as_str);
    /// A kind of the group maglev.vpp.io.
    ObjectKind: objects::ObjectKind::ALL.map(objects::ObjectKind::as_str);
    /// A family of IP addresses.
    Family: [vip::Family::V4, vip::Family::V6].map(vip::Family::as_str);
    /// The state of a Frontend on one node. `standby`: up, with another active pool than the first.
    FrontendState: event::FrontendState::ALL.map(event::FrontendState::as_str).into_iter().chain(["standby"]);
    /// The state of a Frontend over all nodes.
    RowState: {
        use survey::DisplayState::{Down, Standby, Unknown, Up, Withdrawn};
        [Down, Unknown, Standby, Up, Withdrawn].map(survey::DisplayState::as_str)
    };
    /// The state of a Backend.
    BackendState: health::BackendState::ALL.map(health::BackendState::as_str);
    /// The desired state of a Backend.
    AdminState: {
        use config::AdminState::{Disabled, Enabled, Paused};
        [Enabled, Paused, Disabled].map(config::AdminState::as_str)
    };
    /// The result of a probe, as HAProxy spells it.
    ProbeCode: health::ProbeCode::ALL.map(health::ProbeCode::as_str);
    /// The reason of a member's effective weight.
    MemberCondition: [
        "up", "down", "suspect", "never-known", "unknown", "check-missing", "unreadable", "paused", "disabled",
        "path-down", "path-suspect", "path-unknown",
    ];
    /// The state of the path of a VIP's packets to a Backend.
    PathState: path::PathState::ALL.map(path::PathState::as_str);
    /// The reason of a problem.
    ProblemReason: problem::Reason::ALL.map(problem::Reason::as_str);
    /// The progress of programming a Frontend into VPP.
    ProgramResult: event::ProgramResult::ALL.map(event::ProgramResult::as_str);
    /// The action on flows pinned to a Backend that goes down.
    OnBackendDown: [config::OnBackendDown::Flush, config::OnBackendDown::Keep].map(config::OnBackendDown::as_str);
    /// The action on VIPs that no Frontend claims and the agent does not own.
    ForeignVips: [config::ForeignVips::Keep, config::ForeignVips::Remove].map(config::ForeignVips::as_str);
    /// The encapsulation of a VIP in VPP.
    EncapType: (0..6).map(|kind| ActualEncap { kind, dscp: 0, target_port: 0 }.as_str());
    /// The state of the connection to an agent.
    LinkState: [
        Link::Connecting,
        Link::Connected,
        Link::Unreachable { error: "".into(), reason: "NoAnswer", since: jiff::Timestamp::UNIX_EPOCH },
    ].iter().map(Link::as_str);
    /// The mode of sign-in.
    SignInMode: ["basic", "token"];
}
