//! Checks that every flag with the value `ADDRESS:PORT` takes the same spellings.

use std::process::Command;

use regex::Regex;

const SPELLINGS: [&str; 4] = ["192.0.2.1:9", "[2001:db8::1]:9", "2001:db8::1:9", "::1:9"];

#[test]
fn address_flags_accept_ipv6_with_and_without_brackets() {
    let flag = Regex::new(r"(?m)^ +(--[a-z-]+) <ADDRESS:PORT>").unwrap();
    let mut flags = 0;
    for program in ["maglevd", "maglev-controller", "maglev-frontend"] {
        let help = super::help(program, &[]).unwrap();
        for found in flag.captures_iter(&help) {
            flags += 1;
            for spelling in SPELLINGS {
                let mut command = Command::new(maglev_testkit::binary(program));
                // The wrong level ends the program after the address has been accepted.
                let output = command.arg(format!("{}={spelling}", &found[1])).arg("--log-level=none").output().unwrap();
                let error = String::from_utf8_lossy(&output.stderr).into_owned();
                assert!(error.contains("--log-level") && !error.contains(&found[1]), "{program} {spelling}: {error}");
            }
        }
    }
    assert_eq!(flags, 7, "all flags with an address are found");
}
