//! `tcpstate trace` in the Debian system, on a connection of our own.
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::command;
use crate::debian::System;

/// Follows one connection from its SYN to ESTABLISHED, and ends as Ctrl-C ends it.
pub(super) fn try_it(system: &System) -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").context("cannot listen")?;
    let address = listener.local_addr()?;
    let mut trace = system.command("tcpstate");
    trace.args(["trace", "--json", "--duration", "60", "--remoteport"]);
    trace.arg(address.port().to_string());
    let child = trace.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = Running(child.context("cannot start the trace")?);
    let mut messages = BufReader::new(child.0.stderr.take().context("it is piped")?);
    let mut said = String::new();
    while !said.contains("tcpstate: ready") {
        let read = messages.read_line(&mut said).context("its messages")?;
        ensure!(read > 0, "the trace has ended before it was ready: {said}");
    }

    let stream = TcpStream::connect(address).context("cannot connect")?;
    let own_port = stream.local_addr()?.port();
    let mut lines = BufReader::new(child.0.stdout.take().context("it is piped")?).lines();
    let mut edges = Vec::new();
    while edges
        .last()
        .is_none_or(|edge| edge != "SYN_SENT ESTABLISHED")
    {
        let line = lines
            .next()
            .context("the trace has ended before the connection was there")??;
        let line: Value = serde_json::from_str(&line).context(line.clone())?;
        ensure!(
            line["lport"].is_null() || line["lport"] == own_port,
            "not our connection: {line}"
        );
        edges.push(format!("{} {}", text(&line["from"]), text(&line["to"])));
    }
    ensure!(
        edges == ["CLOSE SYN_SENT", "SYN_SENT ESTABLISHED"],
        "the transitions of a client that connects: {edges:?}"
    );
    command::run(Command::new("kill").args(["-INT", &child.0.id().to_string()]))?;
    messages.read_to_string(&mut said)?;
    let status = child.0.wait()?;
    ensure!(status.success(), "the trace ends with {status}: {said}");
    println!(
        "package: trace as root: {}; {}",
        edges.join(", "),
        said.trim()
    );
    Ok(())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}

/// A child that does not outlive us.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended already, or has to.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
