//! Reads a Backend.

use super::{Invalid, Unreadable, check_loopback, decodes_as, raw_address, unreadable};
use crate::backends::BackendRead;
use maglev_crd::{Address, AdminState, BackendSpec, DrainSpec, LocalRef};
use maglev_model::{Name, config::Kind, drain::DrainConf};

/// Reads the Backend `name`.
pub fn backend(name: &Name, spec: Result<&BackendSpec, &Unreadable>, allow_loopback: bool) -> BackendRead {
    match spec {
        Err(undecoded) => {
            let fields: [(_, super::FieldDecoder); 4] = [
                ("address", decodes_as::<Address>),
                ("healthCheckRef", decodes_as::<LocalRef>),
                ("adminState", decodes_as::<AdminState>),
                ("drain", decodes_as::<DrainSpec>),
            ];
            let outcome = "until it is corrected, the Backend stays in VPP as it is and is not probed";
            let problem = unreadable(Kind::Backend, name, undecoded, &fields, outcome);
            BackendRead::Unreadable { problem, address: raw_address(&undecoded.spec) }
        }
        Ok(spec) => {
            let address = spec.address.get();
            match check_loopback(address, allow_loopback) {
                Err(invalid) => rejected(name, invalid, address),
                Ok(()) => BackendRead::Readable {
                    address,
                    check: spec.health_check_ref.as_ref().map(|check| name.sibling(&check.name)),
                    admin_state: spec.admin_state.unwrap_or_default().into(),
                    pause_cause: None,
                    drain: spec.drain.as_ref().map(DrainConf::from).unwrap_or_default(),
                },
            }
        }
    }
}

fn rejected(name: &Name, invalid: Invalid, address: std::net::IpAddr) -> BackendRead {
    BackendRead::Unreadable { problem: invalid.problem(Kind::Backend, name), address: Some(address) }
}
