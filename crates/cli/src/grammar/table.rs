//! The table itself.

use super::{
    Entry,
    Next::{Back, Options, Run, Then},
    Read, Token, Value,
    value::LEVELS,
};
use crate::command::{Command, Shell, Watch};
use maglev_model::{config::AdminState, event::Level};

const fn word(word: &'static str, help: &'static str, next: super::Next) -> Entry {
    Entry { token: Token::Word(word), help, more: "", example: "", next }
}

const fn value(value: Value, help: &'static str, next: super::Next) -> Entry {
    Entry { token: Token::Value(value), help, more: "", example: "", next }
}

impl Entry {
    const fn more(self, more: &'static str) -> Self {
        Self { more, ..self }
    }

    const fn example(self, example: &'static str) -> Self {
        Self { example, ..self }
    }
}

const ANY_BACKEND: &str = "the Backend: NAMESPACE/NAME, or NAME in the namespace in use";
const ANY_FRONTEND: &str = "the Frontend: NAMESPACE/NAME, or NAME in the namespace in use";

/// What a line can begin with, in the shell and outside of it.
pub static VERBS: &[Entry] = &[
    word("status", "is anything wrong? exit status 0: no, 1: yes, 2: not known", Run(|_| Command::Status))
        .more(
            "Counts, over all nodes: VIPs that are down; VIPs whose packets are dropped; nodes that are silent or have lost \
             VPP; VIPs on a standby pool or on their last backend; objects that nodes disagree about; objects rejected, held \
             or in conflict; errors of syncing. All zero is one sentence.",
        )
        .example("maglevc status"),
    word("why", "why something is as it is", Then(WHY)).example("maglevc why backend web-1"),
    word("show", "show something, of all nodes or of one (--node)", Then(SHOW)).example("maglevc show nodes"),
    word("watch", "follow what happens", Then(WATCH)).example("maglevc watch events num 20"),
    word("sync", "make VPP right now, not in a moment", Then(SYNC)).example("maglevc sync vpp lb state --node node-a"),
    word("set", "change one thing by hand, as at night", Then(SET))
        .example("maglevc set backend web-1 pause --reason 'disk replaced'"),
    word("crds", "print the CustomResourceDefinitions as YAML", Run(|_| Command::Crds))
        .more("They are those of this maglevc's version. No cluster is asked.")
        .example("maglevc crds | kubectl apply --server-side -f -"),
];

/// What only makes sense outside of the shell.
pub static ONE_SHOT: &[Entry] =
    &[word("completion", "print a script that teaches your shell these words", Then(COMPLETION))
        .example("source <(maglevc completion bash)")];

/// What only makes sense in the shell.
pub static SHELL: &[Entry] = &[
    word("help", "what can be done here; ? says it at any place of a line", Run(|_| Command::Help)).example("help"),
    word("exit", "leave the shell; so does Ctrl-D", Run(|_| Command::Exit)).example("exit"),
    word("quit", "the same", Run(|_| Command::Exit)).example("quit"),
];

static WHY: &[Entry] = &[word(
    "backend",
    "why a Backend is in its state and has its weight",
    Then(&[value(Value::Backend, ANY_BACKEND, Run(|read| Command::Why(read.text(Value::Backend))))]),
)
.more(
    "Per node: the last probe and its code, the counter that decides by rise and fall, what the operator wants of it, and \
     in each pool its weight and the one in effect, and why. And who wrote the object last.",
)
.example("maglevc why backend shop/web-1")];

static SHOW: &[Entry] = &[
    word("version", "the versions of maglevc and of the agents", Run(|_| Command::Version))
        .example("maglevc show version"),
    word("nodes", "the nodes, their agents and VPPs", Run(|_| Command::Nodes)).example("maglevc show nodes -o wide"),
    word("frontends", "every Frontend", Run(|_| Command::Frontends)).example("maglevc show frontends --node node-a"),
    word(
        "frontend",
        "one Frontend: its pools, weights and state on every node",
        Then(&[value(Value::Frontend, ANY_FRONTEND, Run(|read| Command::Frontend(read.text(Value::Frontend))))]),
    )
    .example("maglevc show frontend shop/web"),
    word("backends", "every Backend", Run(|_| Command::Backends)).example("maglevc show backends -o json"),
    word(
        "backend",
        "one Backend: its health and its weights on every node",
        Then(&[value(Value::Backend, ANY_BACKEND, Run(|read| Command::Backend(read.text(Value::Backend))))]),
    )
    .example("maglevc show backend web-1"),
    word("healthchecks", "every HealthCheck", Run(|_| Command::HealthChecks)).example("maglevc show healthchecks"),
    word("vpp", "what VPP says", Then(SHOW_VPP)).example("maglevc show vpp info"),
];

static SHOW_VPP: &[Entry] = &[
    word("info", "which VPP each node has", Run(|_| Command::VppInfo)).example("maglevc show vpp info"),
    word(
        "lb",
        "its load balancer",
        Then(&[
            word("state", "the VIPs and servers that VPP has, with weights and buckets", Run(|_| Command::VppLbState))
                .example("maglevc show vpp lb state --node node-a"),
            word("counters", "what VPP has counted for each VIP", Run(|_| Command::VppLbCounters))
                .example("maglevc show vpp lb counters"),
        ]),
    )
    .example("maglevc show vpp lb state"),
];

static WATCH: &[Entry] = &[word("events", "events of every node, until Ctrl-C", Options(watch, WATCH_OPTIONS))
    .more(
        "Without a choice, every event from level info on. backend and frontend choose their transitions alone; log adds \
         the rest. With --output json each event is one line of JSON.",
    )
    .example("maglevc watch events num 20 log level debug --node node-a")];

static WATCH_OPTIONS: &[Entry] = &[
    word("num", "end after so many", Then(&[value(Value::Count, "how many", Back)]))
        .example("maglevc watch events num 5"),
    word("log", "every event, as in the agents' log", Back).example("maglevc watch events log backend"),
    word(
        "level",
        "the least level of events",
        Then(&[value(Value::Level, "debug (every probe and message), info, warn or error", Back)]),
    )
    .example("maglevc watch events log level warn"),
    word("backend", "transitions of Backends", Back).example("maglevc watch events backend"),
    word("frontend", "transitions of Frontends", Back).example("maglevc watch events frontend backend"),
];

fn watch(read: &Read) -> Command {
    let (backend, frontend) = (read.has("backend"), read.has("frontend"));
    let level = read.value(Value::Level).and_then(|text| LEVELS.iter().find(|(word, _)| *word == text));
    Command::Watch(Watch {
        num: read.number(Value::Count),
        log: read.has("log") || !(backend || frontend),
        level: level.map_or(Level::Info, |(_, level)| *level),
        backend,
        frontend,
    })
}

static SYNC: &[Entry] = &[word(
    "vpp",
    "of VPP",
    Then(&[word(
        "lb",
        "its load balancer",
        Then(&[word(
            "state",
            "read all that VPP has and make it right",
            Options(|read| Command::Sync { accept: read.value(Value::Hold).map(ToOwned::to_owned) }, SYNC_OPTIONS),
        )
        .more(
            "The agents do so every 30 s by themselves. Removals that are held because they were many at once stay held, \
             unless their hold is named.",
        )
        .example("maglevc sync vpp lb state")]),
    )
    .example("maglevc sync vpp lb state")]),
)
.example("maglevc sync vpp lb state")];

static SYNC_OPTIONS: &[Entry] = &[word(
    "accept-removals",
    "end a hold: its removals go now",
    Then(&[value(Value::Hold, "the hold's id, as show nodes tells it", Back)]),
)
.example("maglevc sync vpp lb state accept-removals h1 --node node-a")];

const SET_MORE: &str = "It is written to the custom resource, with who, why (--reason) and when, and lasts until somebody changes \
     it again. A field that another manager owns, such as a GitOps tool, and a change that would leave a Frontend without \
     any effective weight need --force. It prints the value before and after, and waits until every node has it.";

static SET: &[Entry] = &[
    word(
        "backend",
        "whether a Backend may take traffic",
        Then(&[value(Value::Backend, ANY_BACKEND, Then(SET_BACKEND))]),
    )
    .more(SET_MORE)
    .example("maglevc set backend web-1 disable --reason 'disk replaced'"),
    word(
        "frontend",
        "the weight of a Backend in a pool of a Frontend",
        Then(&[value(
            Value::Frontend,
            ANY_FRONTEND,
            Then(&[word("pool", "the pool", Then(SET_POOL)).example(SET_WEIGHT)]),
        )]),
    )
    .more(SET_MORE)
    .example(SET_WEIGHT),
];

const SET_WEIGHT: &str = "maglevc set frontend web pool primary backend web-2 weight 50";

static SET_BACKEND: &[Entry] = &[
    word("enable", "it takes traffic while it is up", Run(|read| admin(read, AdminState::Enabled)))
        .example("maglevc set backend web-1 enable"),
    word("pause", "no new flows; those it has stay", Run(|read| admin(read, AdminState::Paused)))
        .example("maglevc set backend web-1 pause"),
    word("disable", "no traffic; its flows move to others", Run(|read| admin(read, AdminState::Disabled)))
        .example("maglevc set backend web-1 disable"),
];

fn admin(read: &Read, state: AdminState) -> Command {
    Command::SetAdminState { backend: read.text(Value::Backend), state }
}

static SET_POOL: &[Entry] = &[value(
    Value::Pool,
    "the pool's name",
    Then(&[word(
        "backend",
        "the Backend",
        Then(&[value(
            Value::Member,
            "the Backend's name, as the pool has it",
            Then(&[word("weight", "its weight", Then(&[value(Value::Weight, "0 (none) to 100", Run(weight))]))
                .example(SET_WEIGHT)]),
        )]),
    )
    .example(SET_WEIGHT)]),
)];

fn weight(read: &Read) -> Command {
    let weight = read.number(Value::Weight).and_then(|weight| u8::try_from(weight).ok()).unwrap_or(0);
    let (frontend, pool, backend) = (read.text(Value::Frontend), read.text(Value::Pool), read.text(Value::Member));
    Command::SetWeight { frontend, pool, backend, weight }
}

static COMPLETION: &[Entry] = &[
    word("bash", "for bash", Run(|_| Command::Completion(Shell::Bash))).example("source <(maglevc completion bash)"),
    word("fish", "for fish", Run(|_| Command::Completion(Shell::Fish))).example("maglevc completion fish | source"),
    word("zsh", "for zsh", Run(|_| Command::Completion(Shell::Zsh))).example("source <(maglevc completion zsh)"),
];
