//! Statuses converge for any sequence of events, and to the statuses that a new leader would write.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::scene::{Scene, frontend_spec};
use crate::links::LinkUpdate;
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
        (0..3_usize, 0..2_usize, result).prop_map(|(node, index, result)| Step::Report(node, index, result)),
        (0..3_usize, 0..2_usize, state).prop_map(|(node, index, state)| Step::State(node, index, state)),
        (0..3_usize, 0..2_usize, any::<bool>()).prop_map(|(node, index, up)| Step::Health(node, index, up)),
        (0..3_usize, any::<bool>()).prop_map(|(node, up)| Step::Link(node, up)),
        Just(Step::Settle),
    ]
}

fn frontend(index: usize) -> String {
    format!("shop/f{index}")
}

fn backend(index: usize) -> (String, String) {
    (format!("shop/b{index}"), format!("10.0.0.{}", index + 1))
}

fn play(scene: &mut Scene, steps: &[Step]) {
    scene.check("shop/tcp");
    for step in steps {
        match *step {
            Step::Edit(index) => {
                let mut spec = frontend_spec(&["b0", "b1"]);
                spec["port"] = json!(80 + index);
                scene.frontend(&frontend(index), &spec);
            }
            Step::Backend(index) => scene.probed(&backend(index).0, &backend(index).1, "tcp"),
            Step::DeleteBackend(index) => scene.delete("Backend", &backend(index).0),
            Step::DeleteFrontend(index) => scene.delete("Frontend", &frontend(index)),
            Step::Report(node, index, result) => {
                if scene.is_stored("Frontend", &frontend(index)) {
                    scene.report_program(NODES[node], &frontend(index), result, "Because");
                }
            }
            Step::State(node, index, state) => scene.report_state(NODES[node], &frontend(index), state),
            Step::Health(node, index, up) => {
                scene.report_health(NODES[node], &backend(index).0, &backend(index).1, if up { "up" } else { "down" });
            }
            Step::Link(node, up) => {
                let up = if up { Ok(()) } else { Err("connection refused".into()) };
                scene.engine.apply_link(LinkUpdate::Link(NODES[node].into(), up));
            }
            Step::Settle => drop(scene.reconcile()),
        }
    }
}

/// A status without times, and without the difference between the reasons of a pending condition.
fn comparable(mut status: Value) -> Value {
    if let Some(object) = status.as_object_mut() {
        object.remove("since");
    }
    for condition in status["conditions"].as_array_mut().into_iter().flatten() {
        let condition = condition.as_object_mut().unwrap();
        condition.remove("lastTransitionTime");
        // NodesPending depends on earlier outcomes.
        if condition["reason"] == "NodesPending" {
            condition["reason"] = json!("Pending");
        }
    }
    status
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn statuses_do_not_depend_on_intermediate_reconciliations(steps in prop::collection::vec(step(), 0..40)) {
        let [mut often, mut once] = [Scene::with_nodes(&NODES), Scene::with_nodes(&NODES)];
        let all_at_once: Vec<Step> = steps.iter().filter(|step| !matches!(step, Step::Settle)).cloned().collect();
        play(&mut often, &steps);
        play(&mut once, &all_at_once);
        // The counts of nodes are computed periodically.
        often.engine.mark_nodes();
        once.engine.mark_nodes();
        often.reconcile();
        once.reconcile();
        let statuses = |scene: &Scene| -> Vec<(String, Value)> {
            scene.statuses().into_iter().map(|(name, status)| (name, comparable(status))).collect()
        };
        prop_assert_eq!(statuses(&often), statuses(&once));

        // All statuses are up to date, so neither this leader nor a new one without agents' states writes any.
        often.engine.mark_all();
        prop_assert_eq!(often.reconcile(), Vec::<String>::new());
        let before = often.statuses();
        often.next_leader();
        often.engine.mark_all();
        let written = often.reconcile();
        prop_assert!(written.iter().all(|write| write.contains("MaglevNode")), "{written:?}");
        for (name, status) in often.statuses().into_iter().filter(|(name, _)| !name.starts_with("MaglevNode")) {
            prop_assert_eq!(Some(&status), before.get(&name), "{}", name);
        }
    }
}
