//! HTTPS.

use tokio::io::AsyncWriteExt as _;

use super::{PATIENT, run};
use crate::probes::servers::{Authority, sends};

#[tokio::test]
async fn certificates_are_verified_for_the_name() {
    let authority = Authority::new();
    let response = b"HTTP/1.1 200 OK\r\nX-Backend: web-1\r\nContent-Length: 3\r\n\r\nok\n";
    let server = authority.server("web.example", sends(response)).await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ca.pem");
    let mut file = tokio::fs::File::create(&path).await.unwrap();
    file.write_all(authority.pem().as_bytes()).await.unwrap();
    file.flush().await.unwrap();
    let (url, ca) = (format!("https://{}/", server.address), format!("--ca-file={}", path.display()));
    for (flags, status, error) in [
        (&[ca.as_str(), "--host=web.example"][..], 0, ""),
        (&["--insecure"], 0, ""),
        (&[&ca], 1, "TLS handshake failed: invalid peer certificate"),
        (&[&ca, "--host=other.example"], 1, "TLS handshake failed: invalid peer certificate"),
        (&["--host=web.example"], 1, "TLS handshake failed: invalid peer certificate: UnknownIssuer"),
    ] {
        let args = ["--rate=50", "--count=3", "--output=json", PATIENT];
        let finished = run(&[&args[..], flags, &[&url]].concat()).await;
        assert_eq!(finished.status, status, "{flags:?}: {}{}", finished.stdout, finished.stderr);
        let result = finished.result();
        if status == 0 {
            assert_eq!((&result["backends"][0]["name"], &result["backends"][0]["flows"]), (&"web-1".into(), &3.into()));
        } else {
            assert!(result["errors"][0]["error"].as_str().unwrap().starts_with(error), "{flags:?}: {result}");
        }
    }
    assert!(server.names().contains(&Some("web.example".to_owned())), "{:?}", server.names());
    let plain = format!("http://{}/", server.address);
    assert_eq!(run(&["--count=1", "--output=json", PATIENT, &plain]).await.status, 1);
}
