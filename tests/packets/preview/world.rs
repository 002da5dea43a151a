//! The objects of a node, and random changes of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use maglev_model::config::{AdminState, Backend, Config, Frontend, NodeConfig, Pool, Revision};
use maglev_model::health::{BackendHealth, BackendState, HealthSnapshot};
use maglev_model::preview::WhatIf;
use maglev_model::vip::{Protocol, Service, TableLength, VipKey, Weight};
use maglev_testkit::objects::{backend, config, frontend, member, name, node_config};

use super::flows::STICKY_BUCKETS;
use crate::lab::server;

const VIPS: u8 = 3;
const LENGTHS: [u32; 3] = [256, 512, LONGEST_TABLE];
pub const LONGEST_TABLE: u32 = 1024;
const WEIGHTS: [u8; 7] = [0, 1, 5, 10, 20, 50, 100];

/// The objects.
#[derive(Clone, Debug)]
pub struct World {
    generation: i64,
    backends: BTreeMap<u8, BackendSpec>,
    vips: BTreeMap<u8, VipSpec>,
}

#[derive(Clone, Copy, Debug)]
struct BackendSpec {
    admin_state: AdminState,
    /// True if its probes succeed.
    works: bool,
}

#[derive(Clone, Debug)]
struct VipSpec {
    generation: i64,
    /// The weights of the Backends of the pool.
    members: BTreeMap<u8, u8>,
    length: u32,
    sticky: bool,
}

/// A change of one object.
#[derive(Clone, Copy, Debug)]
pub enum Edit {
    Weight { vip: u8, backend: u8, weight: u8 },
    Admin { backend: u8, state: AdminState },
    Health { backend: u8, works: bool },
    Add { vip: u8, backend: u8 },
    Remove { vip: u8, backend: u8 },
    Length { vip: u8, length: u32 },
    Affinity { vip: u8 },
}

/// The VIP of a number.
pub fn vip(number: u8) -> VipKey {
    let service = Service::Port { protocol: Protocol::Udp, port: 53.try_into().unwrap() };
    VipKey { address: [203, 0, 113, number].into(), service }
}

fn backend_name(number: u8) -> maglev_model::Name {
    name(&format!("shop/web-{number}"))
}

fn frontend_name(number: u8) -> String {
    format!("shop/frontend-{number}")
}

impl World {
    /// VIPs with three quarters of `backends`, all up.
    pub fn new(backends: u8) -> Self {
        let spec = BackendSpec { admin_state: AdminState::Enabled, works: true };
        let vip = |number: u8| {
            let members = (0..backends * 3 / 4).map(|at| ((number * 2 + at) % backends + 1, 10)).collect();
            (number, VipSpec { generation: 1, members, length: LONGEST_TABLE, sticky: false })
        };
        let all = (1..=backends).map(|number| (number, spec)).collect();
        Self { generation: 1, backends: all, vips: (1..=VIPS).map(vip).collect() }
    }

    /// The VIPs, and whether they have session affinity.
    pub fn vips(&self) -> impl Iterator<Item = (VipKey, bool)> {
        self.vips.iter().map(|(number, spec)| (vip(*number), spec.sticky))
    }

    pub fn change_affinity(&mut self, random: &mut Rng) -> Edit {
        let edit = Edit::Affinity { vip: random.u8(1..=VIPS) };
        self.apply(edit);
        edit
    }

    /// Makes a random change after which every VIP has a backend that takes traffic.
    pub fn change(&mut self, random: &mut Rng) -> Edit {
        loop {
            let backends = u8::try_from(self.backends.len()).expect("few Backends");
            let (number, backend) = (random.u8(1..=VIPS), random.u8(1..=backends));
            let edit = match random.u8(..8) {
                0 | 1 => Edit::Weight { vip: number, backend, weight: WEIGHTS[random.usize(..WEIGHTS.len())] },
                2 => Edit::Admin { backend, state: AdminState::Paused },
                3 => Edit::Admin { backend, state: AdminState::Disabled },
                4 => Edit::Admin { backend, state: AdminState::Enabled },
                5 => Edit::Health { backend, works: !self.backends[&backend].works },
                6 if self.vips[&number].members.contains_key(&backend) => Edit::Remove { vip: number, backend },
                6 => Edit::Add { vip: number, backend },
                _ => Edit::Length { vip: number, length: LENGTHS[random.usize(..LENGTHS.len())] },
            };
            if self.is_change(edit) {
                let mut after = self.clone();
                after.apply(edit);
                if after.serves() {
                    *self = after;
                    return edit;
                }
            }
        }
    }

    fn serves(&self) -> bool {
        let takes_traffic = |(backend, weight): (&u8, &u8)| {
            let spec = &self.backends[backend];
            *weight > 0 && spec.works && spec.admin_state == AdminState::Enabled
        };
        self.vips.values().all(|vip| vip.members.iter().any(takes_traffic))
    }

    fn is_change(&self, edit: Edit) -> bool {
        match edit {
            Edit::Weight { vip, backend, weight } => {
                self.vips[&vip].members.get(&backend).is_some_and(|before| *before != weight)
            }
            Edit::Admin { backend, state } => self.backends[&backend].admin_state != state,
            Edit::Remove { vip, .. } => self.vips[&vip].members.len() > 2,
            Edit::Length { vip, length } => self.vips[&vip].length != length,
            // A Backend that is not probed has no health.
            Edit::Health { backend, .. } => self.backends[&backend].admin_state == AdminState::Enabled,
            Edit::Add { .. } | Edit::Affinity { .. } => true,
        }
    }

    fn apply(&mut self, edit: Edit) {
        self.generation += 1;
        match edit {
            Edit::Weight { vip, backend, weight } => {
                self.spec(vip).members.insert(backend, weight);
            }
            Edit::Add { vip, backend } => {
                self.spec(vip).members.insert(backend, 10);
            }
            Edit::Remove { vip, backend } => {
                self.spec(vip).members.remove(&backend);
            }
            Edit::Length { vip, length } => self.spec(vip).length = length,
            Edit::Affinity { vip } => self.spec(vip).sticky ^= true,
            Edit::Admin { backend, state } => self.backend(backend).admin_state = state,
            Edit::Health { backend, works } => self.backend(backend).works = works,
        }
        // An enabled Backend is taken for up by the preview.
        if let Edit::Admin { backend, state: AdminState::Enabled } = edit {
            self.backend(backend).works = true;
        }
    }

    fn spec(&mut self, vip: u8) -> &mut VipSpec {
        let generation = self.generation;
        let spec = self.vips.get_mut(&vip).expect("there is such a VIP");
        spec.generation = generation;
        spec
    }

    fn backend(&mut self, number: u8) -> &mut BackendSpec {
        self.backends.get_mut(&number).expect("there is such a Backend")
    }

    /// The question of `whatif` for a change; `None` if only a manifest can make it.
    pub fn what_if(&self, edit: &Edit) -> Option<WhatIf> {
        Some(match *edit {
            Edit::Weight { vip, backend, weight } => WhatIf::Weight {
                backend: backend_name(backend),
                frontend: Some(name(&frontend_name(vip))),
                pool: None,
                weight: Weight::new(weight).unwrap(),
            },
            Edit::Admin { backend, state } => WhatIf::AdminState(backend_name(backend), state),
            Edit::Health { backend, works: true } => WhatIf::Up(backend_name(backend)),
            Edit::Health { backend, works: false } => WhatIf::Down(backend_name(backend)),
            _ => return None,
        })
    }

    /// The health that the preview has for a change: only a change of health is known before.
    pub fn health_after(&self, edit: &Edit, before: &HealthSnapshot) -> HealthSnapshot {
        if matches!(edit, Edit::Health { .. }) { self.health() } else { before.clone() }
    }

    fn resolved(&self, number: u8) -> Backend {
        let admin_state = self.backends[&number].admin_state;
        Backend { admin_state, ..backend(&format!("shop/web-{number}"), &server(number).to_string()) }
    }

    fn frontend(&self, number: u8, spec: &VipSpec) -> Frontend {
        let member_of = |(backend, weight): (&u8, &u8)| {
            let weight = Weight::new(*weight).unwrap();
            maglev_model::config::Member { weight, ..member(self.resolved(*backend)) }
        };
        let pool = Pool { name: "primary".into(), members: spec.members.iter().map(member_of).collect() };
        let frontend = frontend(&frontend_name(number), vip(number), vec![pool]);
        Frontend {
            revision: Revision { generation: spec.generation, ..frontend.revision.clone() },
            sticky: spec.sticky,
            table_length: TableLength::new(spec.length).unwrap(),
            ..frontend
        }
    }

    /// The configuration that the agent gets.
    pub fn config(&self) -> Config {
        let mut node: NodeConfig = node_config();
        node.vpp.sticky_buckets_per_core = Some(STICKY_BUCKETS);
        node.vpp.flow_timeout = Some(3600);
        node.sync.mass_removal_hold = Duration::ZERO;
        config(self.vips.iter().map(|(number, spec)| self.frontend(*number, spec)), node)
    }

    /// The health that the agent gets.
    pub fn health(&self) -> HealthSnapshot {
        let health = |(number, spec): (&u8, &BackendSpec)| {
            let state = match spec.admin_state {
                AdminState::Paused => BackendState::Paused,
                AdminState::Disabled => BackendState::Disabled,
                AdminState::Enabled if spec.works => BackendState::Up,
                AdminState::Enabled => BackendState::Down,
            };
            let address = server(*number);
            let health = BackendHealth { address, state, ever_known: true, in_doubt: false, history: Arc::default() };
            (backend_name(*number), health)
        };
        HealthSnapshot { backends: self.backends.iter().map(health).collect(), ..HealthSnapshot::default() }
    }
}
