//! What is measured otherwise than under a load of connections: replay, memory, `count`, bulk traffic, doing nothing.
use std::{
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    process::{Command, Stdio},
    thread::{self, sleep},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use clap::ValueEnum;
use tcpstate_tests::{Namespace, Summary, Tool, tool};

use super::{
    command,
    load::{Close, Load},
    machine, programs,
    subject::{Folder, Kind},
};

/// Something to measure.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Scene {
    /// hist without traffic, for 30 seconds
    Idle,
    /// Memory per connection in TIME_WAIT, and `count` against `ss -ant`, with a hundred thousand of them
    Held,
    /// A recording of ten seconds through `hist --from`
    Replay,
    /// One connection that carries as much as it can, untraced and traced in turn
    Bulk,
}

const IDLE_FOR: Duration = Duration::from_secs(30);
/// Connections in TIME_WAIT.
const HELD: u64 = 100_000;
/// How often a program is called whose time is measured.
const CALLS: usize = 5;
const RECORD_FOR: Duration = Duration::from_secs(10);
const BULK_FOR: Duration = Duration::from_secs(1);
const BULK_PAIRS: usize = 11;
const BULK_BYTES: usize = 128 << 10;
/// What the tool's `count` is compared with.
const SS: &str = "ss -ant | awk 'NR > 1 { n[$1]++ } END { for (s in n) print s, n[s] }'";

impl Scene {
    /// Measures, and says what came out.
    pub fn play(self) -> anyhow::Result<String> {
        machine::await_quiet()?;
        match self {
            Self::Idle => idle(),
            Self::Held => held(),
            Self::Replay => replay(),
            Self::Bulk => bulk(),
        }
    }
}

fn idle() -> anyhow::Result<String> {
    let hist = Kind::Tool(command::Command::Hist).start()?;
    let before = hist.cpu()?;
    sleep(IDLE_FOR);
    let used = hist.cpu()?.total_ns - before.total_ns;
    hist.stop()?;
    let share = used as f64 / IDLE_FOR.as_nanos() as f64;
    Ok(format!(
        "idle: {:.3} % of a CPU (at most 0.1)",
        share * 100.0
    ))
}

fn load(close: Close, duration: Duration, most: u64) -> Load {
    Load {
        threads: 2,
        duration,
        close,
        addresses: 64,
        most,
    }
}

fn held() -> anyhow::Result<String> {
    let ns = Namespace::new();
    let hist = Kind::Tool(command::Command::Hist).start()?;
    let before = hist.resident_bytes()?;
    let maps = programs::map_bytes(hist.pid());
    // TIME_WAIT lasts a minute: all have to be there at once.
    let done = load(Close::Fin, Duration::from_secs(30), HELD).make(&ns)?;
    hist.await_idle()?;
    let grown = hist.resident_bytes()?.saturating_sub(before);
    let mut count = || ns.run(|| run(&mut tool::command(&["count"])));
    let tool_seconds = median(CALLS, &mut count)?;
    let mut ss = || ns.run(|| run(Command::new("sh").args(["-c", SS])));
    let ss_seconds = median(CALLS, &mut ss)?;
    hist.stop()?;
    Ok(format!(
        "memory: {:.1} MiB at start (at most 40), {:.0} bytes per live connection ({}; at most 250)\n\
         count: {:.1} ms with {} sockets in TIME_WAIT, ss and awk {:.1} ms: {:.1} times as long (at least 10)",
        (before + maps) as f64 / f64::from(1 << 20),
        grown as f64 / done.connections as f64,
        done.connections,
        tool_seconds * 1e3,
        done.connections,
        ss_seconds * 1e3,
        ss_seconds / tool_seconds,
    ))
}

fn replay() -> anyhow::Result<String> {
    let folder = Folder::new()?;
    let path = folder.file("recording.arrows")?;
    let record = Tool::start(&["record", &path]);
    load(Close::Rst, RECORD_FOR, u64::MAX).make(&Namespace::new())?;
    ensure!(record.stop().status.success(), "record failed");
    let mut rates = Vec::new();
    for _ in 0..CALLS {
        let run = tool::run(tool::command(&["hist", "--from", &path, "--summary", "-q"]));
        let line = run.stdout.last().context("hist has printed nothing")?;
        let summary = Summary::read(line);
        rates.push(summary.transitions as f64 / summary.cpu_seconds);
    }
    rates.sort_by(f64::total_cmp);
    Ok(format!(
        "replay: {:.2} million transitions per second of CPU (at least 3)",
        rates[CALLS / 2] / 1e6
    ))
}

fn bulk() -> anyhow::Result<String> {
    let mut kept = Vec::new();
    for number in 0..BULK_PAIRS {
        let traced = || {
            let hist = Kind::Tool(command::Command::Hist).start()?;
            let rate = bulk_rate()?;
            hist.stop()?;
            anyhow::Ok(rate)
        };
        let (with, without) = if number % 2 == 0 {
            let without = bulk_rate()?;
            (traced()?, without)
        } else {
            (traced()?, bulk_rate()?)
        };
        kept.push(with / without);
    }
    kept.sort_by(f64::total_cmp);
    Ok(format!(
        "bulk: {:.1} % of the untraced throughput kept (at least 97)",
        kept[BULK_PAIRS / 2] * 100.0
    ))
}

/// Bytes a second through one connection.
fn bulk_rate() -> anyhow::Result<f64> {
    let ns = Namespace::new();
    let (listener, client) = ns.run(|| {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let client = TcpStream::connect(listener.local_addr()?)?;
        io::Result::Ok((listener, client))
    })?;
    let (mut server, _) = listener.accept()?;
    let reader = thread::spawn(move || {
        let (mut bytes, mut all) = (vec![0; BULK_BYTES], 0);
        loop {
            match server.read(&mut bytes)? {
                0 => return io::Result::Ok(all),
                some => all += some,
            }
        }
    });
    let bytes = vec![0; BULK_BYTES];
    let began = Instant::now();
    while began.elapsed() < BULK_FOR {
        (&client).write_all(&bytes)?;
    }
    drop(client);
    let all = reader.join().expect("the thread that reads")?;
    Ok(all as f64 / began.elapsed().as_secs_f64())
}

/// Seconds that a command takes.
fn run(command: &mut Command) -> anyhow::Result<f64> {
    let began = Instant::now();
    let status = command.stdout(Stdio::null()).status()?;
    ensure!(status.success(), "{command:?}: {status}");
    Ok(began.elapsed().as_secs_f64())
}

fn median(calls: usize, measure: &mut dyn FnMut() -> anyhow::Result<f64>) -> anyhow::Result<f64> {
    let mut values = (0..calls)
        .map(|_| measure())
        .collect::<anyhow::Result<Vec<f64>>>()?;
    values.sort_by(f64::total_cmp);
    Ok(values[calls / 2])
}
