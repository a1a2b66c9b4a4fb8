//! The shipped agent file in a real Zabbix agent, asked by a real `zabbix_get`: the integers of `ss`, in the spelling of
//! the script that it replaces.
use std::{
    env, fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use serde_json::Value;
use tcpstate_tests::{
    Namespace, poll_until,
    sockets::{self, ByState},
    tool,
    zoo::Zoo,
};

/// The states as `ss` spells them, with the tool's names.
const SPELLED: [(&str, &str); 10] = [
    ("ESTAB", "ESTABLISHED"),
    ("SYN-SENT", "SYN_SENT"),
    ("SYN-RECV", "SYN_RECV"),
    ("FIN-WAIT-1", "FIN_WAIT1"),
    ("FIN-WAIT-2", "FIN_WAIT2"),
    ("TIME-WAIT", "TIME_WAIT"),
    ("CLOSE-WAIT", "CLOSE_WAIT"),
    ("LAST-ACK", "LAST_ACK"),
    ("LISTEN", "LISTEN"),
    ("CLOSING", "CLOSING"),
];

const PORT: &str = "10050";

/// An agent in a namespace of its own, whose `tcpstate` looks into another one: its own connections are not counted.
struct Agent {
    ns: Namespace,
    child: Child,
    folder: PathBuf,
}

impl Agent {
    fn looking_into(other: &str) -> Self {
        let folder = env::temp_dir().join(format!("tcpstate-zabbix-{}", std::process::id()));
        fs::create_dir_all(folder.join("bin")).expect("making a folder");
        let wrapper = folder.join("bin/tcpstate");
        let tool = tool::command(&[]);
        let tool = tool.get_program().to_str().expect("a path in UTF-8");
        fs::write(
            &wrapper,
            // What the states are called does not depend on a namespace.
            format!("#!/bin/sh\ncase \"$*\" in *discovery*) exec '{tool}' \"$@\";; *) exec '{tool}' \"$@\" --netns {other};; esac\n"),
        )
        .expect("writing a script");
        fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).expect("opening it");
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contrib/zabbix/tcpstate.conf");
        let shipped = shipped.canonicalize().expect("the shipped file");
        let config = folder.join("agent.conf");
        fs::write(
            &config,
            format!(
                "Server=127.0.0.1\nListenIP=127.0.0.1\nListenPort={PORT}\nStartAgents=1\nAllowRoot=1\nLogType=console\nPidFile={}\nInclude={}\n",
                folder.join("agent.pid").display(),
                shipped.display()
            ),
        )
        .expect("writing the agent's configuration");
        let path = format!(
            "{}:{}",
            folder.join("bin").display(),
            env::var("PATH").expect("a PATH")
        );
        let ns = Namespace::new();
        let child = ns.run(|| {
            Command::new("zabbix_agentd")
                .arg("-f")
                .arg("-c")
                .arg(&config)
                .env("PATH", path)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap_or_else(|error| {
                    panic!(
                        "zabbix_agentd: {error}; `cargo xtask setup` installs what the tests need"
                    )
                })
        });
        let agent = Self { ns, child, folder };
        agent.ns.run(|| {
            poll_until(
                "the agent listens",
                || match sockets::by_state()["LISTEN"] {
                    0 => Err("nobody listens".to_owned()),
                    _ => Ok(()),
                },
            );
        });
        agent
    }

    fn get(&self, key: &str) -> String {
        let output = self.ns.run(|| {
            Command::new("zabbix_get")
                .args(["-s", "127.0.0.1", "-p", PORT, "-k", key])
                .output()
                .unwrap_or_else(|error| {
                    panic!("zabbix_get: {error}; `cargo xtask setup` installs what the tests need")
                })
        });
        assert!(output.status.success(), "{key}: {output:?}");
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        text.trim_end().to_owned()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn the_agent_answers_what_ss_counts() {
    let name = format!("tcpstate-zabbix-{}", std::process::id());
    let ns = Namespace::named(&name);
    let agent = Agent::looking_into(&name);
    for (spelled, _) in SPELLED {
        let key = format!("linux_tcp_status[tcp_status,{spelled}]");
        assert_eq!(agent.get(&key), "0", "{key}: there is no socket");
    }
    let _zoo = ns.run(Zoo::new);
    ns.run(Zoo::settle);
    let before = ns.run(sockets::by_state);
    for (spelled, state) in SPELLED {
        let expected = before[state].to_string();
        assert_ne!(expected, "0", "the zoo has no socket in {state}");
        for key in [
            format!("linux_tcp_status[tcp_status,{spelled}]"),
            format!("linux_status[tcp_status,{spelled}]"),
            format!("tcpstate.count[{spelled}]"),
        ] {
            assert_eq!(agent.get(&key), expected, "{key}");
        }
    }
    let counts: ByState =
        serde_json::from_str(&agent.get("tcpstate.counts")).expect("an object of numbers");
    assert_eq!(counts, before);
    let discovery: Value =
        serde_json::from_str(&agent.get("tcpstate.discovery")).expect("discovery data");
    let states: Vec<&str> = discovery["data"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|row| row["{#STATE}"].as_str().expect("a state"))
        .collect();
    assert_eq!(states, SPELLED.map(|(_, state)| state));
    assert_eq!(before, ns.run(sockets::by_state), "the zoo stands still");
}

/// A key that asks for no state is an error of the item, not a number.
#[test]
fn a_wrong_state_is_not_supported() {
    let name = format!("tcpstate-zabbix-wrong-{}", std::process::id());
    let _ns = Namespace::named(&name);
    let agent = Agent::looking_into(&name);
    for key in ["linux_status[tcp_status,NOWHERE]", "tcpstate.count[]"] {
        let answer = agent.get(key);
        assert!(answer.parse::<u64>().is_err(), "{key}: {answer}");
    }
}
