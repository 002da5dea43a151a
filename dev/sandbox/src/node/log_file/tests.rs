use futures::StreamExt;

use super::*;

async fn written(text: &[u8]) -> (tempfile::TempDir, Arc<LogFile>) {
    let dir = tempfile::tempdir().unwrap();
    let log = LogFile::create(dir.path(), 0).unwrap();
    Arc::clone(&log).copy(text).await;
    (dir, log)
}

async fn read(log: &Arc<LogFile>, selection: Selection) -> String {
    let chunks: Vec<_> = Arc::clone(log).read(selection).map(|chunk| chunk.unwrap()).collect().await;
    String::from_utf8(chunks.concat()).unwrap()
}

#[tokio::test]
async fn tail_lines_and_limit_bytes_select_parts() {
    let (_dir, log) = written(b"one\ntwo\nthree").await;
    assert_eq!(read(&log, Selection::default()).await, "one\ntwo\nthree\n");
    for (lines, expected) in
        [(0, ""), (1, "three\n"), (2, "two\nthree\n"), (3, "one\ntwo\nthree\n"), (9, "one\ntwo\nthree\n")]
    {
        assert_eq!(read(&log, Selection { tail_lines: Some(lines), ..Selection::default() }).await, expected);
    }
    assert_eq!(read(&log, Selection { limit_bytes: Some(5), ..Selection::default() }).await, "one\nt");
}

#[tokio::test]
async fn timestamps_are_printed_and_select_lines() {
    let before = Timestamp::now();
    let (_dir, log) = written(b"one\n").await;
    let after = Timestamp::now();
    let text = read(&log, Selection { timestamps: true, ..Selection::default() }).await;
    let (time, rest) = text.split_once(' ').unwrap();
    let time: Timestamp = time.parse().unwrap();
    assert_eq!(rest, "one\n");
    assert!(before <= time && time <= after, "{time}");
    assert_eq!(read(&log, Selection { since: Some(before), ..Selection::default() }).await, "one\n");
    assert_eq!(read(&log, Selection { since: Some(after), ..Selection::default() }).await, "");
}

#[tokio::test]
async fn long_line_is_read_as_one_line() {
    let long = "x".repeat(MAX_LINE * 2 + 5);
    let (_dir, log) = written(format!("{long}\nend\n").as_bytes()).await;
    assert_eq!(read(&log, Selection::default()).await, format!("{long}\nend\n"));
}

#[tokio::test]
async fn follower_survives_rotation_and_ends_with_the_run() {
    let dir = tempfile::tempdir().unwrap();
    let log = LogFile::create(dir.path(), 0).unwrap();
    let (mut process, pipe) = tokio::io::duplex(CHUNK);
    let copying = tokio::spawn(Arc::clone(&log).copy(pipe));
    let mut chunks = Box::pin(Arc::clone(&log).read(Selection { follow: true, ..Selection::default() }));
    process.write_all(b"first\n").await.unwrap();
    assert_eq!(chunks.next().await.unwrap().unwrap(), "first\n");
    let line = format!("{}\n", "y".repeat(1000));
    let feed = async {
        for _ in 0..2 * MAX_FILE / 1000 {
            process.write_all(line.as_bytes()).await.unwrap();
        }
        process.write_all(b"last\n").await.unwrap();
        drop(process);
    };
    let drain = async {
        let (mut size, mut tail) = (0, Bytes::new());
        while let Some(chunk) = chunks.next().await {
            tail = chunk.unwrap();
            size += tail.len() as u64;
        }
        (size, tail)
    };
    let ((), (size, tail)) = tokio::join!(feed, drain);
    copying.await.unwrap();
    assert!(tail.ends_with(b"\nlast\n") || tail == "last\n", "{tail:?}");
    assert!(log.progress.borrow().file >= 2, "the log was rotated");
    assert!(size <= (2 * MAX_FILE / 1000) * 1001 + 5, "{size}");
    let newest = read(&log, Selection { tail_lines: Some(1), ..Selection::default() }).await;
    assert_eq!(newest, "last\n");
}

#[tokio::test]
async fn output_of_a_process_is_read_from_the_pipe() {
    let dir = tempfile::tempdir().unwrap();
    let log = LogFile::create(dir.path(), 3).unwrap();
    let (path, receiver) = log.pipe().unwrap();
    let writer = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
    let mut child = std::process::Command::new("/bin/echo").arg("hello").stdout(writer).spawn().unwrap();
    Arc::clone(&log).copy(receiver).await;
    assert!(child.wait().unwrap().success());
    assert_eq!(read(&log, Selection { follow: true, ..Selection::default() }).await, "hello\n");
}
