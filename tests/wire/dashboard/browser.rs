//! A minimal HTTP client that sends and reads raw HTTP/1.1, and reads event streams line by line.

use std::{collections::BTreeMap, net::SocketAddr};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
};

use maglev_testkit::within;

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// Values by header name in lower case.
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&self.body)))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

pub async fn get(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Answer {
    answer(Connection::open(address, path, headers).await).await
}

pub async fn send(address: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    answer(Connection::send(address, method, path, headers, body).await).await
}

async fn answer(mut connection: Connection) -> Answer {
    let (status, headers) = connection.head().await;
    let mut body = Vec::new();
    if headers.get("transfer-encoding").map(String::as_str) == Some("chunked") {
        while let Some(chunk) = connection.chunk().await {
            body.extend(chunk);
        }
    } else {
        within(connection.0.read_to_end(&mut body)).await.expect("the server answers");
    }
    Answer { status, headers, body }
}

struct Connection(BufReader<TcpStream>);

impl Connection {
    async fn open(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Self {
        Self::send(address, "GET", path, &[&[("Host", "dashboard")], headers].concat(), "").await
    }

    async fn send(address: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Self {
        let mut stream = within(TcpStream::connect(address)).await.expect("the server listens");
        let more: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        let request = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n{length}{more}\r\n{body}");
        stream.write_all(request.as_bytes()).await.expect("the server reads");
        Self(BufReader::new(stream))
    }

    async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = within(self.0.read_line(&mut line)).await.unwrap_or(0);
        (read > 0).then(|| line.trim_end_matches(['\r', '\n']).to_owned())
    }

    async fn head(&mut self) -> (u16, BTreeMap<String, String>) {
        let status = self.line().await.expect("the server answers");
        let status = status.split(' ').nth(1).expect("a status").parse().expect("a number");
        let mut headers = BTreeMap::new();
        while let Some(line) = self.line().await.filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(": ").expect("a header");
            headers.insert(name.to_lowercase(), value.to_owned());
        }
        (status, headers)
    }

    /// The next chunk; `None` at the end.
    async fn chunk(&mut self) -> Option<Vec<u8>> {
        let length = usize::from_str_radix(&self.line().await?, 16).expect("a length");
        let mut chunk = vec![0; length];
        within(self.0.read_exact(&mut chunk)).await.expect("a whole chunk");
        self.line().await?;
        (length > 0).then_some(chunk)
    }
}

/// A message of an event stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    pub event: String,
    pub id: Option<String>,
    pub data: Value,
}

/// An open stream.
pub struct Stream {
    connection: Connection,
    pub headers: BTreeMap<String, String>,
    /// All received text.
    pub received: String,
    /// Received text after the last block.
    rest: String,
}

impl Stream {
    pub async fn open(address: SocketAddr, query: &str, headers: &[(&str, &str)]) -> Self {
        let mut connection = Connection::open(address, &format!("/view/api/events{query}"), headers).await;
        let (status, headers) = connection.head().await;
        assert_eq!((status, headers.get("transfer-encoding").map(String::as_str)), (200, Some("chunked")));
        Self { connection, headers, received: String::new(), rest: String::new() }
    }

    /// The next block of lines; `None` at the end.
    async fn block(&mut self) -> Option<String> {
        loop {
            if let Some((block, rest)) = self.rest.split_once("\n\n") {
                let block = block.to_owned();
                self.rest = rest.to_owned();
                return Some(block);
            }
            let chunk = String::from_utf8(self.connection.chunk().await?).expect("UTF-8");
            self.received.push_str(&chunk);
            self.rest.push_str(&chunk);
        }
    }

    /// The next message; `None` at the end. Skips comments and `retry` fields.
    pub async fn next(&mut self) -> Option<Message> {
        loop {
            let block = self.block().await?;
            let field = |name: &str| {
                block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).map(str::to_owned)
            };
            if let Some(event) = field("event") {
                let data = field("data").expect("every message has data");
                let data = serde_json::from_str(&data).expect("JSON on one line");
                return Some(Message { event, id: field("id"), data });
            }
        }
    }

    /// The next message that fulfils `matches`.
    pub async fn until(&mut self, description: &str, matches: impl Fn(&Message) -> bool) -> Message {
        within(async {
            loop {
                let message = self
                    .next()
                    .await
                    .unwrap_or_else(|| panic!("the stream ended before {description}:\n{}", self.received));
                if matches(&message) {
                    return message;
                }
            }
        })
        .await
    }
}
