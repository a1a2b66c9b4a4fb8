//! The load: connections on loopback, as many as fit, each opened, accepted and closed before the next. It runs in a
//! process of its own, so that its CPU time is nobody else's, and knows by arithmetic how many transitions it has made.
use std::{
    env, fmt,
    io::{ErrorKind, Read as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    process::{Command, Stdio},
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use clap::ValueEnum;
use nix::{
    libc,
    sys::socket::{setsockopt, sockopt},
};
use serde::{Deserialize, Serialize};
use tcpstate_tests::{Namespace, sockets};

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Close {
    /// The client throws it away (`SO_LINGER` 0).
    Rst,
    /// The client closes first.
    Fin,
}

impl Close {
    /// Transitions at the tracepoint that one connection makes at both ends together.
    fn transitions(self) -> u64 {
        // To ESTABLISHED: CLOSE, SYN_SENT and LISTEN, SYN_RECV.
        match self {
            Self::Rst => 2 + 2 + 2,
            // FIN_WAIT1, FIN_WAIT2, CLOSE (a timewait socket takes over) and CLOSE_WAIT, LAST_ACK, CLOSE.
            Self::Fin => 2 + 2 + 6,
        }
    }
}

impl fmt::Display for Close {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rst => "RST",
            Self::Fin => "FIN",
        })
    }
}

/// A load to make.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Load {
    /// Threads, each with a listener of its own.
    pub threads: u8,
    /// How long.
    pub duration: Duration,
    /// How the connections end.
    pub close: Close,
    /// Addresses that each thread connects to in turn.
    pub addresses: u16,
    /// Connections at most.
    pub most: u64,
}

/// What a load has done.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Done {
    /// Connections made.
    pub connections: u64,
    /// For so long.
    pub seconds: f64,
    /// Transitions that the tracepoint must have reported for them.
    pub transitions: u64,
}

/// First word of the command line of a process that makes a load; the load follows.
const LOAD: &str = "make-load";
/// Port of the first listener.
const FIRST_PORT: u16 = 9_000;
/// How many connections a thread makes between two looks at the clock.
const BATCH: u64 = 16;

impl Done {
    /// Connections a second.
    pub fn rate(&self) -> f64 {
        self.connections as f64 / self.seconds
    }
}

impl Load {
    /// Makes the load in a process of its own in `ns`.
    pub fn make(&self, ns: &Namespace) -> anyhow::Result<Done> {
        let output = ns.run(|| {
            Command::new(env::current_exe()?)
                .arg(LOAD)
                .arg(serde_json::to_string(self)?)
                .stderr(Stdio::inherit())
                .output()
                .context("starting the load's process")
        })?;
        ensure!(output.status.success(), "the load: {}", output.status);
        serde_json::from_slice(&output.stdout).context("reading what the load has done")
    }

    /// The load that this process was started for.
    pub fn of_this_process() -> anyhow::Result<Option<Self>> {
        let mut args = env::args().skip(1);
        if args.next().as_deref() != Some(LOAD) {
            return Ok(None);
        }
        let load = args.next().context("no load was given")?;
        Ok(Some(serde_json::from_str(&load)?))
    }

    /// Makes it here, and prints what it has done.
    pub fn run(&self) -> anyhow::Result<()> {
        let start = Barrier::new(usize::from(self.threads) + 1);
        let (connections, elapsed) = thread::scope(|scope| {
            let threads: Vec<_> = (0..self.threads)
                .map(|number| {
                    scope.spawn({
                        let start = &start;
                        move || self.connect(number, start)
                    })
                })
                .collect();
            start.wait();
            let began = Instant::now();
            let mut connections = 0;
            for thread in threads {
                connections += thread.join().expect("a thread of the load")?;
            }
            anyhow::Ok((connections, began.elapsed()))
        })?;
        sockets::await_end();
        let listeners = 2 * u64::from(self.threads); // opened and closed
        let done = Done {
            connections,
            seconds: elapsed.as_secs_f64(),
            transitions: connections * self.close.transitions() + listeners,
        };
        println!("{}", serde_json::to_string(&done)?);
        Ok(())
    }

    /// One thread's part.
    fn connect(&self, number: u8, start: &Barrier) -> anyhow::Result<u64> {
        let port = FIRST_PORT + u16::from(number);
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))?;
        let most = self.most / u64::from(self.threads);
        let mut addresses = (0..self.addresses).cycle();
        let mut made = 0;
        start.wait();
        let began = Instant::now();
        while made < most && began.elapsed() < self.duration {
            for _ in 0..BATCH {
                let [high, low] = addresses.next().context("an address")?.to_be_bytes();
                let to = Ipv4Addr::new(127, number + 1, high, low);
                self.connect_once(&listener, (to, port).into())
                    .with_context(|| format!("connection {made} of thread {number} to {to}"))?;
            }
            made += BATCH;
        }
        Ok(made)
    }

    fn connect_once(&self, listener: &TcpListener, to: SocketAddr) -> anyhow::Result<()> {
        let client = TcpStream::connect(to)?;
        let (mut server, _) = listener.accept()?;
        if self.close == Close::Rst {
            let now = libc::linger {
                l_onoff: 1,
                l_linger: 0,
            };
            setsockopt(&client, sockopt::Linger, &now)?;
        }
        drop(client);
        // Closed before the client's segment has come, it would go through other states.
        match (self.close, server.read(&mut [0])) {
            (Close::Fin, Ok(0)) => Ok(()),
            (Close::Rst, Err(error)) if error.kind() == ErrorKind::ConnectionReset => Ok(()),
            (_, seen) => bail!("{} expected, and not {seen:?}", self.close),
        }
    }
}
