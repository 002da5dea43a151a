//! TCP with an answer: sends the payload, if there is one, and reads until the backend's name is found.

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout_at,
};

use super::{Answer, Failure, FlowClient, Limit, SEARCHED, socket};

const READ_SIZE: usize = 4096;

/// Returns at the first of: the backend's name, the end of the stream, 64 KiB, the time limit. Without any byte, the flow has
/// failed.
pub async fn exchange(client: &FlowClient, mut stream: TcpStream, limit: Limit) -> Result<Answer, Failure> {
    if let Some(payload) = &client.payload {
        let written = limit.phase("the payload was not accepted", stream.write_all(payload)).await?;
        written.map_err(|error| socket::failure("cannot send", &error))?;
    }
    let mut received = Vec::with_capacity(READ_SIZE);
    loop {
        match timeout_at(limit.end, stream.read_buf(&mut received)).await {
            Err(_) if received.is_empty() => return Err(limit.expired("no answer")),
            Ok(Ok(0)) if received.is_empty() => {
                return Err(Failure::Failed("the connection was closed without an answer".to_owned()));
            }
            Ok(Err(error)) if received.is_empty() => return Err(socket::failure("no answer", &error)),
            Ok(Ok(1..)) => {}
            _ => return Ok(Answer { backend: client.matcher.in_bytes(&received), error: None }),
        }
        let backend = client.matcher.in_beginning(&received);
        if backend.is_some() || received.len() >= SEARCHED {
            return Ok(Answer { backend: backend.or_else(|| client.matcher.in_bytes(&received)), error: None });
        }
    }
}
