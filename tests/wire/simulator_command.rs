//! The command `maglev-sandbox vpp`.

use std::{path::Path, process::Stdio};

use maglev_vpp::messages::{
    lb::{LbConf, LbConfGet},
    memclnt::ControlPing,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::timeout,
};

use crate::raw_client::{PATIENCE, RawClient};

type Output = Lines<BufReader<ChildStdout>>;

fn start(socket: &Path) -> (Child, Output) {
    let mut command = Command::new(maglev_testkit::binary("maglev-sandbox"));
    command.args(["vpp", "--api-socket"]).arg(socket).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    (child, lines)
}

async fn line(output: &mut Output) -> String {
    timeout(PATIENCE, output.next_line()).await.expect("no timeout").unwrap().expect("the process is running")
}

fn send(child: &Child, signal: Signal) {
    let pid = child.id().expect("the process is running");
    kill(Pid::from_raw(i32::try_from(pid).unwrap()), signal).unwrap();
}

#[tokio::test]
async fn signals_restart_without_state_count_writes_and_remove_the_socket() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("not/there/yet/api.sock");
    let (mut child, mut output) = start(&socket);
    let listening = line(&mut output).await;
    assert!(listening.contains("listening on") && listening.contains(socket.to_str().unwrap()), "{listening}");
    let mut client = RawClient::connect(&socket).await;
    let conf = LbConf {
        ip4_src_address: [192, 0, 2, 1].into(),
        ip6_src_address: 1u128.into(),
        sticky_buckets_per_core: 2048,
        flow_timeout: 7,
    };
    assert_eq!(client.call(conf).await.retval, 0);
    let pid = client.call(ControlPing {}).await.vpe_pid;
    send(&child, Signal::SIGUSR1);
    assert_eq!(line(&mut output).await, "1 writes");

    send(&child, Signal::SIGHUP);
    assert!(line(&mut output).await.contains("restarted"));
    assert_eq!(client.body().await, None, "connections are closed");
    let mut client = RawClient::connect(&socket).await;
    assert_eq!(client.call(LbConfGet {}).await.flow_timeout, 40);
    assert_ne!(client.call(ControlPing {}).await.vpe_pid, pid);

    send(&child, Signal::SIGTERM);
    let status = timeout(PATIENCE, child.wait()).await.expect("no timeout").unwrap();
    assert!(status.success(), "{status}");
    assert!(!socket.exists());
}

#[tokio::test]
async fn sigint_ends_the_simulator_and_a_stale_socket_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("api.sock");
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    assert!(socket.exists());
    let (mut child, mut output) = start(&socket);
    line(&mut output).await;
    RawClient::connect(&socket).await;
    send(&child, Signal::SIGINT);
    assert!(timeout(PATIENCE, child.wait()).await.expect("no timeout").unwrap().success());
    assert!(!socket.exists());
}
