//! A program with the log of the daemons: `panicking-program text|json task|blocking|thread|detached`. One of its tasks or
//! threads panics, and the rest would wait for ever.

#![allow(clippy::panic, reason = "the purpose of this program")]

use maglev_model::event::Level;
use maglev_telemetry::{LogOptions, TaskGroup, log};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let format = arguments.next().expect("the format is given").parse().expect("the format is text or json");
    let place = arguments.next().expect("the place of the panic is given");
    let _log = log::init(LogOptions { format, level: Level::Info }).expect("the log starts");
    let runtime = tokio::runtime::Runtime::new().expect("the runtime starts");
    runtime.block_on(async {
        let mut tasks = TaskGroup::new().expect("signal handlers can be installed");
        let shutdown = tasks.shutdown();
        tasks.spawn(async move { shutdown.cancelled().await });
        match place.as_str() {
            "task" => tasks.spawn(async { fail() }),
            "blocking" => drop(tokio::task::spawn_blocking(fail)),
            "thread" => drop(std::thread::spawn(fail)),
            // Two at once, which nobody waits for.
            "detached" => (0..2).for_each(|_| drop(tokio::spawn(async { fail() }))),
            other => panic!("unknown place {other}"),
        }
        // Never ends by itself, except by the panic of a task of the group.
        tasks.run("panicking-program").await.expect("no task fails");
    });
}

fn fail() {
    panic!("the \"index\" is\n{} too far", 3);
}
