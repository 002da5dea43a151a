//! The metric `maglev_backend_health`.

use std::collections::BTreeMap;

use prometheus::Registry;
use tokio::{task::LocalSet, time::sleep};

use super::fixture::*;
use maglev_model::{
    config::{AdminState, Check},
    health::BackendState::{Disabled, Down, Up},
};

/// The values of `maglev_backend_health`, by Backend.
fn health(registry: &Registry) -> BTreeMap<String, f64> {
    let families = registry.gather();
    let series = families.iter().filter(|family| family.name() == "maglev_backend_health");
    let value =
        |metric: &prometheus::proto::Metric| (metric.get_label()[0].value().to_owned(), metric.get_gauge().get_value());
    series.flat_map(prometheus::proto::MetricFamily::get_metric).map(value).collect()
}

fn registry(fixture: &CheckerFixture) -> Registry {
    let registry = Registry::new();
    fixture.options.last_probes.register(&registry).unwrap();
    registry
}

#[tokio::test(start_paused = true)]
async fn the_metric_follows_the_counter_down_and_up() {
    LocalSet::new()
        .run_until(async {
            let mut fixture = CheckerFixture::start([backend(1, &check())]);
            let registry = registry(&fixture);
            let mut values = Vec::new();
            fixture.until_state(1, Up).await;
            for answer in [succeeds(), refuses(), succeeds()] {
                fixture.answer(1, answer);
                for _ in 0..200 {
                    let now = health(&registry).get("shop/web-001").copied();
                    if values.last() != Some(&now) {
                        values.push(now);
                    }
                    sleep(100 * MS).await;
                }
            }
            assert_eq!(values, [4.0, 3.0, 2.0, 0.0, 1.0, 4.0].map(Some));
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_is_not_probed_has_no_series() {
    LocalSet::new()
        .run_until(async {
            let mut always = backend(3, &check());
            always.check = Check::None;
            let mut fixture = CheckerFixture::start([backend(1, &check()), backend(2, &check()), always]);
            let registry = registry(&fixture);
            fixture.answer(2, refuses());
            fixture.until(|snapshot| state_in(snapshot, 1) == Some(Up) && state_in(snapshot, 2) == Some(Down)).await;
            let both = [("shop/web-001".to_owned(), 4.0), ("shop/web-002".to_owned(), 0.0)];
            assert_eq!(health(&registry), both.into());
            fixture.edit_backend(1, |backend| backend.admin_state = AdminState::Disabled);
            fixture.until_state(1, Disabled).await;
            fixture.edit(|config| {
                config.backends.remove(&name(2));
            });
            fixture.until(|snapshot| state_in(snapshot, 2).is_none()).await;
            assert_eq!(health(&registry), BTreeMap::new());
        })
        .await;
}
