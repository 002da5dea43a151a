//! `maglevc` against one sandbox: the output of every command, the interactive shell, completion.

mod accept;
mod drain;
mod golden;
mod policies;
mod preview;
mod shell;
mod terminal;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Output;

use tokio::process::Command;

use super::harness::{eventually, root, run};
use super::sandbox::Sandbox;

/// Runs the program with the sandbox's kubeconfig and without the user's own configuration.
async fn maglevc(sandbox: &Sandbox, program: &Path, args: &[&str], stdin: &str) -> Output {
    let mut command = Command::new(program);
    command.args(args).env_clear().env("KUBECONFIG", sandbox.dir.join("kubeconfig")).env("HOME", &sandbox.dir);
    run(command.current_dir(root()).kill_on_drop(true), stdin).await
}

/// Standard output of `maglevc`. Panics if the command fails.
pub async fn maglevc_output(sandbox: &Sandbox, args: &[&str]) -> String {
    let output = maglevc(sandbox, &maglev_testkit::binary("maglevc"), args, "").await;
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Waits until both nodes have programmed and counted everything that the demo has.
async fn until_programmed(sandbox: &Sandbox) {
    for (args, expected) in [
        (&["show", "frontends"][..], "2/2 2/2 6/6 primary"),
        (&["show", "vpp", "lb", "counters"], "203.0.113.10/32 tcp 80 2/2"),
        (&["status"], "Everything is up"),
    ] {
        eventually(&format!("{args:?} prints {expected}"), async || {
            let output = maglevc(sandbox, &maglev_testkit::binary("maglevc"), args, "").await;
            let text = String::from_utf8_lossy(&output.stdout).split_whitespace().collect::<Vec<_>>().join(" ");
            text.contains(expected).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn commands_match_the_golden_page_and_the_shell_completes() {
    let sandbox = Sandbox::up("maglevc", &[]).await;
    until_programmed(&sandbox).await;
    golden::commands_match(&sandbox).await;
    works_as_kubectl_plugin(&sandbox).await;
    script_stops_at_the_first_failed_line(&sandbox).await;
    preview::effects_are_shown_and_nothing_is_written(&sandbox).await;
    drain::backends_with_an_address_of_the_node_are_drained(&sandbox).await;
    drain::node_in_pools_of_services_is_drained(&sandbox).await;
    bash_completion_offers_names(&sandbox).await;
    shell::helps_completes_and_survives_an_agent_restart(&sandbox).await;
    shell::colours_are_for_terminals_only(&sandbox).await;
    accept::releases_real_holds(&sandbox).await;
    accept::releases_a_held_change_on_all_nodes(&sandbox).await;
    policies::are_shown_as_applied(&sandbox).await;
}

/// maglevc as a plugin of kubectl, which is found by the PATH.
fn kubectl_maglev(sandbox: &Sandbox, args: &[&str]) -> Command {
    let mut command = sandbox.command("kubectl", &[&["maglev"], args].concat());
    command.env("PATH", format!("{}:/usr/bin:/bin", sandbox.dir.join("bin").display()));
    command
}

async fn works_as_kubectl_plugin(sandbox: &Sandbox) {
    let link = sandbox.dir.join("bin/kubectl-maglev");
    assert!(link.exists(), "the sandbox has kubectl-maglev beside kubectl");
    let output = maglevc(sandbox, &link, &["show", "nodes", "--help"], "").await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("Usage: kubectl maglev show nodes\n") && text.contains("  kubectl maglev show nodes -o wide"),
        "{text}"
    );
    let output = run(&mut kubectl_maglev(sandbox, &["status"]), "").await;
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.starts_with("Everything is up"), "{text}{}", String::from_utf8_lossy(&output.stderr));

    let completion = sandbox.dir.join("bin/kubectl_complete-maglev");
    symlink(maglev_testkit::binary("maglevc"), &completion).unwrap();
    let output = maglevc(sandbox, &completion, &["show", "vpp", ""], "").await;
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "info\tversion and process of VPP on each node\nlb\tstate of the load balancer\n:4\n"
    );
    fs::remove_file(completion).unwrap();
}

/// Checks that `maglevc` runs the lines of its standard input up to the first error, which names the line.
async fn script_stops_at_the_first_failed_line(sandbox: &Sandbox) {
    let program = &maglev_testkit::binary("maglevc");
    let lines = "# a comment\nshow healthchecks --output json\n\nshow nonsense\nstatus\n";
    let output = maglevc(sandbox, program, &[], lines).await;
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(stdout.contains("\"healthChecks\"") && !stdout.contains("Everything"), "{stdout}");
    assert!(stderr.contains("line 4: show nonsense: unknown word `nonsense` after `show`"), "{stderr}");
    assert_eq!(output.status.code(), Some(64));
}

async fn bash_completion_offers_names(sandbox: &Sandbox) {
    let completions = maglevc_output(sandbox, &["complete", "--", "set", "backend", "web-"]).await;
    assert_eq!(completions, "web-1\nweb-2\nweb-3\nweb-4\n");
    let completions = maglevc_output(sandbox, &["complete", "--", "-n", "other", "show", "frontend", ""]).await;
    assert_eq!(completions, "default/web\n");
    let completions =
        maglevc_output(sandbox, &["complete", "--", "set", "frontend", "web", "pool", "standby", "backend", ""]).await;
    assert_eq!(completions, "spare-1\nspare-2\n");
    let completions = maglevc_output(sandbox, &["complete", "--", "show", "nodes", "--node", ""]).await;
    assert_eq!(completions, "node-a\nnode-b\n");
    // Completion by bash with the generated script.
    let program = maglev_testkit::binary("maglevc");
    let program = program.display();
    let script = format!(
        "source <({program} completion bash); COMP_WORDS=({program} show backend spare-); COMP_CWORD=3; _maglevc; echo \"${{COMPREPLY[*]}}\""
    );
    let mut bash = Command::new("bash");
    bash.args(["--norc", "-c", &script]).env("KUBECONFIG", sandbox.dir.join("kubeconfig"));
    let output = run(bash.env("HOME", &sandbox.dir), "").await;
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "spare-1 spare-2\n",
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
