//! The words of `whatif`, and the texts of `diff`.

use super::{ANY_BACKEND, ANY_FRONTEND, value, word};
use crate::{
    command::{BackendChange, Command},
    grammar::{
        GrammarEntry,
        Next::{Back, Options, Run, Then},
        ParsedLine, Value,
    },
};
use maglev_model::config::AdminState;

pub const DIFF_MORE: &str = "The API server validates each object of the manifests and sets defaults in a dry run. The result is compared with \
     the stored objects, and for each node, with its own settings, the health of the backends that its agent reports and the \
     state of its VPP, gives the change of each VIP. Objects of kinds other than Frontend, Backend, HealthCheck, \
     LoadBalancerConfig and AddressPolicy are skipped, and named. An object that does not exist, or was made by a \
     server-side apply, is applied on the server side, by the same field manager; any other one is patched as by kubectl \
     apply. Fields of other field managers are conflicts, unless --force is given. Backends that are new or have a new \
     address are taken for up. *Moved* is the share of new flows that reach another backend, *from* a backend the share \
     that it had, and *collateral* the share that moves although neither backend was changed. *Kept* flows stay with their \
     backend while they are tracked; *lost* ones do not. Exit status, as of kubectl diff: 0 no object changes, 1 some \
     object changes, 2 failure.";

const WHATIF_MORE: &str = "For each node, from the configuration, the health and the state of VPP that its agent reports: the share of new flows \
     that *moved* to another backend, *from* which backends, and as *collateral*, which is the share that moves although \
     neither backend was changed; the tracked flows that are *kept* or *lost*; VIPs that are held. Nothing is changed. Exit \
     status 1: a node does not report, or is not connected to VPP.";

const NODE_MORE: &str = "The routers move the flows of a lost node to other nodes, which do not track them. For each VIP and remaining node: the \
     share of flows that find the same backend by the new-flow table, and how many flows the lost node tracks at most. Exit \
     status 1: a remaining node does not report, or is not connected to VPP.";

pub static WHATIF: &[GrammarEntry] = &[
    word(
        "backend",
        "show the effect of a change of a Backend",
        Then(&[value(Value::Backend, ANY_BACKEND, Then(CHANGES))]),
    )
    .more(WHATIF_MORE)
    .example("maglevc whatif backend web-1 down"),
    word(
        "node",
        "show the backends that flows of a lost node find on the other nodes",
        Then(&[value(
            Value::Node,
            "the node",
            Then(&[word(
                "lost",
                "the node forwards no packets any more",
                Run(|line| Command::WhatIfNodeLost(line.text(Value::Node))),
            )
            .example("maglevc whatif node node-a lost")]),
        )]),
    )
    .more(NODE_MORE)
    .example("maglevc whatif node node-a lost"),
];

static CHANGES: &[GrammarEntry] = &[
    word("down", "the probes of the Backend fail", Run(|line| change(line, BackendChange::Down)))
        .example("maglevc whatif backend web-1 down"),
    word("up", "the probes of the Backend succeed", Run(|line| change(line, BackendChange::Up)))
        .example("maglevc whatif backend web-1 up"),
    word("pause", "the Backend is paused: no new flows", Run(|line| admin(line, AdminState::Paused)))
        .example("maglevc whatif backend web-1 pause"),
    word("disable", "the Backend is disabled: no flows", Run(|line| admin(line, AdminState::Disabled)))
        .example("maglevc whatif backend web-1 disable"),
    word("enable", "the Backend is enabled, and its probes succeed", Run(|line| admin(line, AdminState::Enabled)))
        .example("maglevc whatif backend web-1 enable"),
    word(
        "weight",
        "the Backend has another weight in all pools",
        Then(&[value(Value::Weight, "0 (no new flows) to 100", Options(weight, IN_FRONTEND))
            .example("maglevc whatif backend web-1 weight 50 in web")]),
    )
    .example("maglevc whatif backend web-1 weight 50 in web"),
];

static IN_FRONTEND: &[GrammarEntry] =
    &[word("in", "only in the pools of this Frontend", Then(&[value(Value::Frontend, ANY_FRONTEND, Back)]))
        .example("maglevc whatif backend web-1 weight 50 in web")];

fn change(line: &ParsedLine, change: BackendChange) -> Command {
    Command::WhatIfBackend { backend: line.text(Value::Backend), change }
}

fn admin(line: &ParsedLine, state: AdminState) -> Command {
    change(line, BackendChange::AdminState(state))
}

fn weight(line: &ParsedLine) -> Command {
    let weight = line.number(Value::Weight).and_then(|weight| u8::try_from(weight).ok()).unwrap_or(0);
    let frontend = line.value(Value::Frontend).map(str::to_owned);
    change(line, BackendChange::Weight { weight, frontend })
}
