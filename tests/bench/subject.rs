//! What is measured, running: a command of the tool, or a peer.
use std::{
    fs::{self, File},
    io::{Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
    process::{self, Stdio},
    sync::mpsc::{RecvTimeoutError, Sender, channel},
    thread::{self, JoinHandle, sleep},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use nix::{
    sys::signal::Signal,
    time::{ClockId, clock_gettime},
    unistd::Pid,
};
use serde::Serialize;
use tcpstate_tests::{Served, Summary, Tool, bpf::Objects, http, terminal::Terminal, tool};

use super::command::Command;

/// What is measured.
#[derive(Clone, Debug)]
pub enum Kind {
    /// A command of the tool.
    Tool(Command),
    /// Another tool's command line.
    Peer(String),
}

/// It, running and ready.
pub struct Subject {
    running: Running,
    folder: Folder,
}

enum Running {
    Tool(Tool),
    /// Anything else, which Ctrl-C may end in any way.
    Peer(Tool),
    Scraped(Served, Scraper),
    Terminal(Terminal),
}

/// What it has used of the CPUs, ns.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Cpu {
    /// In user space and in the kernel together.
    pub total_ns: u64,
    /// In user space, as the kernel divides it.
    pub user_ns: u64,
}

/// How often a Prometheus that is set up so would scrape.
const SCRAPE_EVERY: Duration = Duration::from_secs(1);
/// Size of the terminal: room for the summary record.
const COLUMNS: u16 = 200;
const ROWS: u16 = 50;
/// How long its CPU time is watched to see whether it has work left.
const WINDOW: Duration = Duration::from_millis(100);
/// CPU time in a window that is no work left.
const IDLE_NS: u64 = 3_000_000;
/// How long a peer may take until its programs are loaded.
const TO_LOAD: Duration = Duration::from_secs(5);
/// How long it may take to catch up.
const CATCH_UP: Duration = Duration::from_secs(60);
/// Name of the file with its standard output.
const OUTPUT: &str = "output";
/// How much of the end of a file may be the summary.
const TAIL: u64 = 64 << 10;

/// Debian's bpftrace, where it is installed, as the least that a tool of the same kind does.
pub fn bpftrace() -> Option<String> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .any(|folder| folder.join("bpftrace").is_file())
        .then(|| {
            "bpftrace -e 'tracepoint:sock:inet_sock_set_state { @[args->oldstate, args->newstate] = count(); }'".to_owned()
        })
}

impl Kind {
    /// As in the table.
    pub fn name(&self) -> &str {
        match self {
            Self::Tool(command) => command.name(),
            Self::Peer(line) => line,
        }
    }

    /// Starts it and waits until it is ready.
    pub fn start(&self) -> anyhow::Result<Subject> {
        let folder = Folder::new()?;
        let file = folder.file(OUTPUT)?;
        let into_file = |command| anyhow::Ok(Tool::launch_into(File::create(&file)?, command));
        let tool = |args: &[&str]| {
            let tool = into_file(tool::command(args))?;
            tool.await_ready();
            anyhow::Ok(Running::Tool(tool))
        };
        let running = match self {
            Self::Tool(Command::Hist) => tool(&["hist", "--summary"])?,
            Self::Tool(Command::Trace) => tool(&["trace", "--summary"])?,
            Self::Tool(Command::TraceJson) => tool(&["trace", "-J", "--summary"])?,
            Self::Tool(Command::Life) => tool(&["life", "--summary"])?,
            Self::Tool(Command::Record) => {
                let recording = folder.file("recording.arrows")?;
                tool(&["record", &recording, "--summary"])?
            }
            Self::Tool(Command::Serve) => {
                let served = Served::start(&["--summary"]);
                let scraper = Scraper::of(&served);
                Running::Scraped(served, scraper)
            }
            Self::Tool(Command::Top) => {
                let terminal = Terminal::start(&["top", "--summary"], COLUMNS, ROWS);
                terminal.wait_for_words("ESTABLISHED");
                Running::Terminal(terminal)
            }
            Self::Peer(line) => {
                let mut shell = process::Command::new("sh");
                shell.args(["-c", &format!("exec {line}")]);
                shell.stdin(Stdio::null());
                Running::Peer(with_programs(into_file(shell)?)?)
            }
        };
        let subject = Subject { running, folder };
        // A peer does not say when it is ready.
        subject.await_idle().context("while it starts")?;
        Ok(subject)
    }
}

impl Subject {
    /// Its process.
    pub fn pid(&self) -> u32 {
        match &self.running {
            Running::Tool(tool) | Running::Peer(tool) => tool.pid(),
            Running::Scraped(served, _) => served.pid(),
            Running::Terminal(terminal) => terminal.pid().as_raw().unsigned_abs(),
        }
    }

    /// What it has used of the CPUs so far.
    pub fn cpu(&self) -> anyhow::Result<Cpu> {
        let pid = Pid::from_raw(i32::try_from(self.pid())?);
        let clock = ClockId::pid_cpu_clock_id(pid).context("its CPU clock")?;
        let total = Duration::from(clock_gettime(clock)?);
        let total_ns = u64::try_from(total.as_nanos())?;
        // The division into two is coarser than the sum.
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let (_, fields) = stat.rsplit_once(") ").context("/proc/PID/stat")?;
        let mut ticks = fields.split(' ').skip(11).map(str::parse::<u64>);
        let mut next = || {
            ticks
                .next()
                .context("/proc/PID/stat")
                .map(|ticks| ticks.ok())
        };
        let (user, system) = (next()?.unwrap_or(0), next()?.unwrap_or(0));
        let share = user as f64 / (user + system).max(1) as f64;
        Ok(Cpu {
            total_ns,
            user_ns: (total_ns as f64 * share) as u64,
        })
    }

    /// Waits until it has nothing left to do, and returns how long that took.
    pub fn await_idle(&self) -> anyhow::Result<Duration> {
        let began = Instant::now();
        let mut before = self.cpu()?;
        loop {
            let took = began.elapsed();
            sleep(WINDOW);
            let now = self.cpu()?;
            if now.total_ns - before.total_ns < IDLE_NS {
                return Ok(took);
            }
            ensure!(took < CATCH_UP, "it is still busy after {CATCH_UP:?}");
            before = now;
        }
    }

    /// Memory that it has resident, bytes, without its BPF maps: of a ring that is mapped the kernel counts each page twice.
    pub fn resident_bytes(&self) -> anyhow::Result<u64> {
        let maps = fs::read_to_string(format!("/proc/{}/smaps", self.pid()))?;
        let (mut is_map, mut resident_kib) = (false, 0);
        for line in maps.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("Rss:") if !is_map => {
                    let kib = words.next().context("/proc/PID/smaps has no size")?;
                    resident_kib += kib.parse::<u64>()?;
                }
                // A mapping begins with its addresses, and ends with its name.
                Some(word) if !word.ends_with(':') => is_map = line.ends_with("anon_inode:bpf-map"),
                _ => {}
            }
        }
        Ok(resident_kib << 10)
    }

    /// The most memory that it has had resident, bytes.
    pub fn peak_bytes(&self) -> anyhow::Result<u64> {
        self.status_bytes("VmHWM:")
    }

    fn status_bytes(&self, name: &str) -> anyhow::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        let kib = kib.with_context(|| format!("/proc/PID/status has no {name}"))?;
        Ok(kib.parse::<u64>()? << 10)
    }

    /// Ends it as Ctrl-C does, and returns its summary; a peer has none.
    pub fn stop(self) -> anyhow::Result<Option<Summary>> {
        let text = match self.running {
            Running::Tool(tool) => {
                let run = tool.stop();
                ensure!(run.status.success(), "{run:#?}");
                last_line(&self.folder)?
            }
            Running::Peer(peer) => {
                let _ = peer.stop();
                String::new()
            }
            Running::Scraped(served, scraper) => {
                scraper.end();
                let run = served.stop();
                ensure!(run.status.success(), "{run:#?}");
                run.stdout.last().cloned().unwrap_or_default()
            }
            Running::Terminal(mut terminal) => {
                terminal.signal(Signal::SIGINT);
                let left = terminal.finish();
                ensure!(left.status.success(), "{left:#?}");
                // The terminal has broken the record into its lines.
                let text = left.lines.concat();
                let begin = text.find("{\"v\":").context("top has printed no summary")?;
                let end = text.rfind('}').context("its summary has no end")?;
                text[begin..=end].to_owned()
            }
        };
        let is_summary = text.contains("\"summary\":true");
        Ok(is_summary.then(|| Summary::read(&text)))
    }
}

/// Waits until the process has BPF programs, but not for long: a peer may work without.
fn with_programs(peer: Tool) -> anyhow::Result<Tool> {
    let began = Instant::now();
    while began.elapsed() < TO_LOAD && Objects::of_process(peer.pid()).programs.is_empty() {
        if !Path::new("/proc").join(peer.pid().to_string()).exists() {
            let run = peer.finish();
            bail!(
                "it ended at once, {}: {}",
                run.status,
                run.stderr.join("; ")
            );
        }
        sleep(WINDOW);
    }
    Ok(peer)
}

/// The last line of the output.
fn last_line(folder: &Folder) -> anyhow::Result<String> {
    let mut file = File::open(folder.file(OUTPUT)?)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    Ok(text.lines().last().unwrap_or_default().to_owned())
}

/// Where it writes its output; it goes with this value.
pub struct Folder(PathBuf);

impl Folder {
    /// A new one.
    pub fn new() -> anyhow::Result<Self> {
        // Not in memory, where a file would be part of what is measured.
        let path = PathBuf::from("/var/tmp").join(format!("tcpstate-bench-{}", process::id()));
        fs::create_dir(&path).with_context(|| format!("making {}", path.display()))?;
        Ok(Self(path))
    }

    /// The path of a file in it.
    pub fn file(&self, name: &str) -> anyhow::Result<String> {
        let path = self.0.join(name).into_os_string().into_string();
        path.ok().context("the folder's path is no UTF-8")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Scrapes on a thread until it is ended.
struct Scraper {
    end: Sender<()>,
    thread: JoinHandle<()>,
}

impl Scraper {
    fn of(served: &Served) -> Self {
        let address = served.address;
        let (end, ended) = channel();
        let thread = thread::spawn(move || {
            while ended.recv_timeout(SCRAPE_EVERY) == Err(RecvTimeoutError::Timeout) {
                let _ = http::get(address, "/metrics", &[]);
            }
        });
        Self { end, thread }
    }

    fn end(self) {
        drop(self.end);
        self.thread.join().expect("every scrape was answered");
    }
}
