//! Files of one directory over HTTP/1.1 (RFC 9110, 9112): GET and HEAD, hyper's parser and framing
//! on the stack's streams. Nothing outside of the directory is given out, whatever the path or its
//! links say; names that begin with a dot are hidden. Called by main.rs. Knows nothing of TCP.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use ackorn::{Stack, TcpListener, TcpStream};
use http_body_util::{Either, Empty, Full};
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue, LOCATION};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::fs::File;
use tokio::io::{AsyncRead, ReadBuf};

/// Of a file, at a time: as much as a super-segment holds.
const CHUNK_BYTES: usize = 65_536;

const TYPES: &[(&str, &str)] = &[
    ("css", "text/css; charset=utf-8"),
    ("gif", "image/gif"),
    ("html", "text/html; charset=utf-8"),
    ("jpg", "image/jpeg"),
    ("js", "text/javascript; charset=utf-8"),
    ("json", "application/json"),
    ("png", "image/png"),
    ("svg", "image/svg+xml"),
    ("txt", "text/plain; charset=utf-8"),
    ("wasm", "application/wasm"),
];

/// A file's bytes, as many as it had when it was opened.
struct Contents {
    file: File,
    left: u64,
}

impl Body for Contents {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let most = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(CHUNK_BYTES);
        let mut chunk = vec![0; most];
        let mut room = ReadBuf::new(&mut chunk);
        ready!(Pin::new(&mut self.file).poll_read(context, &mut room))?;
        let length = room.filled().len();
        if length == 0 {
            // The length is promised already: only a broken connection tells the truth.
            return Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into())));
        }
        chunk.truncate(length);
        self.left -= length as u64;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from(chunk)))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

type Answer = Response<Either<Contents, Either<Full<Bytes>, Empty<Bytes>>>>;

fn said(status: StatusCode) -> Answer {
    let text = Bytes::from(format!("{status}\n"));
    let mut response = Response::new(Either::Right(Either::Left(Full::new(text))));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// Percent-decoded (RFC 3986 §2.1); none for what is no such text or holds a NUL.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        let value = digit()? * 16 + digit()?;
        bytes.push(u8::try_from(value).ok().filter(|byte| *byte != 0)?);
    }
    String::from_utf8(bytes).ok()
}

/// Where a path of a request lies below `root`, links followed; none outside of it.
fn place(root: &Path, path: &str) -> Result<PathBuf, StatusCode> {
    if path.to_ascii_lowercase().contains("%2f") {
        return Err(StatusCode::BAD_REQUEST);
    }
    let path = decoded(path).ok_or(StatusCode::BAD_REQUEST)?;
    let mut place = root.to_owned();
    for part in path.split('/').filter(|part| !part.is_empty()) {
        match part {
            "." | ".." => return Err(StatusCode::FORBIDDEN),
            _ if part.starts_with('.') => return Err(StatusCode::NOT_FOUND),
            _ => {}
        }
        place.push(part);
    }
    let place = place.canonicalize().map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => StatusCode::FORBIDDEN,
        _ => StatusCode::NOT_FOUND,
    })?;
    if place.starts_with(root) {
        Ok(place)
    } else {
        Err(StatusCode::FORBIDDEN)
    }
}

async fn get(root: &Path, path: &str) -> Result<Answer, StatusCode> {
    let mut file = place(root, path)?;
    if file.is_dir() {
        if !path.ends_with('/') {
            let mut moved = said(StatusCode::MOVED_PERMANENTLY);
            let to =
                HeaderValue::from_str(&format!("{path}/")).map_err(|_| StatusCode::BAD_REQUEST)?;
            moved.headers_mut().insert(LOCATION, to);
            return Ok(moved);
        }
        file = place(root, &format!("{path}index.html"))?;
    }
    let opened = File::open(&file).await.map_err(|_| StatusCode::FORBIDDEN)?;
    let data = opened.metadata().await.map_err(|_| StatusCode::FORBIDDEN)?;
    if !data.is_file() {
        return Err(StatusCode::FORBIDDEN);
    }
    let left = data.len();
    let extension = file
        .extension()
        .and_then(|extension| extension.to_str())
        .unwrap_or("");
    let found = TYPES.iter().find(|(name, _)| *name == extension);
    let kind = found.map_or("application/octet-stream", |(_, kind)| *kind);
    let mut response = Response::new(Either::Left(Contents { file: opened, left }));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    Ok(response)
}

async fn respond(root: &Path, request: &Request<Incoming>) -> Answer {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refused = said(StatusCode::METHOD_NOT_ALLOWED);
        refused
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    get(root, request.uri().path()).await.unwrap_or_else(said)
}

async fn serve(root: Arc<PathBuf>, stream: TcpStream, peer: SocketAddr) {
    let service = service_fn(move |request: Request<Incoming>| {
        let root = Arc::clone(&root);
        async move {
            let answer = respond(&root, &request).await;
            let (method, path) = (request.method(), request.uri().path());
            tracing::debug!(%peer, %method, path, status = answer.status().as_u16(), "http");
            Ok::<_, Infallible>(answer)
        }
    });
    let mut serving = hyper::server::conn::http1::Builder::new();
    let connection = serving
        .half_close(true)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!(%peer, %error, "http");
    }
}

/// Listens on every address of the stack and serves until the stack ends.
///
/// # Errors
/// The directory is none, or the port cannot be had.
pub fn start(stack: &Stack, directory: &Path, port: u16) -> io::Result<()> {
    let root = Arc::new(directory.canonicalize()?);
    if !root.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    let any = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port);
    let listener = TcpListener::bind(stack, any)?;
    tokio::spawn(async move {
        while let Ok((stream, peer)) = listener.accept().await {
            tokio::spawn(serve(Arc::clone(&root), stream, peer));
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_outside_of_the_directory_has_a_place() {
        let root = std::env::temp_dir().join(format!("ackornd-http-{}", std::process::id()));
        std::fs::create_dir_all(root.join("a b")).unwrap();
        std::fs::write(root.join("a b/c.txt"), "x").unwrap();
        std::os::unix::fs::symlink("/etc", root.join("out")).unwrap();
        let root = root.canonicalize().unwrap();
        let good = root.join("a b/c.txt");
        assert_eq!(place(&root, "/a%20b//c.txt"), Ok(good));
        assert_eq!(place(&root, "/"), Ok(root.clone()));
        let bad = [
            ("/../etc/passwd", StatusCode::FORBIDDEN),
            ("/%2e%2e/etc/passwd", StatusCode::FORBIDDEN),
            ("/a%20b/%2e%2e%2f..", StatusCode::BAD_REQUEST),
            ("/out/passwd", StatusCode::FORBIDDEN),
            ("/none", StatusCode::NOT_FOUND),
            ("/.hidden", StatusCode::NOT_FOUND),
            ("/%00", StatusCode::BAD_REQUEST),
            ("/%zz", StatusCode::BAD_REQUEST),
            ("/%ff", StatusCode::BAD_REQUEST),
        ];
        for (path, status) in bad {
            assert_eq!(place(&root, path), Err(status), "{path}");
        }
        std::fs::remove_dir_all(&root).unwrap();
    }
}
