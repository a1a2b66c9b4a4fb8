//! The JSON-RPC interface of a Zabbix frontend.
use std::process::Command;

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::command;

/// A session with a frontend.
pub(super) struct Api {
    url: String,
    token: Option<String>,
    /// Version of the server.
    pub(super) version: String,
}

impl Api {
    /// Logs in with the account that a new server has.
    pub(super) fn log_in(port: u16) -> anyhow::Result<Self> {
        let mut api = Self {
            url: format!("http://127.0.0.1:{port}/api_jsonrpc.php"),
            token: None,
            version: String::new(),
        };
        let version = api.call("apiinfo.version", &json!({}))?;
        version
            .as_str()
            .context("a version")?
            .clone_into(&mut api.version);
        let account = json!({ "username": "Admin", "password": "zabbix" });
        let token = api.call("user.login", &account)?;
        api.token = Some(token.as_str().context("a token")?.to_owned());
        Ok(api)
    }

    /// Calls a method and gives its result.
    pub(super) fn call(&mut self, method: &str, params: &Value) -> anyhow::Result<Value> {
        let mut request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        if let Some(token) = &self.token {
            request["auth"] = json!(token);
        }
        let answer = command::output(
            Command::new("curl")
                .args(["-sS", "--fail", "--max-time", "120"])
                .args(["-H", "Content-Type: application/json-rpc"])
                .args(["--data-raw", &request.to_string()])
                .arg(&self.url),
        )
        .with_context(|| format!("calling {method}"))?;
        let mut answer: Value = serde_json::from_str(&answer)
            .with_context(|| format!("{method} answers no JSON: {answer}"))?;
        anyhow::ensure!(answer["error"].is_null(), "{method}: {}", answer["error"]);
        Ok(answer["result"].take())
    }
}
