//! The paths in the documents of Frontends.

use super::*;
use maglev_model::{
    change::{Change, ConfigDelta},
    config::Frontend,
    path::{PathHealth, PathKey, PathProbe, PathState},
};
use maglev_testkit::objects::{backend, frontend, ip, name, pool, vip};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("the time is in range")
}

/// A Frontend on the Backends shop/one and shop/two.
fn probed(text: &str, address: &str) -> Frontend {
    let backends = [backend("shop/one", "192.0.2.1"), backend("shop/two", "192.0.2.2")];
    let pools = vec![pool("primary", &[&backends[0], &backends[1]])];
    Frontend { path_probe: Some(PathProbe::default()), ..frontend(text, vip(address), pools) }
}

/// A node with `frontends`.
fn node(frontends: impl IntoIterator<Item = Frontend>) -> NodeState {
    let mut state = Node::new("node-a", 0).state;
    let added = frontends.into_iter().map(|frontend| (frontend.name.clone(), Some(Arc::new(frontend))));
    let delta = ConfigDelta { frontends: added.collect(), ..ConfigDelta::default() };
    apply(&mut state, &Change::Config(Arc::new(delta)), 0);
    state
}

/// Applies the next change of the agent.
fn apply(state: &mut NodeState, change: &Change, second: i64) {
    let seq = state.as_of.map_or(1, |as_of| as_of.seq + 1);
    (state.link, state.as_of) = (LinkState::Connected, Some(AsOf { epoch: 7, seq }));
    state.view.apply(change, at(second));
}

fn change(backend: &str, health: Option<PathHealth>) -> Change {
    Change::Path(PathKey { frontend: name("shop/web"), backend: name(backend) }, health)
}

fn timeout(address: &str) -> PathHealth {
    let (address, state) = (ip(address), PathState::Timeout);
    PathHealth { address, state, since: at(1), in_doubt: false, detail: "no answer".into() }
}

/// The path of a member of shop/web in the node's document.
fn path(state: &NodeState, backend: &str) -> Option<Value> {
    let document = patch::to_json(&detail::frontend(&Inputs::new(state.clone()), &name("shop/web")));
    document["pools"]["primary"]["members"][backend].get("path").cloned()
}

#[test]
fn document_has_the_path_to_the_present_address_of_a_probed_backend() {
    let mut state = node([probed("shop/web", "203.0.113.1")]);
    assert_eq!(path(&state, "shop/one"), None, "no probe is reported");
    apply(&mut state, &change("shop/one", Some(timeout("192.0.2.1"))), 1);
    let expected = json!({"state": "PathTimeout", "since": "1970-01-01T00:00:01.000Z", "detail": "no answer"});
    assert_eq!(path(&state, "shop/one"), Some(expected));
    assert_eq!(path(&state, "shop/two"), None);

    let well = PathHealth { state: PathState::Ok, detail: "".into(), ..timeout("192.0.2.2") };
    apply(&mut state, &change("shop/two", Some(well)), 1);
    let expected = json!({"state": "PathOK", "since": "1970-01-01T00:00:01.000Z"});
    assert_eq!(path(&state, "shop/two"), Some(expected));

    apply(&mut state, &change("shop/one", Some(timeout("192.0.2.9"))), 2);
    assert_eq!(path(&state, "shop/one"), None, "the state is that of another address");
    let mut unprobed = probed("shop/web", "203.0.113.1");
    unprobed.path_probe = None;
    let delta = ConfigDelta { frontends: vec![(name("shop/web"), Some(Arc::new(unprobed)))], ..ConfigDelta::default() };
    apply(&mut state, &Change::Config(Arc::new(delta)), 3);
    assert_eq!(path(&state, "shop/two"), None, "the paths are no longer probed");
}

#[test]
fn changed_path_is_published_without_the_other_parts() {
    let mut node = node([probed("shop/web", "203.0.113.1"), probed("shop/api", "203.0.113.2")]);
    let mut state = state();
    state.set_node(node.clone());
    state.flush(after(Instant::now(), Duration::ZERO));

    let path = |value: Value| json!({"frontends": {"shop/web": {"pools": {"primary": {"members": {"shop/one": {"path": value}}}}}}});
    let published = json!({"state": "PathTimeout", "since": "1970-01-01T00:00:01.000Z", "detail": "no answer"});
    let well = PathHealth { state: PathState::Ok, since: at(5), detail: "".into(), ..timeout("192.0.2.1") };
    let steps = [
        (Some(timeout("192.0.2.1")), published),
        (Some(well), json!({"state": "PathOK", "since": "1970-01-01T00:00:05.000Z", "detail": null})),
        (None, Value::Null),
    ];
    for (health, expected) in steps {
        let before = Inputs::new(node.clone());
        apply(&mut node, &change("shop/one", health), 5);
        let dirty = DirtyParts::between(&before, &before.next(node.clone()));
        let expected_parts = DirtyParts { frontends: [name("shop/web")].into(), ..DirtyParts::default() };
        assert_eq!(dirty, expected_parts);
        state.set_node(node.clone());
        let messages = state.flush(after(Instant::now(), Duration::ZERO));
        let sent: Vec<_> = messages.iter().map(|message| (message.event(), message.data()["patch"].clone())).collect();
        assert_eq!(sent, [("node", path(expected))]);
    }
}
