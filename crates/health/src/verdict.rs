//! What the agent does about a probe's outcome, in words.

use super::Outcome;
use maglev_model::config::HealthCheck;

/// What the outcome of one probe by `check` means for a backend.
pub fn consequence(outcome: &Outcome, check: &HealthCheck) -> String {
    let (rise, fall) = (check.rise, check.fall);
    match outcome {
        Outcome::Answer { code, .. } if code.is_success() => {
            let down =
                if rise == 1 { "with this probe".to_owned() } else { format!("after {rise} such probes in a row") };
            format!(
                "The agent counts a success. A backend that is up stays up; one that is down is up {down}; one not known \
                 yet is up at once."
            )
        }
        Outcome::Answer { .. } => {
            let up =
                if fall == 1 { "with this probe".to_owned() } else { format!("after {fall} such probes in a row") };
            format!(
                "The agent counts a failure. A backend that is up is down {up}; one that is down stays down; one not known \
                 yet is down at once. Where no other backend of the family answers either, the path is suspected and \
                 weights are kept."
            )
        }
        Outcome::NotProbed { .. } => {
            "The agent counts nothing: this node could not probe, which says nothing about the backend. It tries again."
                .to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use maglev_model::{
        config::{Probe, Revision},
        health::ProbeCode::{L4Connection, L7Ok},
        name::Name,
    };

    fn check(rise: u8, fall: u8) -> HealthCheck {
        let interval = Duration::from_secs(1);
        HealthCheck {
            name: Name::namespaced("shop", "check"),
            revision: Revision::default(),
            interval,
            fast_interval: interval,
            down_interval: interval,
            timeout: interval,
            rise,
            fall,
            probe: Probe::Icmp,
        }
    }

    #[test]
    fn each_outcome_is_followed_by_what_the_counter_makes_of_it() {
        let table = [
            (Outcome::answer(L7Ok, ""), check(2, 3), "is up after 2 such probes in a row"),
            (Outcome::answer(L7Ok, ""), check(1, 1), "is up with this probe"),
            (Outcome::answer(L4Connection, ""), check(2, 3), "is down after 3 such probes in a row"),
            (Outcome::answer(L4Connection, ""), check(1, 1), "is down with this probe"),
            (Outcome::not_probed(""), check(2, 3), "counts nothing"),
        ];
        for (outcome, check, says) in table {
            let text = consequence(&outcome, &check);
            assert!(text.contains(says), "{text}");
        }
    }
}
