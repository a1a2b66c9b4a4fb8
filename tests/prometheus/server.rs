//! A real Prometheus server in a namespace, and questions to it.
use std::{
    collections::BTreeMap,
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use tcpstate_tests::{Namespace, Tool, http, poll_until};

use crate::contrib;

/// Its port, in its own namespace.
const ADDRESS: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 9090);

/// The server, with the rules of contrib/prometheus, scraping the tool every second.
pub struct Server<'a> {
    ns: &'a Namespace,
    tool: Option<Tool>,
    folder: PathBuf,
}

/// Labels and value of a series.
pub type Sample = (BTreeMap<String, String>, f64);

impl<'a> Server<'a> {
    /// Starts it in `ns`, where the tool listens at `target`, and waits for the first scrape.
    pub fn start(ns: &'a Namespace, target: SocketAddr) -> Self {
        let folder =
            std::env::temp_dir().join(format!("tcpstate-prometheus-{}", std::process::id()));
        fs::create_dir(&folder).expect("making a folder");
        let config = fs::read_to_string(contrib("prometheus.yml")).expect("the example");
        let rules = contrib("tcpstate.rules.yml");
        let config = config
            .replace("15s", "1s")
            .replace("127.0.0.1:9817", &target.to_string())
            .replace("tcpstate.rules.yml", rules.to_str().expect("a plain path"));
        fs::write(folder.join("prometheus.yml"), config).expect("writing the configuration");
        let mut command = Command::new("prometheus");
        let (ip, port) = ADDRESS;
        command
            .arg(flag("--config.file", &folder.join("prometheus.yml")))
            .arg(flag("--storage.tsdb.path", &folder.join("data")))
            .arg(format!("--web.listen-address={ip}:{port}"));
        let tool = ns.run(|| Tool::launch(command));
        tool.wait_for_message("that it is ready", |line| {
            line.contains("Server is ready to receive web requests")
        });
        let server = Self {
            ns,
            tool: Some(tool),
            folder,
        };
        poll_until("the first scrape", || {
            let up = server.query("up == 1");
            (up.len() == 1).then_some(()).ok_or(format!("{up:?}"))
        });
        server
    }

    /// Asks for an object of its API.
    pub fn api(&self, path: &str) -> Value {
        let answer = self
            .ns
            .run(|| http::get(SocketAddr::from(ADDRESS), &format!("/api/v1/{path}"), &[]));
        let object: Value = serde_json::from_str(&answer.body)
            .unwrap_or_else(|error| panic!("{path}: {error}: {answer:?}"));
        assert_eq!(object["status"], "success", "{path}: {object}");
        object["data"].clone()
    }

    /// The value of an expression now.
    pub fn query(&self, expression: &str) -> Vec<Sample> {
        let data = self.api(&format!("query?query={}", encoded(expression)));
        let result = data["result"].as_array().expect("a vector").iter();
        result
            .map(|sample| {
                let labels = serde_json::from_value(sample["metric"].clone()).expect("labels");
                let value = sample["value"][1].as_str().expect("a number as text");
                (labels, value.parse().expect("a number"))
            })
            .collect()
    }

    /// Ends it.
    pub fn stop(mut self) {
        if let Some(tool) = self.tool.take() {
            tool.stop().assert_status(0);
        }
    }
}

impl Drop for Server<'_> {
    fn drop(&mut self) {
        drop(self.tool.take()); // before its files
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn flag(name: &str, path: &Path) -> String {
    format!("{name}={}", path.display())
}

fn encoded(text: &str) -> String {
    let byte = |byte: &u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(*byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.as_bytes().iter().map(byte).collect()
}
