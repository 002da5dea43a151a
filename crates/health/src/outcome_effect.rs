//! Explains the effect of a probe's outcome on a backend, for the command that sends a single probe.

use super::ProbeOutcome;
use maglev_model::config::HealthCheck;

/// The effect that one outcome of `check` has on a backend, as text.
pub fn describe_effect(outcome: &ProbeOutcome, check: &HealthCheck) -> String {
    let (rise, fall) = (check.rise, check.fall);
    match outcome {
        ProbeOutcome::Completed { code, .. } if code.is_success() => {
            let when_down =
                if rise == 1 { "with this probe".to_owned() } else { format!("after {rise} such probes in a row") };
            format!(
                "The agent counts a success. A backend that is up stays up, a backend that is down comes up {when_down}, and a \
                 backend in state unknown comes up at once."
            )
        }
        ProbeOutcome::Completed { .. } => {
            let when_up =
                if fall == 1 { "with this probe".to_owned() } else { format!("after {fall} such probes in a row") };
            format!(
                "The agent counts a failure. A backend that is up goes down {when_up}, a backend that is down stays down, and a \
                 backend in state unknown goes down at once. If no other backend of the address family answers either, \
                 the probe path is suspected and weights are kept."
            )
        }
        ProbeOutcome::NotProbed { .. } => {
            "The agent counts nothing and probes again: this node could not probe, so the backend's state is unchanged."
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
    fn the_text_names_the_number_of_probes_that_change_the_state() {
        let table = [
            (ProbeOutcome::completed(L7Ok, ""), check(2, 3), "comes up after 2 such probes in a row"),
            (ProbeOutcome::completed(L7Ok, ""), check(1, 1), "comes up with this probe"),
            (ProbeOutcome::completed(L4Connection, ""), check(2, 3), "goes down after 3 such probes in a row"),
            (ProbeOutcome::completed(L4Connection, ""), check(1, 1), "goes down with this probe"),
            (ProbeOutcome::not_probed(""), check(2, 3), "counts nothing"),
        ];
        for (outcome, check, expected) in table {
            let text = describe_effect(&outcome, &check);
            assert!(text.contains(expected), "{text}");
        }
    }
}
