//! Whatever happens in whatever order, the status comes to rest, and to the one that a new leader would write.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::scene::{Scene, frontend_spec};
use crate::links::LinkNews;
use maglev_model::event::{FrontendState, ProgramResult};

const NODES: [&str; 3] = ["a", "b", "c"];

#[derive(Clone, Debug)]
enum Step {
    Edit(usize),
    Backend(usize),
    DeleteBackend(usize),
    DeleteFrontend(usize),
    Report(usize, usize, ProgramResult),
    State(usize, usize, FrontendState),
    Health(usize, usize, bool),
    Link(usize, bool),
    Settle,
}

fn step() -> impl Strategy<Value = Step> {
    let result = prop_oneof![
        Just(ProgramResult::Pending),
        Just(ProgramResult::Programmed),
        Just(ProgramResult::Held),
        Just(ProgramResult::Failed)
    ];
    let state = prop_oneof![Just(FrontendState::Up), Just(FrontendState::Down)];
    prop_oneof![
        (0..2_usize).prop_map(Step::Edit),
        (0..2_usize).prop_map(Step::Backend),
        (0..2_usize).prop_map(Step::DeleteBackend),
        (0..2_usize).prop_map(Step::DeleteFrontend),
        (0..3_usize, 0..2_usize, result).prop_map(|(node, of, result)| Step::Report(node, of, result)),
        (0..3_usize, 0..2_usize, state).prop_map(|(node, of, state)| Step::State(node, of, state)),
        (0..3_usize, 0..2_usize, any::<bool>()).prop_map(|(node, of, up)| Step::Health(node, of, up)),
        (0..3_usize, any::<bool>()).prop_map(|(node, up)| Step::Link(node, up)),
        Just(Step::Settle),
    ]
}

fn frontend(of: usize) -> String {
    format!("shop/f{of}")
}

fn backend(of: usize) -> (String, String) {
    (format!("shop/b{of}"), format!("10.0.0.{}", of + 1))
}

fn play(scene: &mut Scene, steps: &[Step]) {
    scene.check("shop/tcp");
    for step in steps {
        match *step {
            Step::Edit(of) => {
                let mut spec = frontend_spec(&["b0", "b1"]);
                spec["port"] = json!(80 + of);
                scene.frontend(&frontend(of), &spec);
            }
            Step::Backend(of) => scene.probed(&backend(of).0, &backend(of).1, "tcp"),
            Step::DeleteBackend(of) => scene.delete("Backend", &backend(of).0),
            Step::DeleteFrontend(of) => scene.delete("Frontend", &frontend(of)),
            Step::Report(node, of, result) => {
                if scene.is_stored("Frontend", &frontend(of)) {
                    scene.reports(NODES[node], &frontend(of), result, "Because");
                }
            }
            Step::State(node, of, state) => scene.state(NODES[node], &frontend(of), state),
            Step::Health(node, of, up) => {
                scene.health(NODES[node], &backend(of).0, &backend(of).1, if up { "up" } else { "down" });
            }
            Step::Link(node, up) => {
                let up = if up { Ok(()) } else { Err("away".into()) };
                scene.world.take_link(LinkNews::Link(NODES[node].into(), up));
            }
            Step::Settle => drop(scene.settle()),
        }
    }
}

/// What a status says, without when it began to and in which words.
fn bare(mut status: Value) -> Value {
    if let Some(object) = status.as_object_mut() {
        object.remove("since");
    }
    for condition in status["conditions"].as_array_mut().into_iter().flatten() {
        let of = condition.as_object_mut().unwrap();
        of.remove("lastTransitionTime");
        // Whether something is pending for the first time is history, and says so.
        if of["reason"] == "NodesPending" {
            of["reason"] = json!("Pending");
        }
    }
    status
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn missing_ten_updates_and_seeing_the_eleventh_gives_the_same(steps in prop::collection::vec(step(), 0..40)) {
        let [mut often, mut once] = [Scene::with_nodes(&NODES), Scene::with_nodes(&NODES)];
        let all_at_once: Vec<Step> = steps.iter().filter(|step| !matches!(step, Step::Settle)).cloned().collect();
        play(&mut often, &steps);
        play(&mut once, &all_at_once);
        // How many Frontends a node has is looked at now and then.
        often.world.touch_nodes();
        once.world.touch_nodes();
        often.settle();
        once.settle();
        let said = |scene: &Scene| -> Vec<(String, Value)> {
            scene.statuses().into_iter().map(|(name, status)| (name, bare(status))).collect()
        };
        prop_assert_eq!(said(&often), said(&once));

        // All is as it should be: looking again writes nothing, and so does a new leader that hears nobody yet.
        often.world.touch_all();
        prop_assert_eq!(often.settle(), Vec::<String>::new());
        let before = often.statuses();
        often.next_leader();
        often.world.touch_all();
        let written = often.settle();
        prop_assert!(written.iter().all(|what| what.contains("MaglevNode")), "{written:?}");
        for (name, status) in often.statuses().into_iter().filter(|(name, _)| !name.starts_with("MaglevNode")) {
            prop_assert_eq!(Some(&status), before.get(&name), "{}", name);
        }
    }
}
