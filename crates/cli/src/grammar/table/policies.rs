//! The words on AddressPolicies, addresses and Services.

use super::{value, word};
use crate::{
    command::Command,
    grammar::{
        GrammarEntry,
        Next::{Run, Then},
        Value,
    },
};

const ANY_SERVICE: &str = "the Service, as NAMESPACE/NAME, or as NAME in the current namespace";

pub const WHY_SERVICE: GrammarEntry = word(
    "service",
    "explain the address and the Frontends of a Service of type LoadBalancer",
    Then(&[value(Value::Service, ANY_SERVICE, Run(|line| Command::WhyService(line.text(Value::Service))))]),
)
.more(
    "The class of the Service, the addresses that it asks for and has, the conditions that the controller has set on it, \
     and the Frontends that were made for it. Reads the API server only.",
)
.example("maglevc why service shop/web");

pub const SHOW_ADDRESSES: GrammarEntry = word(
    "addresses",
    "addresses in use, their holders, and the addresses that are left for Services",
    Run(|_| Command::Addresses),
)
.more(
    "A Service has an address through its Frontends. The AddressPolicies that allow all of them are named. Reads the API \
     server only.",
)
.example("maglevc show addresses");

pub const SHOW_POLICIES: GrammarEntry =
    word("policies", "all AddressPolicies", Run(|_| Command::Policies)).example("maglevc show policies");

pub const SHOW_POLICY: GrammarEntry = word(
    "policy",
    "an AddressPolicy: what it allows, and its limits",
    Then(&[value(Value::Policy, "name of the AddressPolicy", Run(|line| Command::Policy(line.text(Value::Policy))))]),
)
.example("maglevc show policy shop");

pub static EXPLAIN: &[GrammarEntry] = &[word(
    "policy",
    "explain what a namespace may use, and which AddressPolicies say so",
    Then(&[value(
        Value::Namespace,
        "the namespace",
        Run(|line| Command::ExplainPolicy(line.text(Value::Namespace))),
    )]),
)
.more(
    "What the AddressPolicies that select the namespace allow adds up; of several limits, the largest applies. Reads the \
     AddressPolicies, and the Namespaces if one of them selects by label.",
)
.example("maglevc explain policy shop")];
