//! The words of maglevc with their help, examples and commands.

mod policies;
mod preview;

use super::{
    GrammarEntry,
    Next::{Back, Options, Run, Then},
    ParsedLine, Token, Value,
    value::LEVELS,
};
use crate::command::{Command, Shell, Watch};
use maglev_model::{config::AdminState, event::Level};

const fn word(word: &'static str, help: &'static str, next: super::Next) -> GrammarEntry {
    GrammarEntry { token: Token::Word(word), help, more: "", example: "", next }
}

const fn value(value: Value, help: &'static str, next: super::Next) -> GrammarEntry {
    GrammarEntry { token: Token::Value(value), help, more: "", example: "", next }
}

impl GrammarEntry {
    const fn more(self, more: &'static str) -> Self {
        Self { more, ..self }
    }

    const fn example(self, example: &'static str) -> Self {
        Self { example, ..self }
    }
}

const ANY_BACKEND: &str = "the Backend, as NAMESPACE/NAME, or as NAME in the current namespace";
const ANY_FRONTEND: &str = "the Frontend, as NAMESPACE/NAME, or as NAME in the current namespace";

/// First words, in the shell and on the command line.
pub static VERBS: &[GrammarEntry] = &[
    word("status", "overall state; exit status 0: no problems, 1: problems, 2: unknown", Run(|_| Command::Status))
        .more(
            "Counts over all nodes: VIPs that are down; VIPs that drop packets; nodes that do not report or have lost VPP; \
             VIPs on a standby pool; VIPs on their last backend; servers in VPP that no Frontend names; objects on which nodes \
             disagree; objects that are rejected, held or in conflict; sync errors; backends that are down, \
             which do not change the exit status. If all counts are 0, prints one line. \
             Advises to enlarge the sticky tables of VPP when a quarter of one is in use.",
        )
        .example("maglevc status"),
    word("why", "explain the state of an object", Then(WHY)).example("maglevc why backend web-1"),
    word("explain", "explain what a namespace may use", Then(policies::EXPLAIN)).example("maglevc explain policy shop"),
    word("doctor", "probe the paths to a server, and print the commands that prepare it", Then(DOCTOR))
        .example("maglevc doctor backend web-1"),
    word("trace", "show the backend of a new flow on each node", Then(TRACE))
        .more(TRACE_MORE)
        .example("maglevc trace tcp 198.51.100.7:40312 203.0.113.10:80"),
    word("whatif", "show the effect of a change of a Backend, or of a lost node, on new and tracked flows", Then(preview::WHATIF))
        .example("maglevc whatif backend web-1 down"),
    word("diff", "show the effect of manifests (-f) on objects and on new and tracked flows; applies nothing", Run(|_| Command::Diff))
        .more(preview::DIFF_MORE)
        .example("maglevc diff -f shop/web.yaml"),
    word("show", "show objects and state, of all nodes or of one (--node)", Then(SHOW)).example("maglevc show nodes"),
    word("watch", "follow events", Then(WATCH)).example("maglevc watch events num 20"),
    word("sync", "sync VPP immediately", Then(SYNC)).example("maglevc sync vpp lb state --node node-a"),
    word(
        "accept",
        "make the changes of a hold now",
        Then(&[value(Value::Hold, "ID of the hold, as listed by show nodes", Run(accept))]),
    )
    .more(
        "An agent holds removals when they are many at once, and a change of a Frontend that exceeds its disruption budget. \
         This command writes the ID into the field spec.acceptRemovals of the MaglevNode of each node that has the hold, \
         and waits until the agents have released it. It does not ask for confirmation.",
    )
    .example("maglevc accept 1f9b2c3d"),
    word("set", "make an operator change", Then(SET))
        .example("maglevc set backend web-1 pause --reason 'disk replaced'"),
    word("drain", "pause Backends, and wait until they have no flows", Then(DRAIN))
        .example("maglevc drain backend web-1 --deadline 10m --reason 'disk replaced'"),
    word("undrain", "end the drain of a Backend or a Node", Then(UNDRAIN)).example("maglevc undrain backend web-1"),
    word("crds", "print the CustomResourceDefinitions as YAML", Run(|_| Command::Crds))
        .more("The definitions belong to this version of maglevc. No cluster is contacted.")
        .example("maglevc crds | kubectl apply --server-side -f -"),
];

/// First words on the command line only.
pub static ONE_SHOT: &[GrammarEntry] =
    &[word("completion", "print a completion script for your shell", Then(COMPLETION))
        .example("source <(maglevc completion bash)")];

/// First words in the shell only.
pub static SHELL: &[GrammarEntry] = &[
    word("help", "list the commands; ? shows what can follow at any position", Run(|_| Command::Help)).example("help"),
    word("exit", "leave the shell, like Ctrl-D", Run(|_| Command::Exit)).example("exit"),
    word("quit", "same as exit", Run(|_| Command::Exit)).example("quit"),
];

static WHY: &[GrammarEntry] = &[
    WHY_BACKEND,
    word(
        "frontend",
        "explain what allows or denies a Frontend, and its state",
        Then(&[value(Value::Frontend, ANY_FRONTEND, Run(|line| Command::WhyFrontend(line.text(Value::Frontend))))]),
    )
    .more(
        "The AddressPolicies that allow the Frontend, or what they say instead; for each node, the reasons for which the VIP \
         is held or withdrawn, whether VPP has it, and the ramps in progress.",
    )
    .example("maglevc why frontend shop/web"),
    policies::WHY_SERVICE,
];

const WHY_BACKEND: GrammarEntry = word(
    "backend",
    "explain the state and the weights of a Backend",
    Then(&[value(Value::Backend, ANY_BACKEND, Run(|line| Command::Why(line.text(Value::Backend))))]),
)
.more(
    "For each node: the last probe and its code, the counter that is compared with rise and fall, the admin state, and in \
     each pool the configured and the effective weight with the reason, and the step of a ramp. Also the last writer of the \
     object.",
)
.example("maglevc why backend shop/web-1");

static DOCTOR: &[GrammarEntry] = &[word(
    "backend",
    "probe the paths of the VIPs to a Backend, and print the commands that prepare its server",
    Then(&[value(Value::Backend, ANY_BACKEND, Run(|line| Command::Doctor(line.text(Value::Backend))))]),
)
.more(
    "The commands of the guide's page \"Prepare the network\" for a Linux server, with the address of the Backend and the \
     VIPs and the encapsulation of its Frontends: tunnel or DSCP rules, VIPs, ARP, size of TCP segments. Before them, \
     what is wrong now: the agents probe the path of each VIP to the server, which takes about 4 s. No command is run \
     and nothing is changed. The output is a shell script.",
)
.example("maglevc doctor backend shop/web-1")];

static TRACE: &[GrammarEntry] = &[value(
    Value::Protocol,
    "protocol of the flow: tcp or udp",
    Then(&[value(
        Value::Source,
        "address and port of the client, such as 198.51.100.7:40312 or [2001:db8::7]:40312",
        Then(&[value(
            Value::Destination,
            "address and port that the client connects to, such as 203.0.113.10:80",
            Run(|line| Command::Trace(line.flow().expect("the parser has checked all three values"))),
        )
        .example("maglevc trace tcp 198.51.100.7:40312 203.0.113.10:80")]),
    )]),
)];

const TRACE_MORE: &str = "For each node: the VIP, the bucket of the flow in the new-flow table, and the Backend in the bucket, with its weight in \
     VPP and the reason for it. Sends nothing: the table is computed from the servers and weights that VPP has, and compared \
     with VPP's bucket counts. A flow that a node tracks keeps its backend until it has been idle for the flow timeout, and can \
     so have another one than a new flow. With session affinity ClientIP, the ports do not count. VPP hashes with CRC-32C if \
     it was built with CRC instructions, as for amd64 and arm64, and with xxHash otherwise (--hash xxhash). Exit status 1: \
     a node has no backend for the flow or does not report, or the nodes disagree.";

static SHOW: &[GrammarEntry] = &[
    word("version", "versions of maglevc and of the agents", Run(|_| Command::Version)).example("maglevc show version"),
    word("nodes", "nodes with their agents and VPPs", Run(|_| Command::Nodes)).example("maglevc show nodes -o wide"),
    word("frontends", "all Frontends", Run(|_| Command::Frontends)).example("maglevc show frontends --node node-a"),
    word(
        "frontend",
        "a Frontend: its pools, weights and state on each node",
        Then(&[value(Value::Frontend, ANY_FRONTEND, Run(|line| Command::Frontend(line.text(Value::Frontend))))]),
    )
    .example("maglevc show frontend shop/web"),
    word("backends", "all Backends", Run(|_| Command::Backends)).example("maglevc show backends -o json"),
    word(
        "backend",
        "a Backend: its health, weights and traffic on each node",
        Then(&[value(Value::Backend, ANY_BACKEND, Run(|line| Command::Backend(line.text(Value::Backend))))]),
    )
    .example("maglevc show backend web-1"),
    policies::SHOW_POLICIES,
    policies::SHOW_POLICY,
    policies::SHOW_ADDRESSES,
    word("healthchecks", "all HealthChecks", Run(|_| Command::HealthChecks)).example("maglevc show healthchecks"),
    word("vpp", "state of VPP", Then(SHOW_VPP)).example("maglevc show vpp info"),
];

static SHOW_VPP: &[GrammarEntry] = &[
    word("info", "version and process of VPP on each node", Run(|_| Command::VppInfo)).example("maglevc show vpp info"),
    word(
        "lb",
        "state of the load balancer",
        Then(&[
            word(
                "state",
                "VIPs and application servers in VPP, with weights and buckets",
                Run(|_| Command::VppLbState),
            )
            .example("maglevc show vpp lb state --node node-a"),
            word(
                "counters",
                "counters of VPP for each VIP and application server, and its sticky tables",
                Run(|_| Command::VppLbCounters),
            )
            .more(
                "VPP counts the traffic to the address of an application server, not to a Backend: an address of several \
                 VIPs is listed once, with the traffic of all of them. Totals of servers count since the agent started, \
                 rates are those of its last interval. The number of flows is an upper bound: VPP counts an expired flow \
                 until its entry in the sticky table is reused, so only 0 is exact.",
            )
            .example("maglevc show vpp lb counters"),
        ]),
    )
    .example("maglevc show vpp lb state"),
];

static WATCH: &[GrammarEntry] = &[word("events", "events of all nodes, until Ctrl-C", Options(watch, WATCH_OPTIONS))
    .more(
        "By default, all events of level info or higher. backend and frontend restrict the output to transitions; log adds \
         the other events. With --output json, each event is one line of JSON.",
    )
    .example("maglevc watch events num 20 log level debug --node node-a")];

static WATCH_OPTIONS: &[GrammarEntry] = &[
    word("num", "stop after N events", Then(&[value(Value::Count, "number of events", Back)]))
        .example("maglevc watch events num 5"),
    word("log", "all events, as in the agents' logs", Back).example("maglevc watch events log backend"),
    word(
        "level",
        "minimum level of events",
        Then(&[value(Value::Level, "debug (every probe and message), info, warn or error", Back)]),
    )
    .example("maglevc watch events log level warn"),
    word("backend", "transitions of Backends", Back).example("maglevc watch events backend"),
    word("frontend", "transitions of Frontends", Back).example("maglevc watch events frontend backend"),
];

fn watch(line: &ParsedLine) -> Command {
    let (backend, frontend) = (line.has("backend"), line.has("frontend"));
    let level = line.value(Value::Level).and_then(|text| LEVELS.iter().find(|(word, _)| *word == text));
    Command::Watch(Watch {
        num: line.number(Value::Count),
        log: line.has("log") || !(backend || frontend),
        level: level.map_or(Level::Info, |(_, level)| *level),
        backend,
        frontend,
    })
}

fn accept(line: &ParsedLine) -> Command {
    Command::Accept(line.text(Value::Hold))
}

/// A former command.
#[derive(Debug)]
pub struct Replaced {
    /// The words before it, which are still a command.
    pub after: &'static str,
    pub word: &'static str,
    /// The command to use.
    pub by: &'static str,
}

/// Former commands, for errors.
pub static REPLACED: &[Replaced] =
    &[Replaced { after: "sync vpp lb state", word: "accept-removals", by: "maglevc accept HOLD-ID" }];

static SYNC: &[GrammarEntry] = &[word(
    "vpp",
    "sync VPP",
    Then(&[word(
        "lb",
        "sync the load balancer",
        Then(&[word("state", "read the state of VPP and correct all differences", Run(|_| Command::Sync))
            .more(
                "The agents also do this every 30 s. Removals that are held because of their number stay held, see \
             `maglevc accept`.",
            )
            .example("maglevc sync vpp lb state")]),
    )
    .example("maglevc sync vpp lb state")]),
)
.example("maglevc sync vpp lb state")];

const SET_MORE: &str = "Writes the custom resource, and records user, reason (--reason) and time. The change lasts until the field is \
     changed again. --force is required if another field manager owns the field, such as a GitOps tool, or if the change \
     leaves a Frontend without effective weight. Prints the old and the new value, and waits until every node has applied \
     the change.";

static SET: &[GrammarEntry] = &[
    word("backend", "set the admin state of a Backend", Then(&[value(Value::Backend, ANY_BACKEND, Then(SET_BACKEND))]))
        .more(SET_MORE)
        .example("maglevc set backend web-1 disable --reason 'disk replaced'"),
    word(
        "frontend",
        "set the weight of a Backend in a pool of a Frontend",
        Then(&[value(
            Value::Frontend,
            ANY_FRONTEND,
            Then(&[word("pool", "a pool of the Frontend", Then(SET_POOL)).example(SET_WEIGHT)]),
        )]),
    )
    .more(SET_MORE)
    .example(SET_WEIGHT),
];

const SET_WEIGHT: &str = "maglevc set frontend web pool primary backend web-2 weight 50";

static SET_BACKEND: &[GrammarEntry] = &[
    word("enable", "accept traffic while the Backend is up", Run(|line| admin(line, AdminState::Enabled)))
        .example("maglevc set backend web-1 enable"),
    word("pause", "no new flows; existing flows stay", Run(|line| admin(line, AdminState::Paused)))
        .example("maglevc set backend web-1 pause"),
    word("disable", "no traffic; flows move to other Backends", Run(|line| admin(line, AdminState::Disabled)))
        .example("maglevc set backend web-1 disable"),
];

fn admin(line: &ParsedLine, state: AdminState) -> Command {
    Command::SetAdminState { backend: line.text(Value::Backend), state }
}

const DRAIN_MORE: &str = "Sets adminState to Paused, as `maglevc set backend BACKEND pause` does, and waits until every node reports that no flow is \
     left: VPP tracks none, or has sent no packet to the Backend for the flow timeout. Prints flows and rate of each node meanwhile. \
     The number of flows is an upper bound, since VPP counts expired ones. With --deadline, stops then with exit status 1; with \
     --flush-at-deadline, the agents then flush the flows that are left. Both are written to spec.drain and stay there. Ctrl-C \
     stops waiting and leaves the Backend paused. --force is required for the last Backend of a Frontend that serves. \
     Exit status 0: drained.";

static DRAIN: &[GrammarEntry] = &[
    word(
        "backend",
        "pause a Backend, and wait until it has no flows",
        Then(&[value(Value::Backend, ANY_BACKEND, Run(|line| Command::DrainBackend(line.text(Value::Backend))))]),
    )
    .more(DRAIN_MORE)
    .example("maglevc drain backend web-1 --deadline 10m --flush-at-deadline"),
    word(
        "node",
        "the same for all Backends with an address of a Node",
        Then(&[value(Value::Node, "name of the Node", Run(|line| Command::DrainNode(line.text(Value::Node))))]),
    )
    .more(
        "Drains all Backends, of any namespace, whose address is one of status.addresses of the Node, disabled ones excepted. If pools \
         follow Services, also sets the annotation maglev.vpp.io/drain of the Node: the agents then send it no new flows in any pool \
         of a Service, whether it is used now or later. Needs the permissions to get and, for the annotation, to patch Nodes. See \
         `maglevc drain backend`.",
    )
    .example("maglevc drain node node-a --reason 'kernel update'"),
];

static UNDRAIN: &[GrammarEntry] = &[
    word(
        "backend",
        "set adminState of a Backend to Enabled",
        Then(&[value(Value::Backend, ANY_BACKEND, Run(|line| admin(line, AdminState::Enabled)))]),
    )
    .more("The same as `maglevc set backend BACKEND enable`. spec.drain stays as it is.")
    .example("maglevc undrain backend web-1"),
    word(
        "node",
        "the same for all paused Backends with an address of a Node",
        Then(&[value(Value::Node, "name of the Node", Run(|line| Command::UndrainNode(line.text(Value::Node))))]),
    )
    .more(
        "If pools follow Services, also removes the annotation maglev.vpp.io/drain of the Node. A Node that services.drainOn drains \
         because it is unschedulable stays drained: see `kubectl uncordon`.",
    )
    .example("maglevc undrain node node-a"),
];

static SET_POOL: &[GrammarEntry] = &[value(
    Value::Pool,
    "name of the pool",
    Then(&[word(
        "backend",
        "a Backend of the pool",
        Then(&[value(
            Value::Member,
            "name of the Backend, as in the pool",
            Then(&[word(
                "weight",
                "the weight of the Backend",
                Then(&[value(Value::Weight, "0 (no traffic) to 100", Run(weight))]),
            )
            .example(SET_WEIGHT)]),
        )]),
    )
    .example(SET_WEIGHT)]),
)];

fn weight(line: &ParsedLine) -> Command {
    let weight = line.number(Value::Weight).and_then(|weight| u8::try_from(weight).ok()).unwrap_or(0);
    let (frontend, pool, backend) = (line.text(Value::Frontend), line.text(Value::Pool), line.text(Value::Member));
    Command::SetWeight { frontend, pool, backend, weight }
}

static COMPLETION: &[GrammarEntry] = &[
    word("bash", "script for bash", Run(|_| Command::Completion(Shell::Bash)))
        .example("source <(maglevc completion bash)"),
    word("fish", "script for fish", Run(|_| Command::Completion(Shell::Fish)))
        .example("maglevc completion fish | source"),
    word("zsh", "script for zsh", Run(|_| Command::Completion(Shell::Zsh))).example("source <(maglevc completion zsh)"),
];
