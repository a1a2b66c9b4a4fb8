//! `cargo xtask demo`: tcpstate's own output on a few connections that the demo makes itself.
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::process::{ChildStderr, ExitCode, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::Context as _;

use crate::{build, command};

/// Long enough that each state has a dwell time that one can see.
const PAUSE: Duration = Duration::from_millis(150);

/// Builds, traces, makes traffic once the trace is ready, and passes on how the trace ended.
pub(crate) fn job() -> anyhow::Result<ExitCode> {
    let mut trace = command::as_root(build::release()?)?;
    trace.args(["trace", "-d", "5"]).stderr(Stdio::piped());
    eprintln!("$ {}", command::shown(&trace));
    let mut child = trace.spawn().context("cannot run tcpstate")?;
    let stderr = BufReader::new(child.stderr.take().context("tcpstate has no stderr")?);
    let traffic = watch(stderr);
    let status = child.wait().context("cannot wait for tcpstate")?;
    // Why tcpstate failed is already on the screen, and says more than that we did not see it ready.
    if status.success() {
        traffic?;
    }
    Ok(command::exit_code(status))
}

/// Passes stderr on, line by line, and makes the traffic when it says `ready`.
fn watch(mut stderr: BufReader<ChildStderr>) -> anyhow::Result<()> {
    let mut traffic = None;
    let mut line = String::new();
    while stderr
        .read_line(&mut line)
        .context("cannot read tcpstate's stderr")?
        > 0
    {
        eprint!("{line}");
        if traffic.is_none() && line.starts_with("tcpstate: ready") {
            eprintln!(
                "demo: three loopback connections follow: the client closes first, the server closes first, nobody \
                 listens (TIME_WAIT lasts 60 s, longer than this demo)"
            );
            traffic = Some(make_traffic());
        }
        line.clear();
    }
    traffic
        .context("tcpstate ended without its line `tcpstate: ready`")?
        .context("cannot make the demo's loopback connections")
}

fn make_traffic() -> anyhow::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;

    let client = TcpStream::connect(address)?;
    close_in_turn(client, listener.accept()?.0)?;

    let client = TcpStream::connect(address)?;
    close_in_turn(listener.accept()?.0, client)?;

    drop(listener);
    match TcpStream::connect(address) {
        Ok(_) => anyhow::bail!("{address} answers although nobody listens"),
        Err(_) => Ok(()), // refused, as it should be
    }
}

/// A word from `first` to `second`, then `first` closes, and a moment later `second`.
fn close_in_turn(mut first: TcpStream, mut second: TcpStream) -> anyhow::Result<()> {
    first.write_all(b"hello\n")?;
    thread::sleep(PAUSE);
    first.shutdown(Shutdown::Write)?;
    second.read_to_end(&mut Vec::new())?;
    thread::sleep(PAUSE);
    Ok(())
}
