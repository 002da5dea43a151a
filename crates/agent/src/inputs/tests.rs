//! After any sequence of changes, the index equals one that is computed from scratch.

use std::sync::Arc;

use fastrand::Rng;
use jiff::Timestamp;

use super::*;
use maglev_model::{
    config::{AdminState, Check, Member, MemberTarget, Pool},
    health::{BackendHealth, BackendState},
    path::{PathHealth, PathKey, PathMode, PathProbe, PathState},
    vip::{Protocol, Service, Weight},
    weights::effective_weights,
};
use maglev_testkit::objects;

const BACKENDS: u8 = 5;
const FRONTENDS: u8 = 6;

fn backend_name(n: u8) -> Name {
    Name::namespaced("shop", &format!("b{n}"))
}

fn server(n: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, n])
}

/// Two Frontends on each address.
fn vip(n: u8) -> VipKey {
    let port = u16::from(80 + n % 2).try_into().unwrap();
    VipKey { address: IpAddr::from([203, 0, 113, n / 2]), service: Service::Port { protocol: Protocol::Tcp, port } }
}

fn any_member(random: &mut Rng) -> Member {
    let n = random.u8(0..BACKENDS);
    let target = match random.u8(0..8) {
        0 => MemberTarget::Unreadable { address: Some(server(n)) },
        kind => {
            let mut backend = objects::backend(backend_name(n).as_str(), &server(n).to_string());
            match kind {
                1 => backend.admin_state = AdminState::Paused,
                2 => backend.check = Check::None,
                _ => {}
            }
            MemberTarget::Backend(Arc::new(backend))
        }
    };
    Member { backend: backend_name(n), weight: Weight::clamped(random.u8(0..3) * 10), target }
}

fn any_frontend(random: &mut Rng, n: u8) -> Frontend {
    let mut pool = |name: &str| {
        let members = (0..random.u8(0..4)).map(|_| any_member(random)).collect();
        Pool { name: name.into(), members }
    };
    let pools = vec![pool("primary"), pool("standby")];
    let mode = random.choice([PathMode::Report, PathMode::Require]).unwrap();
    let path_probe = random.bool().then(|| PathProbe { mode, ..PathProbe::default() });
    // Sometimes the Frontend moves to another address.
    Frontend { path_probe, ..objects::frontend(&format!("shop/f{n}"), vip(random.u8(n..n + 2)), pools) }
}

fn any_health(random: &mut Rng, n: u8) -> BackendHealth {
    let state = random.choice([BackendState::Unknown, BackendState::Up, BackendState::Down]).unwrap();
    // Health of an address that is not the Backend's current one is ignored.
    let address = server(if random.u8(0..5) == 0 { BACKENDS } else { n });
    BackendHealth { address, state, ever_known: random.bool(), in_doubt: false, history: Arc::default() }
}

fn any_path(random: &mut Rng) -> (PathKey, PathHealth) {
    let n = random.u8(0..BACKENDS);
    let frontend = Name::namespaced("shop", &format!("f{}", random.u8(0..FRONTENDS)));
    let (address, state) = (server(n), random.choice(PathState::ALL).unwrap());
    let health =
        PathHealth { address, state, since: Timestamp::UNIX_EPOCH, in_doubt: random.bool(), detail: "".into() };
    (PathKey { frontend, backend: backend_name(n) }, health)
}

/// The views as computed from scratch.
fn views_from_scratch(config: &Config, health: &HealthSnapshot) -> BTreeMap<IpAddr, Vec<(Name, EffectiveWeights)>> {
    let mut views: BTreeMap<IpAddr, Vec<(Name, EffectiveWeights)>> = BTreeMap::new();
    for frontend in config.frontends.values() {
        let effective = effective_weights(frontend, health, |_| None);
        views.entry(frontend.vip.address).or_default().push((frontend.name.clone(), effective));
    }
    views
}

fn views(inputs: &Inputs) -> BTreeMap<IpAddr, Vec<(Name, EffectiveWeights)>> {
    let views =
        |address| inputs.views(address, None).into_iter().map(|view| (view.frontend.name.clone(), view.effective));
    inputs.addresses().map(|address| (address, views(address).collect())).collect()
}

#[test]
fn every_change_is_reflected_and_all_affected_addresses_are_returned() {
    let mut random = Rng::with_seed(20_261_124);
    let mut inputs = Inputs::default();
    let mut config = objects::config([], NodeConfig::default());
    let mut health = HealthSnapshot::default();
    inputs.set_config(config.clone());
    for step in 0..3000 {
        let before = views(&inputs);
        let n = random.u8(0..FRONTENDS);
        let affected = match random.u8(0..10) {
            0 => {
                config.frontends.remove(&Name::namespaced("shop", &format!("f{n}")));
                inputs.set_config(config.clone())
            }
            1 | 2 => {
                let frontend = any_frontend(&mut random, n);
                config.frontends.insert(frontend.name.clone(), Arc::new(frontend));
                inputs.set_config(config.clone())
            }
            3 => {
                health.backends.remove(&backend_name(random.u8(0..BACKENDS)));
                inputs.set_health(health.clone())
            }
            4 => {
                health.suspect_v4 = random.bool();
                inputs.set_health(health.clone())
            }
            5 | 6 => {
                let (key, path) = any_path(&mut random);
                match random.u8(0..4) {
                    0 => health.paths.remove(&key),
                    _ => health.paths.insert(key, path),
                };
                inputs.set_health(health.clone())
            }
            _ => {
                let n = random.u8(0..BACKENDS);
                health.backends.insert(backend_name(n), any_health(&mut random, n));
                inputs.set_health(health.clone())
            }
        };
        let after = views(&inputs);
        assert_eq!(after, views_from_scratch(&config, &health), "step {step}");
        let all = before.keys().chain(after.keys());
        let differ = all.filter(|address| before.get(address) != after.get(address)).copied();
        let missing: Vec<IpAddr> = differ.filter(|address| !affected.addresses.contains(address)).collect();
        assert!(
            missing.is_empty() || affected.everything,
            "step {step}: {missing:?} changed, but the result was {affected:?}"
        );
    }
}
