//! `maglevc` as people use it, against one sandbox: every command's output, the shell on a terminal, completion.

mod golden;
mod shell;
mod terminal;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Output;

use tokio::process::Command;

use super::harness::{eventually, root, run};
use super::up::Sandbox;

/// Runs the program with the sandbox's kubeconfig and nothing of the user's own.
async fn maglevc(sandbox: &Sandbox, program: &Path, args: &[&str], stdin: &str) -> Output {
    let mut command = Command::new(program);
    command.args(args).env_clear().env("KUBECONFIG", sandbox.dir.join("kubeconfig")).env("HOME", &sandbox.dir);
    run(command.current_dir(root()).kill_on_drop(true), stdin).await
}

/// What it printed; it must succeed.
async fn printed(sandbox: &Sandbox, args: &[&str]) -> String {
    let output = maglevc(sandbox, &maglev_testkit::binary("maglevc"), args, "").await;
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Until all that the demo has is in VPP, on both nodes, and counted.
async fn settled(sandbox: &Sandbox) {
    for (words, wanted) in [
        (&["show", "frontends"][..], "2/2 2/2 6/6 primary"),
        (&["show", "vpp", "lb", "counters"], "203.0.113.10/32 tcp 80 2/2"),
        (&["status"], "Everything is up"),
    ] {
        eventually(&format!("{words:?} says {wanted}"), async || {
            let output = maglevc(sandbox, &maglev_testkit::binary("maglevc"), words, "").await;
            let text = String::from_utf8_lossy(&output.stdout).split_whitespace().collect::<Vec<_>>().join(" ");
            text.contains(wanted).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn every_command_answers_as_its_golden_page_says_and_the_shell_helps_and_completes() {
    let sandbox = Sandbox::up("maglevc", &[]).await;
    settled(&sandbox).await;
    golden::every_command(&sandbox).await;
    as_kubectls_plugin(&sandbox).await;
    lines_of_standard_input(&sandbox).await;
    names_for_the_users_own_shell(&sandbox).await;
    shell::helps_completes_and_survives(&sandbox).await;
    shell::colours_are_for_eyes(&sandbox).await;
}

async fn as_kubectls_plugin(sandbox: &Sandbox) {
    let link = sandbox.dir.join("bin/kubectl-maglev");
    assert!(link.exists(), "the sandbox has it beside kubectl");
    let output = maglevc(sandbox, &link, &["show", "nodes", "--help"], "").await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("Usage: kubectl maglev show nodes\n") && text.contains("  kubectl maglev show nodes -o wide"),
        "{text}"
    );
    let path = format!("{}:/usr/bin:/bin", sandbox.dir.join("bin").display());
    let mut kubectl = Command::new(sandbox.dir.join("bin/kubectl"));
    kubectl.args(["maglev", "status"]).env("PATH", path).env("KUBECONFIG", sandbox.dir.join("kubeconfig"));
    let output = run(kubectl.env("HOME", &sandbox.dir), "").await;
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.starts_with("Everything is up"), "{text}{}", String::from_utf8_lossy(&output.stderr));

    let completing = sandbox.dir.join("bin/kubectl_complete-maglev");
    symlink(maglev_testkit::binary("maglevc"), &completing).unwrap();
    let output = maglevc(sandbox, &completing, &["show", "vpp", ""], "").await;
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "info\tversion and process of VPP on each node\nlb\tstate of the load balancer\n:4\n");
    fs::remove_file(completing).unwrap();
}

/// The first line that fails ends it, and is named.
async fn lines_of_standard_input(sandbox: &Sandbox) {
    let program = &maglev_testkit::binary("maglevc");
    let lines = "# a comment\nshow healthchecks --output json\n\nshow nonsense\nstatus\n";
    let output = maglevc(sandbox, program, &[], lines).await;
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(stdout.contains("\"healthChecks\"") && !stdout.contains("Everything"), "{stdout}");
    assert!(stderr.contains("line 4: show nonsense: unknown word `nonsense` after `show`"), "{stderr}");
    assert_eq!(output.status.code(), Some(64));
}

async fn names_for_the_users_own_shell(sandbox: &Sandbox) {
    let found = printed(sandbox, &["complete", "--", "set", "backend", "web-"]).await;
    assert_eq!(found, "web-1\nweb-2\nweb-3\nweb-4\n");
    let found = printed(sandbox, &["complete", "--", "-n", "other", "show", "frontend", ""]).await;
    assert_eq!(found, "default/web\n");
    let found = printed(sandbox, &["complete", "--", "set", "frontend", "web", "pool", "standby", "backend", ""]).await;
    assert_eq!(found, "spare-1\nspare-2\n");
    let found = printed(sandbox, &["complete", "--", "show", "nodes", "--node", ""]).await;
    assert_eq!(found, "node-a\nnode-b\n");
    // As bash does it.
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
