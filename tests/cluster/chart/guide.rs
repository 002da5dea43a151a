//! Runs the commands of `docs/guide/` in the order of its pages.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};

use super::super::harness::{LIMIT, root};
use super::release::{HELM_LIMIT, Site, VALUES};

/// The pages in reading order; the last one ends with the uninstallation.
const PAGES: [&str; 7] = ["install", "network", "first-frontend", "teams", "troubleshooting", "change", "day-2"];
const NODE: u8 = 133;
/// Time before a failed command is repeated.
const RETRY: Duration = Duration::from_secs(2);
/// Names and addresses in the pages, and those of this site.
const REPLACEMENTS: [(&str, &str); 7] = [
    ("node lb-1 lb-2 ", "node lb-133 lb-134 "),
    ("192.0.2.0/24", "127.0.133.0/24"),
    ("192.0.2.11", "127.0.133.1"),
    ("192.0.2.12", "127.0.133.2"),
    ("192.0.2.13", "127.0.133.3"),
    ("192.0.2.14", "127.0.133.4"),
    ("registry.example", "registry.invalid"),
];

/// The fenced code blocks of a page in this language.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join(format!("docs/guide/{page}.md"))).unwrap();
    let text = REPLACEMENTS.iter().fold(text, |text, (from, to)| text.replace(from, to));
    let fence = format!("\n```{language}\n");
    text.split(&fence).skip(1).map(|rest| rest.split("\n```").next().unwrap().to_owned()).collect()
}

/// The page's values, and those that only a sandbox needs.
fn values() -> String {
    let read = |text: &str| serde_saphyr::from_str::<Value>(text).unwrap();
    let mut values = read(&blocks("install", "yaml")[0]);
    json_patch::merge(&mut values, &read(VALUES));
    values.to_string()
}

/// Runs a command until it succeeds, since a reader gives more time to the effects of the command before. Returns the
/// output, or the first and the last output of a command that does not succeed.
async fn type_until_it_succeeds(site: &Site, desk: &Path, command: &str) -> Result<String, String> {
    let (began, mut first) = (Instant::now(), None);
    loop {
        let output = site.command("bash").args(["-c", command]).current_dir(desk).output();
        let output = timeout(HELM_LIMIT, output).await.expect("the command ends in time").unwrap();
        let printed = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        if output.status.success() {
            return Ok(printed);
        }
        let first = first.get_or_insert_with(|| printed.clone());
        if began.elapsed() > LIMIT {
            return Err(format!("{first}\nafter {} s: {printed}", LIMIT.as_secs()));
        }
        sleep(RETRY).await;
    }
}

#[tokio::test]
async fn guide_commands_work() {
    let site = Site::start(NODE).await;
    let desk = site.dir.join("desk");
    fs::create_dir_all(&desk).unwrap();
    symlink(root().join("charts"), desk.join("charts")).unwrap();
    fs::write(desk.join("values.yaml"), values()).unwrap();
    fs::write(desk.join("shop.yaml"), &blocks("first-frontend", "yaml")[0]).unwrap();
    fs::write(desk.join("moved.yaml"), &blocks("change", "yaml")[0]).unwrap();
    for (file, content) in ["policies.yaml", "bank.yaml"].iter().zip(blocks("teams", "yaml")) {
        fs::write(desk.join(file), content).unwrap();
    }

    let mut transcript = String::new();
    for (page, commands) in PAGES.iter().flat_map(|page| blocks(page, "sh").into_iter().map(move |block| (page, block)))
    {
        for command in commands.lines() {
            let printed = type_until_it_succeeds(&site, &desk, command).await;
            let printed = printed.unwrap_or_else(|printed| panic!("{transcript}{page}: {command}: {printed}"));
            transcript.push_str(&format!("$ {command}\n{printed}"));
        }
    }
    // For updating the pages.
    fs::write(site.dir.join("transcript.txt"), &transcript).unwrap();
    let examples = PAGES.iter().flat_map(|page| blocks(page, "text"));
    let lines: Vec<String> = examples.flat_map(|block| block.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    let commands: Vec<&String> = lines.iter().filter(|line| line.starts_with("$ ")).collect();
    assert!(commands.len() > 6, "{commands:?}");
    for command in commands {
        assert!(
            transcript.contains(&format!("{command}\n")),
            "{command} is in an example, but in no sh block of the pages"
        );
    }
    site.cluster.kubectl(&["delete", "namespace", "shop", "maglev-system", "--timeout=50s"]).await;
    site.stop().await;
}
