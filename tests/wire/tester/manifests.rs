//! `--from`: VIPs of manifests.

use std::collections::BTreeSet;

use super::{
    PATIENT, run,
    servers::{VipServer, response},
};

fn frontend(name: &str, spec: &str) -> String {
    format!("---\napiVersion: maglev.vpp.io/v1alpha1\nkind: Frontend\nmetadata:\n  name: {name}\nspec: {spec}\n")
}

#[tokio::test]
async fn frontends_of_a_manifest_are_tested_with_their_ports_and_protocols() {
    let http = VipServer::http(|_| response("web-1\n")).await;
    let tcp = VipServer::banner(|_| None).await;
    let udp = VipServer::udp(|_| Some(b"dns-1".to_vec()), false).await;
    let spec = |protocol: &str, port| format!("{{address: 127.0.0.1, protocol: {protocol}, port: {port}, pools: []}}");
    let manifest = [
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: other}\n".to_owned(),
        frontend("web", &spec("TCP", http.address.port())),
        frontend("mail", &spec("TCP", tcp.address.port())),
        frontend("dns", &spec("UDP", udp.address.port())),
        frontend("all", "{address: 127.0.0.9, pools: []}"),
    ];
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("vips.yaml");
    std::fs::write(&path, manifest.concat()).unwrap();
    let ports = format!("--http-ports={}", http.address.port());
    let from = format!("--from={}", path.display());
    let finished = run(&["--rate=50", "--count=3", "--output=json", PATIENT, &ports, &from, &http.url("http")]).await;
    assert_eq!(finished.status, 0, "{}{}", finished.stdout, finished.stderr);
    let vips: BTreeSet<&str> =
        finished.of_type("result").iter().map(|result| result["vip"].as_str().unwrap()).collect();
    let [http, tcp, udp] = [http.url("http") + "/", tcp.url("tcp"), udp.url("udp")];
    assert_eq!(vips, BTreeSet::from([http.as_str(), &tcp, &udp]), "the VIP that is given twice is tested once");
    assert!(finished.stderr.contains("not tested") && finished.stderr.contains("all"), "{}", finished.stderr);
}

#[tokio::test]
async fn bad_documents_name_file_document_and_field() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("vips.yaml");
    let good = frontend("good", "{address: 127.0.0.1, protocol: TCP, port: 80, pools: []}");
    for (document, message) in [
        (
            frontend("bad", "{address: 127.0.0.1, protocol: TCP, port: 65536, pools: []}"),
            "document 2 (line 8): Frontend bad: spec.port: ",
        ),
        (frontend("bad", "{address: vip.example, protocol: TCP, port: 80, pools: []}"), "Frontend bad: spec.address: "),
        (frontend("bad", "{address: 127.0.0.1, protocol: SCTP, port: 80, pools: []}"), "Frontend bad: spec.protocol: "),
        ("---\nkind: [\n".to_owned(), "document 2 (line 8): not valid YAML"),
        ("---\nmetadata: {name: x}\n".to_owned(), "document 2 (line 8): not a Kubernetes object: kind is missing"),
        (frontend("\"\\e[2J\"", "{}"), "Frontend \\u{1b}[2J: spec: "),
    ] {
        std::fs::write(&path, format!("{good}{document}")).unwrap();
        let finished = run(&["--count=1", "--from", path.to_str().unwrap()]).await;
        let expected = [path.to_str().unwrap(), message];
        assert_eq!(finished.status, 2, "{}", finished.stderr);
        assert!(expected.iter().all(|text| finished.stderr.contains(text)), "{message}: {}", finished.stderr);
        assert!(finished.stdout.is_empty(), "nothing is tested");
    }
    std::fs::write(&path, "kind: ConfigMap\napiVersion: v1\n").unwrap();
    let finished = run(&["--count=1", "--from", path.to_str().unwrap()]).await;
    assert!(finished.status == 2 && finished.stderr.contains("no VIP to test"), "{}", finished.stderr);
}
