//! `cargo xtask zabbix`: the shipped templates in a real Zabbix server, which reads a real agent with the shipped file.
//!
//! Server, database, web frontend and agent run from Debian's packages, in a folder of their own and on free ports of
//! the loopback device; all of it ends with the job.
mod api;
mod lab;

use std::{
    fs,
    process::ExitCode,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};

use self::{api::Api, lab::Lab};
use crate::{build, command, setup, workspace};

/// States of the template's items.
const STATES: [&str; 10] = [
    "ESTABLISHED",
    "SYN_SENT",
    "SYN_RECV",
    "FIN_WAIT1",
    "FIN_WAIT2",
    "TIME_WAIT",
    "CLOSE_WAIT",
    "LAST_ACK",
    "LISTEN",
    "CLOSING",
];

/// How long the server may take to poll an item for the first time: it reads its configuration every five seconds.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often the server is asked; it does not tell by itself.
const ASK_EVERY: Duration = Duration::from_millis(500);

/// Imports the templates, has the server poll the agent, and checks what it got.
pub(crate) fn job() -> anyhow::Result<ExitCode> {
    ensure!(
        command::is_root()?,
        "zabbix: the database runs as another user; run as root (sudo cargo xtask zabbix)"
    );
    setup::for_zabbix()?;
    let tool = build::release()?;
    let lab = Lab::start(&tool)?;
    let mut api = Api::log_in(lab.web_port)?;
    println!("zabbix: server {}", api.version);
    import(&mut api)?;
    poll(&mut api, &lab)?;
    println!("zabbix: the server polled every state through the shipped agent file");
    Ok(ExitCode::SUCCESS)
}

/// Imports every shipped template, twice: the second time updates the first.
fn import(api: &mut Api) -> anyhow::Result<()> {
    let file = workspace::root().join("contrib/zabbix/template_tcpstate.yaml");
    let source = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    let all = json!({ "createMissing": true, "updateExisting": true });
    let rules = json!({
        "groups": { "createMissing": true },
        "templates": all,
        "items": all,
        "triggers": all,
        "graphs": all,
        "discoveryRules": all,
    });
    let request = json!({ "format": "yaml", "rules": rules, "source": source });
    for _ in 0..2 {
        ensure!(
            api.call("configuration.import", &request)? == json!(true),
            "the template was not imported"
        );
    }
    let templates = api.call(
        "template.get",
        &json!({
            "search": { "host": "tcpstate" },
            "output": ["host"],
            "selectItems": "count",
            "selectTriggers": "count",
            "selectGraphs": "count",
            "selectDiscoveries": "count",
        }),
    )?;
    for template in templates.as_array().context("a list of templates")? {
        println!(
            "zabbix: imported {}: items {}, triggers {}, graphs {}, discovery rules {}",
            template["host"],
            template["items"],
            template["triggers"],
            template["graphs"],
            template["discoveries"]
        );
    }
    ensure!(
        templates.as_array().is_some_and(|list| list.len() == 2),
        "two templates are shipped: {templates}"
    );
    Ok(())
}

/// Makes a host with the agent's template and waits until the server has a value of every state.
fn poll(api: &mut Api, lab: &Lab) -> anyhow::Result<()> {
    let template =
        json!({ "filter": { "host": ["TCP states by tcpstate"] }, "output": ["templateid"] });
    let templates = api.call("template.get", &template)?;
    let group = json!({ "filter": { "name": ["Templates/Applications"] }, "output": ["groupid"] });
    let groups = api.call("hostgroup.get", &group)?;
    let host = api.call(
        "host.create",
        &json!({
            "host": "tcpstate-test",
            "groups": [{ "groupid": groups[0]["groupid"] }],
            "templates": [{ "templateid": templates[0]["templateid"] }],
            "interfaces": [{
                "type": 1, "main": 1, "useip": 1, "ip": "127.0.0.1", "dns": "",
                "port": lab.agent_port.to_string(),
            }],
        }),
    )?;
    let items = json!({
        "hostids": host["hostids"],
        "search": { "key_": "tcpstate.sockets[" },
        "output": ["key_", "lastvalue", "lastclock", "state", "error"],
    });
    let began = Instant::now();
    loop {
        let items = api.call("item.get", &items)?;
        let items = items.as_array().context("a list of items")?;
        let polled = |item: &&Value| item["lastclock"].as_str().is_some_and(|clock| clock != "0");
        if items.iter().filter(polled).count() == STATES.len() {
            return judge(items);
        }
        if began.elapsed() > PATIENCE {
            bail!(
                "the server has not polled every item: {items:?}\n{}",
                lab.logs()
            );
        }
        sleep(ASK_EVERY);
    }
}

/// The values are numbers, and the sockets that surely exist are counted: those that listen in this test.
fn judge(items: &[Value]) -> anyhow::Result<()> {
    for state in STATES {
        let key = format!("tcpstate.sockets[{state}]");
        let item = items.iter().find(|item| item["key_"] == key);
        let value = item.with_context(|| format!("no item {key}"))?["lastvalue"]
            .as_str()
            .unwrap_or_default();
        let sockets: u64 = value
            .parse()
            .with_context(|| format!("{key} is '{value}', no number"))?;
        ensure!(
            state != "LISTEN" || sockets >= 2,
            "agent and frontend listen, but LISTEN is {sockets}"
        );
        println!("zabbix: {key} = {sockets}");
    }
    Ok(())
}
