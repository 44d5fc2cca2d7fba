//! The control socket's server (docs/control.md): HTTP/1.1 with JSON over a Unix socket of mode
//! 0600. Documents here, what has no end in streams.rs; dump and ping are not there yet and answer
//! 404. Called by main.rs. May never slow the stack or end its process.

use std::convert::Infallible;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use std::{env, fs};

use ackorn::{Error, SocketRecord, Stack, abi};
use http_body_util::{BodyExt, Either, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderValue, UPGRADE};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Map, Value, json};
use tokio::net::{UnixListener, UnixStream};

use crate::board::Board;
use crate::links;
use crate::streams::{self, Joined, Lines};
use crate::sysctl;

const BODY_BYTES_MAX: usize = 64 * 1024;

/// What the documents are made of.
pub struct Facts {
    pub board: Board,
    pub stack: Stack,
    pub link: (String, u32, u32),
    started_ms: u64,
}

impl Facts {
    pub fn new(board: Board, stack: Stack, link: (String, u32, u32)) -> Facts {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Facts {
            board,
            stack,
            link,
            started_ms: u64::try_from(now.as_millis()).unwrap_or_default(),
        }
    }
}

type Answer = Response<Either<Full<Bytes>, Lines>>;

/// An answer that is an error.
pub struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: String,
    allow: Option<&'static str>,
}

pub fn refusal(status: StatusCode, code: &'static str, message: impl Into<String>) -> Refusal {
    Refusal {
        status,
        code,
        message: message.into(),
        allow: None,
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Refusal {
        refusal(StatusCode::INTERNAL_SERVER_ERROR, "EIO", error.to_string())
    }
}

fn stack_document(facts: &Facts) -> Value {
    let Board {
        name,
        addresses,
        peer_addresses,
        services,
        http,
        ..
    } = &facts.board;
    let texts = |cidrs: &[ackorn::Cidr]| cidrs.iter().map(ToString::to_string).collect::<Vec<_>>();
    let files = http
        .iter()
        .map(|(port, directory)| json!({ "name": "http", "port": port, "directory": directory }));
    let ports = services
        .iter()
        .map(|(name, port)| json!({ "name": name, "port": port }));
    let services: Vec<_> = files.chain(ports).collect();
    let (link, mtu, flags) = &facts.link;
    json!({
        "name": name,
        "startedAt": facts.started_ms,
        "netns": { "kind": "host" },
        "host": "wasmtime",
        "abi": abi::ABI_VERSION,
        "pid": std::process::id(),
        "link": { "name": link, "mtu": mtu, "flags": flags },
        "addresses": texts(addresses),
        "peerAddresses": texts(peer_addresses),
        "services": services,
        "impair": Value::Null,
    })
}

fn socket_document(record: &SocketRecord) -> Value {
    let end = |at: &std::net::SocketAddr| json!({ "address": at.ip(), "port": at.port() });
    let mut document = json!({
        "kind": record.kind,
        "index": record.index,
        "generation": record.generation,
        "state": record.state,
        "local": end(&record.local),
        "remote": end(&record.remote),
        "recvQ": record.recv_q,
        "sendQ": record.send_q,
        "timer": record.timer,
        "timerUs": record.timer_us,
        "retransmits": record.retransmits,
        "memoryBytes": record.memory_bytes,
    });
    if let Some(info) = &record.info {
        let mut fields: Map<_, _> = info
            .numbers()
            .map(|(name, value)| (name.to_owned(), json!(value)))
            .collect();
        fields.insert("state".to_owned(), json!(info.state()));
        fields.insert("congestion".to_owned(), json!(info.congestion()));
        document["info"] = Value::Object(fields);
    }
    document
}

fn sockets(stack: &Stack) -> Result<Value, Refusal> {
    let records = stack.sockets()?;
    let documents: Vec<_> = records.iter().map(socket_document).collect();
    Ok(json!({ "sockets": documents }))
}

fn named<T: Into<Value>>(pairs: Vec<(&'static str, T)>) -> Value {
    let pairs = pairs.into_iter();
    Value::Object(
        pairs
            .map(|(name, value)| (name.to_owned(), value.into()))
            .collect(),
    )
}

fn pools(stack: &Stack) -> Result<Value, Refusal> {
    let mut pools = Map::new();
    for pool in stack.pools()? {
        let record = json!({
            "used": pool.used,
            "capacity": pool.capacity,
            "highWater": pool.high_water,
            "refused": pool.refused,
        });
        pools.insert(pool.name.to_owned(), record);
    }
    Ok(json!({ "pools": pools, "hashLongest": stack.hash_longest()? }))
}

fn sysctls(stack: &Stack) -> Value {
    json!({ "sysctl": named(stack.sysctls()) })
}

/// A value of a body as a user would write it.
fn as_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(as_text).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}

/// Sets what a body names; all names are judged before any is set.
fn set_sysctls(stack: &Stack, body: &[u8]) -> Result<Value, Refusal> {
    let text = if body.is_empty() { b"{}" } else { body };
    let Ok(Value::Object(wanted)) = serde_json::from_slice(text) else {
        let what = "the body is no JSON object";
        return Err(refusal(StatusCode::BAD_REQUEST, "EINVAL", what));
    };
    let mut words = Vec::new();
    for (name, value) in &wanted {
        let judged = sysctl::sysctl(name, &as_text(value));
        words.extend(judged.map_err(|why| refusal(StatusCode::BAD_REQUEST, "EINVAL", why))?);
    }
    for (name, value) in words {
        stack
            .set_sysctl(&name, value)
            .map_err(|error| match error {
                Error::Refused { .. } => {
                    let why = format!("{name} cannot be {value}: {error}");
                    refusal(StatusCode::CONFLICT, "EINVAL", why)
                }
                other => other.into(),
            })?;
    }
    Ok(sysctls(stack))
}

fn allowed(path: &str) -> Option<&'static str> {
    match path {
        "/v1/stack" | "/v1/links" | "/v1/sockets" | "/v1/counters" | "/v1/pools" | "/v1/trace"
        | "/v1/tcp" => Some("GET"),
        "/v1/sysctl" => Some("GET, PUT"),
        _ => None,
    }
}

async fn body_of(request: Request<Incoming>) -> Result<Bytes, Refusal> {
    let body = Limited::new(request.into_body(), BODY_BYTES_MAX)
        .collect()
        .await;
    match body {
        Ok(body) => Ok(body.to_bytes()),
        Err(_) => {
            let what = "the body is too long";
            Err(refusal(StatusCode::PAYLOAD_TOO_LARGE, "EMSGSIZE", what))
        }
    }
}

async fn route(facts: &Facts, request: Request<Incoming>) -> Result<Value, Refusal> {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let stack = &facts.stack;
    match (&method, path.as_str()) {
        (&Method::GET, "/v1/stack") => Ok(stack_document(facts)),
        (&Method::GET, "/v1/links") => Ok(links::document(stack, &facts.link.0)?),
        (&Method::GET, "/v1/sockets") => sockets(stack),
        (&Method::GET, "/v1/counters") => Ok(json!({ "counters": named(stack.counters()) })),
        (&Method::GET, "/v1/pools") => pools(stack),
        (&Method::GET, "/v1/sysctl") => Ok(sysctls(stack)),
        (&Method::PUT, "/v1/sysctl") => set_sysctls(stack, &body_of(request).await?),
        (method, path) => match allowed(path) {
            Some(allow) => Err(Refusal {
                allow: Some(allow),
                ..refusal(
                    StatusCode::METHOD_NOT_ALLOWED,
                    "EMETHOD",
                    format!("{method} is not allowed here"),
                )
            }),
            None => {
                let what = format!("there is no {path}; docs/control.md has the list");
                Err(refusal(StatusCode::NOT_FOUND, "ENOENT", what))
            }
        },
    }
}

fn answer(routed: Result<Value, Refusal>) -> Answer {
    let (status, allow, value) = match routed {
        Ok(value) => (StatusCode::OK, None, value),
        Err(Refusal {
            status,
            code,
            message,
            allow,
        }) => {
            let error = json!({ "error": { "code": code, "message": message } });
            (status, allow, error)
        }
    };
    let body = Full::new(Bytes::from(format!("{value}\n")));
    let mut response = Response::new(Either::Left(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(allow) = allow {
        headers.insert(ALLOW, HeaderValue::from_static(allow));
    }
    response
}

fn lines(lines: Lines) -> Answer {
    let mut response = Response::new(Either::Right(lines));
    let kind = HeaderValue::from_static("application/x-ndjson");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// 101, and from then on the bytes are the connection's.
fn switched(joined: Joined) -> Answer {
    let mut response = Response::new(Either::Left(Full::new(Bytes::new())));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("ackorn-tcp"));
    for (name, end) in [
        ("ackorn-local", joined.local),
        ("ackorn-remote", joined.remote),
    ] {
        if let Ok(value) = HeaderValue::from_str(&end.to_string()) {
            headers.insert(name, value);
        }
    }
    joined.join();
    response
}

async fn respond(facts: &Facts, request: Request<Incoming>) -> Answer {
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/v1/trace") => lines(streams::trace(&facts.stack)),
        (&Method::GET, "/v1/tcp") => match streams::connection(&facts.stack, request).await {
            Ok(joined) => switched(joined),
            Err(refusal) => answer(Err(refusal)),
        },
        _ => answer(route(facts, request).await),
    }
}

async fn exchange(facts: Arc<Facts>, stream: UnixStream) {
    let service = service_fn(move |request| {
        let facts = Arc::clone(&facts);
        async move { Ok::<_, Infallible>(respond(&facts, request).await) }
    });
    let serving = hyper::server::conn::http1::Builder::new();
    let connection = serving.serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.with_upgrades().await {
        tracing::debug!(%error, "control");
    }
}

/// Where the socket is when the board does not say.
fn folder() -> PathBuf {
    if let Some(folder) = env::var_os("ACKORN_RUNTIME_DIR") {
        return PathBuf::from(folder);
    }
    match env::var_os("XDG_RUNTIME_DIR") {
        Some(folder) => Path::new(&folder).join("ackorn"),
        None => PathBuf::from("/run/ackorn"),
    }
}

/// A socket that is gone when the daemon ends.
pub struct Control {
    path: PathBuf,
}

impl Control {
    /// Listens, of mode 0600 in a folder of mode 0700. One that nobody listens on is replaced.
    ///
    /// # Errors
    /// Another stack listens there, or the socket cannot be made.
    pub fn start(facts: Facts) -> io::Result<Control> {
        let path = match &facts.board.control {
            Some(path) => path.clone(),
            None => folder().join(format!("{}.sock", facts.board.name)),
        };
        if let Some(folder) = path.parent() {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)?;
        }
        if std::os::unix::net::UnixStream::connect(&path).is_ok() {
            let what = format!("{}: a stack listens there", path.display());
            return Err(io::Error::new(io::ErrorKind::AddrInUse, what));
        }
        let _ = fs::remove_file(&path); // nobody listens on it
        let listener = UnixListener::bind(&path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        let facts = Arc::new(facts);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(exchange(Arc::clone(&facts), stream));
            }
        });
        Ok(Control { path })
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path); // somebody else may have removed it
    }
}
