//! Runs the commands of `docs/guide/` in the order of its pages.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::Value;

use super::super::harness::root;
use super::release::{Site, VALUES};

/// The pages in reading order; the last one ends with the uninstallation.
const PAGES: [&str; 5] = ["install", "network", "first-frontend", "troubleshooting", "day-2"];
const NODE: u8 = 133;
/// Names and addresses in the pages, and those of this site.
const REPLACEMENTS: [(&str, &str); 5] = [
    ("node lb-1 lb-2 ", "node lb-133 lb-134 "),
    ("192.0.2.11", "127.0.133.1"),
    ("192.0.2.12", "127.0.133.2"),
    ("192.0.2.13", "127.0.133.3"),
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

#[tokio::test]
async fn guide_commands_work() {
    let site = Site::start(NODE).await;
    let desk = site.dir.join("desk");
    fs::create_dir_all(&desk).unwrap();
    symlink(root().join("charts"), desk.join("charts")).unwrap();
    fs::write(desk.join("values.yaml"), values()).unwrap();
    fs::write(desk.join("shop.yaml"), &blocks("first-frontend", "yaml")[0]).unwrap();

    let mut transcript = String::new();
    for (page, commands) in PAGES.iter().flat_map(|page| blocks(page, "sh").into_iter().map(move |block| (page, block)))
    {
        for command in commands.lines() {
            let mut bash = site.command("bash");
            let output = bash.args(["-c", command]).current_dir(&desk).output();
            let output = tokio::time::timeout(super::release::HELM_LIMIT, output)
                .await
                .expect("the command ends in time")
                .unwrap();
            let printed = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            transcript.push_str(&format!("$ {command}\n{printed}"));
            assert!(output.status.success(), "{page}: {command}: {printed}\ntranscript:\n{transcript}");
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
