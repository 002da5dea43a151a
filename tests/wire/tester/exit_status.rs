//! Exit statuses, and the lines of JSON.

use std::collections::BTreeSet;

use maglev_testkit::within;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};

use super::{
    PATIENT, command, run,
    servers::{VipServer, respond, response},
};

#[tokio::test]
async fn status_is_0_only_if_every_vip_passed() {
    let good = VipServer::http(|_| response("web-1\n")).await;
    let shaky = VipServer::http(|flow| if flow == 3 { respond("500 Oops", "") } else { response("web-1\n") }).await;
    let refused = {
        let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        format!("http://{}/", closed.local_addr().unwrap())
    };
    let args = ["--rate=100", "--count=10", "--output=json", PATIENT];
    for (more, status) in [
        (vec![good.url("http")], 0),
        (vec![good.url("http"), good.url("tcp")], 0),
        (vec![good.url("http"), shaky.url("http")], 1),
        (vec![good.url("http"), refused.clone()], 1),
        (vec!["--min-success=50%".to_owned(), refused.clone()], 1),
        // With --min-success 0%, a VIP that has failed does not pass either.
        (vec!["--min-success=0%".to_owned(), refused], 1),
    ] {
        let more: Vec<&str> = more.iter().map(String::as_str).collect();
        let finished = run(&[&args[..], &more].concat()).await;
        assert_eq!(finished.status, status, "{more:?}: {}{}", finished.stdout, finished.stderr);
        assert_eq!(finished.of_type("summary")[0]["passed"], status == 0);
    }
    let again = VipServer::http(|flow| if flow == 3 { respond("500 Oops", "") } else { response("web-1\n") }).await;
    let finished = run(&[&args[..], &["--min-success=90%", &again.url("http")]].concat()).await;
    assert_eq!(finished.status, 0, "{}", finished.stdout);
}

#[tokio::test]
async fn status_is_2_if_nothing_was_tested() {
    for (args, message) in [
        (&["203.0.113.10"][..], "expected a URL"),
        (&["tcp://203.0.113.10"], "the port is missing"),
        (&["--rate=0", "http://127.0.0.1/"], "0.001"),
        (&["--for=soon", "http://127.0.0.1/"], "expected a duration"),
        (
            &["--rate=600", "http://127.0.0.1/", "http://127.0.0.2/"],
            "1200 flows per second, and --max-rate allows 1000",
        ),
        (&["--backend-pattern=web-.*", "http://127.0.0.1/"], "no capture group"),
        (&["--expect=web-1", "http://127.0.0.1/"], "expected a backend and its weight"),
        (&["--expect=web-1=0", "http://127.0.0.1/"], "no weight above 0"),
        (&["--ca-file=/does/not/exist", "https://127.0.0.1/"], "/does/not/exist"),
        (&["--from=/does/not/exist"], "cannot read /does/not/exist"),
        (&["http://a..b/"], "cannot resolve the name of http://a..b/"),
        (&[], "Usage"),
    ] {
        let finished = run(args).await;
        assert_eq!(finished.status, 2, "{args:?}: {}", finished.stderr);
        assert!(finished.stderr.contains(message) && finished.stdout.is_empty(), "{args:?}: {}", finished.stderr);
    }
}

/// The names of an object's fields.
fn fields(object: &Value) -> BTreeSet<&str> {
    object.as_object().unwrap().keys().map(String::as_str).collect()
}

#[tokio::test]
async fn lines_of_json_have_the_documented_fields() {
    let vip = VipServer::http(|flow| if flow == 2 { respond("500 Oops", "web-1") } else { response("web-1\n") }).await;
    let mut child = command(&["--rate=50", "--report-every=50ms", PATIENT, &vip.url("http")]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = loop {
        let line = within(lines.next_line()).await.unwrap().expect("the program is running");
        let line: Value = serde_json::from_str(&line).unwrap();
        if line["failed"] == 1 && line["succeeded"].as_u64() > Some(3) {
            break line;
        }
    };
    let common =
        "time vip address state flows succeeded failed not_sent success_percent p50_ms p99_ms backends unnamed errors";
    let common: BTreeSet<&str> = common.split(' ').chain(["type"]).collect();
    assert_eq!((fields(&line), &line["type"]), (common.clone(), &json!("vip")));
    assert_eq!(fields(&line["backends"][0]), BTreeSet::from(["name", "flows", "failed", "share_percent"]));
    assert_eq!(fields(&line["errors"][0]), BTreeSet::from(["time", "error", "count"]));
    for time in [&line["time"], &line["errors"][0]["time"]] {
        assert!(time.as_str().unwrap().parse::<jiff::Timestamp>().is_ok(), "{time}");
    }

    // Ctrl-C ends the run with its results.
    let pid = Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap());
    kill(pid, Signal::SIGINT).unwrap();
    let mut rest = vec![];
    while let Some(line) = within(lines.next_line()).await.unwrap() {
        rest.push(serde_json::from_str::<Value>(&line).unwrap());
    }
    let [.., result, summary] = &rest[..] else { panic!("{rest:?}") };
    assert_eq!(fields(result), common.into_iter().chain(["passed", "problems"]).collect());
    assert_eq!(result["type"], "result");
    assert_eq!(fields(summary), BTreeSet::from(["type", "time", "seconds", "vips", "passed_vips", "passed"]));
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).await.unwrap();
    assert_eq!((within(child.wait()).await.unwrap().code(), stderr.as_str()), (Some(1), ""));
}
