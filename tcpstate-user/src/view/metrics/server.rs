//! The HTTP server, on a thread of its own: it asks the view for a snapshot, and renders and sends it. Nothing that a
//! client does or leaves undone reaches the measurement.
//!
//! Invariant: connections are bounded, and the newest always finds room: where there is none, the oldest is closed. So
//! clients that hold theirs open cannot keep a scrape out.
use std::{
    collections::VecDeque,
    convert::Infallible,
    net::{SocketAddr, TcpListener},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

use anyhow::{Context as _, anyhow};
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{ACCEPT, ALLOW, CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus::{TEXT_FORMAT, TextEncoder};
use tokio::{
    net::TcpStream,
    sync::{mpsc, oneshot},
    time::{sleep, timeout},
};

use super::{
    Snapshot, Wish,
    families::{self, Surroundings},
    negotiate::Format,
    openmetrics,
    overflows::{Followed, Overflows},
    ports,
    process::Usage,
};
use crate::{netns::Netns, privilege, source::kernel::Tier};

/// Connections at most: some more than one would ever need, each worth up to about 100 KiB.
const CONNECTIONS: usize = 128;
/// How long a request's head may take; also how long a connection may wait for its next request, so that one that
/// scrapes every minute keeps its connection.
const HEAD: Duration = Duration::from_secs(75);
/// The largest head of a request, bytes.
const HEAD_BYTES: usize = 16 << 10;
/// How long a scrape waits for the measurement.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long to wait when no connection can be accepted, because the process has no file descriptor left.
const PAUSE: Duration = Duration::from_millis(100);

const PAGE: &str = "<!DOCTYPE html>
<html lang=\"en\"><title>tcpstate</title>
<h1>tcpstate</h1>
<p><a href=\"/metrics\">/metrics</a>: TCP states of this host for Prometheus</p>
<p><a href=\"/healthz\">/healthz</a>: whether the measurement runs</p>
</html>
";

/// A server that listens, and serves until it is stopped.
pub struct Server {
    address: SocketAddr,
    end: oneshot::Sender<()>,
    thread: JoinHandle<anyhow::Result<()>>,
}

impl Server {
    /// Listens at `address` and sends what is asked for to `wishes`. Shows the ephemeral ports of `netns`, and counts
    /// overflows where all connections of some namespaces are `followed`.
    ///
    /// # Errors
    /// The address is taken or is not ours.
    pub fn start(
        address: SocketAddr,
        netns: Netns,
        followed: Option<Followed>,
        wishes: mpsc::Sender<Wish>,
    ) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(address).map_err(|error| {
            anyhow!("listening at {address}: {error}; choose another address or port with --listen")
        })?;
        listener.set_nonblocking(true).context("listening")?;
        let address = listener.local_addr().context("listening")?;
        let desk = Arc::new(Desk::new(netns, followed, wishes)?);
        let (end, ended) = oneshot::channel();
        let thread = privilege::spawn("http", move || serve(listener, &desk, ended))
            .context("starting the server's thread")?;
        Ok(Self {
            address,
            end,
            thread,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops it.
    ///
    /// # Errors
    /// It had failed before.
    pub fn stop(self) -> anyhow::Result<()> {
        let _ = self.end.send(()); // fails if it has ended by itself
        self.thread
            .join()
            .map_err(|_| anyhow!("the server's thread panicked"))?
    }
}

fn serve(
    listener: TcpListener,
    desk: &Arc<Desk>,
    mut ended: oneshot::Receiver<()>,
) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the server's runtime")?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener).context("listening")?;
        let mut open = VecDeque::new();
        loop {
            let accepted = tokio::select! {
                _ = &mut ended => return Ok(()),
                accepted = listener.accept() => accepted,
            };
            let Ok((stream, _)) = accepted else {
                sleep(PAUSE).await;
                continue;
            };
            open.retain(|task: &tokio::task::AbortHandle| !task.is_finished());
            if open.len() == CONNECTIONS
                && let Some(oldest) = open.pop_front()
            {
                oldest.abort();
            }
            let task = tokio::spawn(connection(stream, Arc::clone(desk)));
            open.push_back(task.abort_handle());
        }
    })
}

/// Serves one client until it goes, or is too slow.
async fn connection(stream: TcpStream, desk: Arc<Desk>) {
    let answer = service_fn(|request| {
        let desk = &desk;
        async move { Ok::<_, Infallible>(desk.answer(&request).await) }
    });
    // What goes wrong with one client is of no interest to anybody else.
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), answer)
        .await;
}

/// What answers requests.
struct Desk {
    wishes: mpsc::Sender<Wish>,
    /// Whose ephemeral ports are shown.
    netns: Netns,
    overflows: Option<Arc<Mutex<Overflows>>>,
    /// Release of the kernel.
    kernel: String,
    last: Mutex<Option<Snapshot>>,
}

impl Desk {
    fn new(
        netns: Netns,
        followed: Option<Followed>,
        wishes: mpsc::Sender<Wish>,
    ) -> anyhow::Result<Self> {
        let path = "/proc/sys/kernel/osrelease";
        let kernel = std::fs::read_to_string(path).with_context(|| format!("reading {path}"))?;
        Ok(Self {
            wishes,
            netns,
            overflows: followed.map(|all| Arc::new(Mutex::new(Overflows::since_now(all)))),
            kernel: kernel.trim().to_owned(),
            last: Mutex::default(),
        })
    }

    async fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut refusal = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
            refusal
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return refusal;
        }
        match request.uri().path() {
            "/metrics" => self.metrics(request).await,
            "/healthz" => match self.snapshot().await {
                Some(_) => text(StatusCode::OK, "ok\n"),
                None => silent(),
            },
            "/" => response(StatusCode::OK, "text/html; charset=utf-8", PAGE.into()),
            _ => text(StatusCode::NOT_FOUND, "there are /metrics and /healthz\n"),
        }
    }

    async fn metrics(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let Some(snapshot) = self.snapshot().await else {
            return silent();
        };
        let accept: Vec<&str> = request
            .headers()
            .get_all(ACCEPT)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .collect();
        let format = Format::preferred(&accept.join(","));
        let around = Surroundings {
            kernel: self.kernel.clone(),
            available_ports: ports::available(&self.netns).ok(),
            tw_overflows: self.overflows(&snapshot).await,
            process: Usage::read().ok(),
        };
        match render(&snapshot, &around, format) {
            Ok((media_type, text)) => response(StatusCode::OK, media_type, text),
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &format!("{error:#}\n")),
        }
    }

    /// Overflows by the kernel's counter, where it knows more than the probes.
    async fn overflows(&self, snapshot: &Snapshot) -> Option<u64> {
        let overflows = Arc::clone(self.overflows.as_ref()?);
        if snapshot.probes == Tier::Fentry.to_string() {
            return None;
        }
        let count = move || lock(&overflows).count();
        tokio::task::spawn_blocking(count).await.ok()
    }

    /// The numbers of now, or of a moment ago; `None` if the measurement does not answer.
    async fn snapshot(&self) -> Option<Snapshot> {
        if let Some(last) = lock(&self.last).as_ref().filter(|last| last.is_fresh()) {
            return Some(last.clone());
        }
        let asked = async {
            let (wish, snapshot) = oneshot::channel();
            self.wishes.send(wish).await.ok()?;
            snapshot.await.ok()
        };
        let snapshot = timeout(PATIENCE, asked).await.ok()??;
        *lock(&self.last) = Some(snapshot.clone());
        Some(snapshot)
    }
}

/// What a panic elsewhere has left is still good: these are numbers.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The metrics as text, and its media type.
fn render(
    snapshot: &Snapshot,
    around: &Surroundings,
    format: Format,
) -> anyhow::Result<(&'static str, String)> {
    let families = families::all(snapshot, around);
    let mut text = String::new();
    let media_type = match format {
        Format::Plain => {
            TextEncoder::new().encode_utf8(&families, &mut text)?;
            TEXT_FORMAT
        }
        Format::OpenMetrics => {
            openmetrics::encode(&families, &mut text)?;
            openmetrics::MEDIA_TYPE
        }
    };
    Ok((media_type, text))
}

fn silent() -> Response<Full<Bytes>> {
    text(
        StatusCode::SERVICE_UNAVAILABLE,
        "the measurement does not answer; it starts, ends or is overloaded\n",
    )
}

fn text(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    response(status, "text/plain; charset=utf-8", text.to_owned())
}

fn response(status: StatusCode, media_type: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}
