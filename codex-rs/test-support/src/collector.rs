//! A collector of telemetry: OTLP over HTTP, on loopback.

use std::collections::VecDeque;
use std::io::{BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::otlp::{self, ReceivedMetric, ReceivedSpan};
use crate::request::{self, Received};

/// How a collector answers a request.
#[derive(Clone, Debug)]
pub enum CollectorReply {
    /// It takes everything.
    Accept,
    /// It rejects so many of the spans or points, with a text.
    Reject(u8, &'static str),
    /// It answers with this status and these headers, each with its line end.
    Status(u16, &'static str),
    /// It never answers.
    Silence,
}

/// A collector that keeps what it gets. Dropping it ends it.
#[derive(Debug)]
pub struct Collector {
    shared: Arc<Shared>,
    address: SocketAddr,
}

#[derive(Debug)]
struct Shared {
    /// What the next requests get; the last one stays.
    script: Mutex<VecDeque<CollectorReply>>,
    requests: Mutex<Vec<Received>>,
    stopping: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Collector {
    /// Starts one on a free port of 127.0.0.1. Requests get these replies in order, and the last
    /// one again and again; all is taken where there are none.
    ///
    /// # Panics
    /// When no port can be had.
    #[track_caller]
    pub fn start(script: Vec<CollectorReply>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .expect("the collector needs a port on 127.0.0.1");
        let address = listener
            .local_addr()
            .expect("a bound listener has an address");
        let shared = Arc::new(Shared {
            script: Mutex::new(script.into()),
            requests: Mutex::default(),
            stopping: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for connection in listener.incoming().map_while(Result::ok) {
                if accepting.stopping.load(Ordering::Relaxed) {
                    return;
                }
                let shared = Arc::clone(&accepting);
                thread::spawn(move || serve(connection, &shared));
            }
        });
        Self { shared, address }
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Every request so far.
    pub fn requests(&self) -> Vec<Received> {
        lock(&self.shared.requests).clone()
    }

    /// Every span so far, whatever the answer was.
    ///
    /// # Panics
    /// When a request is no `ExportTraceServiceRequest`.
    #[track_caller]
    pub fn spans(&self) -> Vec<ReceivedSpan> {
        let requests = self.requests();
        let traces = requests.iter().filter(|r| r.path.ends_with("/v1/traces"));
        traces.flat_map(|r| otlp::spans(&r.bytes)).collect()
    }

    /// The metrics of each request so far.
    ///
    /// # Panics
    /// When a request is no `ExportMetricsServiceRequest`.
    #[track_caller]
    pub fn metrics(&self) -> Vec<Vec<ReceivedMetric>> {
        let requests = self.requests();
        let metrics = requests.iter().filter(|r| r.path.ends_with("/v1/metrics"));
        metrics.map(|r| otlp::metrics(&r.bytes)).collect()
    }

    /// Waits until `done` holds.
    ///
    /// # Panics
    /// When that has not happened `within` this time.
    #[track_caller]
    pub fn wait_until(&self, within: Duration, done: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !done(self) {
            assert!(
                start.elapsed() < within,
                "the collector got {} requests within {within:?}",
                self.requests().len()
            );
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts; it may be gone.
        let _ = TcpStream::connect(self.address);
    }
}

/// The text that `gzip` made these bytes of.
fn inflated(bytes: Vec<u8>) -> Vec<u8> {
    let child = Command::new("gzip")
        .arg("-dc")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let mut child = child.expect("reading gzip takes the program of that name");
    let mut stdin = child.stdin.take().expect("a pipe was asked for");
    let writing = thread::spawn(move || stdin.write_all(&bytes));
    let output = child.wait_with_output().expect("gzip can be waited for");
    let written = writing.join();
    assert!(
        output.status.success() && matches!(written, Ok(Ok(()))),
        "gzip could not read a request"
    );
    output.stdout
}

fn serve(connection: TcpStream, shared: &Shared) {
    let Ok(mut writer) = connection.try_clone() else {
        return;
    };
    let mut reader = BufReader::new(connection);
    while let Ok(mut received) = request::read(&mut reader) {
        if received.header("content-encoding") == Some("gzip") {
            received.bytes = inflated(received.bytes);
        }
        lock(&shared.requests).push(received);
        let reply = {
            let mut script = lock(&shared.script);
            match script.len() {
                0 => CollectorReply::Accept,
                1 => script[0].clone(),
                _ => script.pop_front().unwrap_or(CollectorReply::Accept),
            }
        };
        let answer = |status: u16, headers: &str, body: &[u8]| {
            let length = body.len();
            let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n{headers}\r\n");
            [head.as_bytes(), body].concat()
        };
        let bytes = match reply {
            CollectorReply::Accept => answer(200, "", &[]),
            CollectorReply::Reject(count, why) => answer(200, "", &otlp::rejection(count, why)),
            CollectorReply::Status(status, headers) => answer(status, headers, &[]),
            CollectorReply::Silence => {
                while !shared.stopping.load(Ordering::Relaxed) {
                    thread::sleep(Duration::from_millis(20));
                }
                return;
            }
        };
        if writer.write_all(&bytes).is_err() {
            return;
        }
    }
}
