//! What of the control socket has no end (docs/control.md): /v1/trace as lines of JSON, and
//! /v1/tcp, where after 101 the bytes are one connection's. A reader that is slow loses records, is
//! told how many, and never makes the stack wait. Called by control.rs.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ackorn::{Stack, TcpListener, TcpStream, TraceRecord};
use hyper::body::{Body, Bytes, Frame, Incoming};
use hyper::upgrade::OnUpgrade;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::interval;

use crate::control::{Refusal, refusal};

/// How often the trace ring is looked at: its records last far longer.
const TRACE_POLL: Duration = Duration::from_millis(20);
/// Lines that may wait for a slow reader.
const TRACE_QUEUE: usize = 8192;

/// A body of lines as they come; the stack's end is its end.
pub struct Lines {
    lines: Receiver<Bytes>,
}

impl Body for Lines {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let line = self.lines.poll_recv(context);
        line.map(|line| line.map(|line| Ok(Frame::data(line))))
    }
}

fn line(record: &TraceRecord, origin_us: u64) -> String {
    let TraceRecord {
        time_us,
        kind,
        index,
        local_port,
        remote_port,
        a,
        b,
        c,
    } = record;
    let record = json!({
        "timeUs": time_us,
        "kind": kind,
        "index": index,
        "localPort": local_port,
        "remotePort": remote_port,
        "a": a,
        "b": b,
        "c": c,
        "wallUs": origin_us + time_us,
    });
    format!("{record}\n")
}

async fn follow(stack: Stack, lines: Sender<Bytes>) {
    let wall = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let wall_us = u64::try_from(wall.as_micros()).unwrap_or_default();
    let origin_us = wall_us.saturating_sub(stack.now_us());
    let mut reader = stack.trace();
    drop(stack);
    let mut ticks = interval(TRACE_POLL);
    let (mut lost, mut told) = (0, 0);
    while !lines.is_closed() {
        ticks.tick().await;
        for record in reader.read() {
            let full = lines
                .try_send(Bytes::from(line(&record, origin_us)))
                .is_err();
            lost += u64::from(full);
        }
        let count = lost + reader.lost;
        if count > told {
            let line = json!({ "kind": "Lost", "count": count - told });
            let said = lines.try_send(Bytes::from(format!("{line}\n"))).is_ok();
            told = if said { count } else { told };
        }
    }
}

/// Trace records from now on.
pub fn trace(stack: &Stack) -> Lines {
    let (sender, lines) = channel(TRACE_QUEUE);
    tokio::spawn(follow(stack.clone(), sender));
    Lines { lines }
}

/// What an upgrade is answered with, and what its bytes are joined to.
pub struct Joined {
    pub local: SocketAddr,
    pub remote: SocketAddr,
    stream: TcpStream,
    upgrade: OnUpgrade,
}

fn gateway(error: &io::Error) -> Refusal {
    let number = error.raw_os_error().unwrap_or_default().cast_unsigned();
    let code = match ackorn::Errno(number).name() {
        "?" | "OK" => "EIO",
        name => name,
    };
    refusal(StatusCode::BAD_GATEWAY, code, error.to_string())
}

fn wrong(what: impl Into<String>) -> Refusal {
    refusal(StatusCode::BAD_REQUEST, "EINVAL", what)
}

/// The value of a word in a query.
fn word<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let found = pairs.into_iter().find(|(word, _)| *word == name);
    found.map(|(_, value)| value)
}

async fn open(stack: &Stack, query: &str) -> Result<TcpStream, Refusal> {
    let query = query
        .replace("%5B", "[")
        .replace("%5D", "]")
        .replace("%3A", ":");
    if let Some(text) = word(&query, "connect") {
        let to: SocketAddr = text
            .parse()
            .map_err(|_| wrong(format!("connect={text}: ADDRESS:PORT is wanted")))?;
        return TcpStream::connect(stack, to)
            .await
            .map_err(|error| gateway(&error));
    }
    let Some(text) = word(&query, "listen") else {
        return Err(wrong("connect=ADDRESS:PORT or listen=PORT is wanted"));
    };
    let port = text
        .parse()
        .map_err(|_| wrong(format!("listen={text}: a port is wanted")))?;
    let any = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port);
    let listener = TcpListener::bind(stack, any).map_err(|error| gateway(&error))?;
    let accepted = listener.accept().await;
    accepted
        .map(|(stream, _)| stream)
        .map_err(|error| gateway(&error))
}

/// Opens the connection that a request for /v1/tcp wants.
pub async fn connection(stack: &Stack, mut request: Request<Incoming>) -> Result<Joined, Refusal> {
    let wanted = request.headers().get(hyper::header::UPGRADE);
    if wanted.is_none_or(|protocol| protocol.as_bytes() != b"ackorn-tcp") {
        let what = "send Upgrade: ackorn-tcp";
        return Err(refusal(StatusCode::UPGRADE_REQUIRED, "EUPGRADE", what));
    }
    let upgrade = hyper::upgrade::on(&mut request);
    let stream = open(stack, request.uri().query().unwrap_or_default()).await?;
    let local = stream.local_addr().map_err(|error| gateway(&error))?;
    let remote = stream.peer_addr().map_err(|error| gateway(&error))?;
    Ok(Joined {
        local,
        remote,
        stream,
        upgrade,
    })
}

impl Joined {
    /// Ties both streams together, both half closes included; a client that leaves closes.
    pub fn join(mut self) {
        tokio::spawn(async move {
            let Ok(upgraded) = self.upgrade.await else {
                return;
            };
            let mut client = TokioIo::new(upgraded);
            let ended = tokio::io::copy_bidirectional(&mut client, &mut self.stream).await;
            if ended.is_err() {
                self.stream.abort();
            }
        });
    }
}
