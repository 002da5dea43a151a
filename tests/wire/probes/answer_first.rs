//! Servers that send their response on accept and never read the request, as xinetd and socat do.

use std::{
    net::{Shutdown, SocketAddr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use maglev_health::NetworkProber;
use maglev_model::{config::HealthCheck, health::ProbeCode::*};

use super::{
    checks::{self, http},
    probe,
};

const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok";

/// The end of a connection by the server.
#[derive(Clone, Copy)]
enum End {
    /// At once, which resets the connection if the request arrives.
    Close,
    /// At once, by a reset.
    Reset,
    /// After the client.
    Hold,
}

/// Blocks the thread of the runtime, as a busy machine does.
#[allow(clippy::disallowed_methods, reason = "the block is what is tested")]
fn block_thread(duration: Duration) {
    thread::sleep(duration);
}

/// Starts a server on a thread of its own.
fn serve(end: End) -> SocketAddr {
    use std::io::Write as _;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let mut held = Vec::new();
        while let Ok((mut stream, _)) = listener.accept() {
            let _ = stream.write_all(RESPONSE);
            match end {
                End::Close => {}
                End::Reset => {
                    let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
                }
                End::Hold => {
                    let _ = stream.shutdown(Shutdown::Write);
                    held.push(stream);
                }
            }
        }
    });
    address
}

fn expecting_ok(port: u16) -> HealthCheck {
    checks::with_body(http(port), "^ok$")
}

#[tokio::test]
async fn response_before_the_request_is_read() {
    let network = NetworkProber::new("1.2.3");
    for end in [End::Close, End::Reset, End::Hold] {
        let address = serve(end);
        for _ in 0..50 {
            let (code, detail) = probe(&network, address, expecting_ok(address.port())).await;
            assert_eq!(code, L7Ok, "{detail}");
        }
    }
}

/// The response lies in the socket, and the server is gone, before the request is written.
#[test]
fn response_that_lies_in_the_socket_is_read() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for end in [End::Close, End::Reset, End::Hold] {
        let address = serve(end);
        runtime.block_on(async {
            let network = NetworkProber::new("1.2.3");
            // Connections that become ready while this thread sleeps have their response before their first write.
            let probes = async {
                futures::future::join_all((0..20).map(|_| probe(&network, address, expecting_ok(address.port())))).await
            };
            let block = async {
                for _ in 0..20 {
                    tokio::task::yield_now().await;
                    block_thread(Duration::from_millis(20));
                }
            };
            let (outcomes, ()) = futures::future::join(probes, block).await;
            for (code, detail) in outcomes {
                assert_eq!(code, L7Ok, "{detail}");
            }
        });
    }
}

#[test]
#[ignore = "it loads all cores: make soak"]
fn soak_answer_first_server_is_up_on_a_busy_machine() {
    let is_done = Arc::new(AtomicBool::new(false));
    let busy: Vec<_> = (0..2)
        .map(|_| {
            let is_done = Arc::clone(&is_done);
            thread::spawn(move || {
                while !is_done.load(Relaxed) {
                    std::hint::spin_loop();
                }
            })
        })
        .collect();
    let address = serve(End::Close);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let network = NetworkProber::new("1.2.3");
        for number in 1..=200 {
            let (code, detail) = probe(&network, address, expecting_ok(address.port())).await;
            assert_eq!(code, L7Ok, "probe {number}: {detail}");
        }
    });
    is_done.store(true, Relaxed);
    busy.into_iter().for_each(|thread| thread.join().unwrap());
}
