//! `maglev-sandbox load`.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use crate::lab::{GRE4, Lab, TCP, all_servers, on_each_vpp, server};

/// The columns of the row of a backend: name, flows, share, `%`, requests, errors, broken.
fn row<'a>(output: &'a str, backend: &str) -> Vec<&'a str> {
    let rows = output.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    rows.into_iter().find(|row| row.first() == Some(&backend)).unwrap_or_default()
}

async fn load_reports_shares_and_the_flows_of_a_flushed_backend_as_broken(lab: Lab) {
    let vip = "203.0.113.10:80".parse().unwrap();
    lab.add_vip(vip, TCP, GRE4, &all_servers()).await;
    let dir = lab.dir().to_str().unwrap();
    let mut command = Command::new(maglev_testkit::binary("maglev-sandbox"));
    command.args(["load", "--dir", dir, "--vip", "203.0.113.10:80", "--rate", "200", "--flows", "80", "--for", "6s"]);
    let mut load = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let mut lines = BufReader::new(load.stdout.take().unwrap()).lines();
    let first = lines.next_line().await.unwrap().unwrap();
    assert!(first.contains("1s  requests") && first.contains("broken flows 0"), "{first}");

    lab.set_weight(vip, TCP, server(1), 0, true).await;
    let mut output = String::new();
    while let Some(line) = lines.next_line().await.unwrap() {
        output += &format!("{line}\n");
    }
    assert!(load.wait().await.unwrap().success());
    let broken = |backend| row(&output, backend).last().unwrap().parse::<u32>().unwrap();
    assert!(broken("web-1") > 5, "{output}");
    assert_eq!([broken("web-2"), broken("web-3"), broken("web-4")], [0; 3], "{output}");
    assert_eq!(row(&output, "web-1")[1], row(&output, "web-1")[6], "each flow of web-1 is broken: {output}");
    assert!(output.contains("errors 0") && output.contains("failed opens 0"), "{output}");
}

#[tokio::test]
async fn load_without_a_sandbox_is_refused_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new(maglev_testkit::binary("maglev-sandbox"));
    command.args(["load", "--vip", "203.0.113.10:80", "--dir"]).arg(dir.path());
    let output = command.output().await.unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        !output.status.success() && stderr.starts_with("Error: no packets are forwarded by a sandbox in"),
        "{stderr}"
    );
}

on_each_vpp! {
    2 => load_reports_shares_and_the_flows_of_a_flushed_backend_as_broken,
}
