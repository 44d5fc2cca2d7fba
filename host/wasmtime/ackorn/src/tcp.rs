//! TCP's user calls (RFC 9293 §3.9.1) in the shape of tokio's own `net`: a listener that accepts,
//! a stream that reads and writes. Bytes are copied once, between the caller's buffer and the
//! engine's streams. Decides nothing of TCP.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::abi::{self, errno, option};
use crate::address;
use crate::error::{Error, checked};
use crate::inner::{Id, Inner};
use crate::inspect::TcpInfo;
use crate::stack::{Handle, Stack};

const EAGAIN: i32 = -(errno::EAGAIN as i32);

/// Established connections that may wait to be accepted, as tokio has it; at most somaxconn.
const BACKLOG: u32 = 1024;

/// How a listener is made.
#[derive(Clone, Copy, Debug)]
pub struct ListenOptions {
    /// Established connections that may wait to be accepted, at most `somaxconn`.
    pub backlog: u32,
    /// `::` alone means every address of both families.
    pub v6_only: bool,
}

impl Default for ListenOptions {
    fn default() -> ListenOptions {
        ListenOptions {
            backlog: BACKLOG,
            v6_only: false,
        }
    }
}

/// The number of an option by its name on Linux: `TCP_NODELAY`, `SO_RCVBUF`.
///
/// # Errors
/// `InvalidInput`: no such option.
pub fn option_by_name(name: &str) -> io::Result<u32> {
    let number = abi::number_of(option::NAMES, name);
    number.ok_or_else(|| {
        let what = format!("no socket option {name}");
        io::Error::new(io::ErrorKind::InvalidInput, what)
    })
}

/// Waits for connections on one port of a stack.
pub struct TcpListener {
    handle: Arc<Handle>,
    id: Id,
    port: u16,
}

impl TcpListener {
    /// Passive OPEN. Port 0 lets the engine choose; an unspecified address means every address of
    /// the stack, of both families.
    ///
    /// # Errors
    /// EADDRINUSE, EADDRNOTAVAIL, ENFILE, as Linux's bind and listen.
    pub fn bind(stack: &Stack, at: SocketAddr) -> io::Result<TcpListener> {
        TcpListener::bind_with(stack, at, ListenOptions::default())
    }

    /// The same with a backlog or for IPv6 alone.
    ///
    /// # Errors
    /// As `bind`.
    pub fn bind_with(
        stack: &Stack,
        at: SocketAddr,
        options: ListenOptions,
    ) -> io::Result<TcpListener> {
        let [a0, a1, a2, a3] = address::words(at.ip());
        let only = if options.v6_only {
            abi::LISTEN_V6ONLY
        } else {
            0
        };
        let flags = abi::LISTEN_REUSEADDR | only;
        let (port, backlog) = (u32::from(at.port()), options.backlog);
        let mut inner = stack.handle.shared.lock();
        let index = inner.call("listen", |engine| {
            engine.tcp_listen(a0, a1, a2, a3, port, backlog, flags)
        })?;
        let id = Id {
            index,
            generation: inner.engine.result(0),
        };
        let port = u16::try_from(inner.engine.result(1)).unwrap_or_default();
        inner.listeners.attach(id);
        Ok(TcpListener {
            handle: Arc::clone(&stack.handle),
            id,
            port,
        })
    }

    /// The port, also when the engine chose it.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Sets an option that connections inherit; `abi::option` or `option_by_name`.
    ///
    /// # Errors
    /// ENOPROTOOPT, EINVAL.
    pub fn set_option(&self, option: u32, value: u32) -> io::Result<()> {
        let Id { index, generation } = self.id;
        self.handle.shared.lock().call("setsockopt", |engine| {
            engine.listener_set_option(index, generation, option, value)
        })?;
        Ok(())
    }

    /// Takes the next connection out of the queue.
    ///
    /// # Errors
    /// The stack has ended.
    pub fn poll_accept(
        &self,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        let Id { index, generation } = self.id;
        let mut inner = self.handle.shared.lock();
        let got = inner.number(|engine| engine.tcp_accept(index, generation))?;
        if got == EAGAIN {
            if let Some(slot) = inner.listeners.get(self.id) {
                slot.reader = Some(context.waker().clone());
            }
            return Poll::Pending;
        }
        let id = Id {
            index: checked("accept", got)?,
            generation: inner.engine.result(0),
        };
        inner.connections.attach(id);
        inner.request();
        drop(inner);
        let stream = TcpStream {
            handle: Arc::clone(&self.handle),
            id,
        };
        // A connection that was reset in the queue has no peer any more; reading it says so.
        let any = SocketAddr::new(IpAddr::from([0; 16]), 0);
        let peer = stream.peer_addr().unwrap_or(any);
        Poll::Ready(Ok((stream, peer)))
    }

    /// Waits for the next connection and its peer's address.
    ///
    /// # Errors
    /// The stack has ended.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        poll_fn(|context| self.poll_accept(context)).await
    }
}

/// Stops listening: what is half open or not accepted is reset.
impl Drop for TcpListener {
    fn drop(&mut self) {
        let Id { index, generation } = self.id;
        let mut inner = self.handle.shared.lock();
        // A stack that has ended has no listeners any more.
        let _ = inner.number(|engine| engine.listener_close(index, generation));
        inner.request();
    }
}

/// A connection.
pub struct TcpStream {
    handle: Arc<Handle>,
    id: Id,
}

impl TcpStream {
    /// Active OPEN; resolves when the connection is established.
    ///
    /// # Errors
    /// ECONNREFUSED, ETIMEDOUT, EHOSTUNREACH, ENETUNREACH, EADDRNOTAVAIL, ENFILE, …
    pub async fn connect(stack: &Stack, to: SocketAddr) -> io::Result<TcpStream> {
        TcpStream::connect_with(stack, to, None, &[]).await
    }

    /// The same from an address and port of one's own, with options set before the SYN.
    ///
    /// # Errors
    /// As `connect`; and EADDRINUSE, ENOPROTOOPT, EINVAL.
    pub async fn connect_with(
        stack: &Stack,
        to: SocketAddr,
        from: Option<SocketAddr>,
        options: &[(u32, u32)],
    ) -> io::Result<TcpStream> {
        let stream = TcpStream::open(stack)?;
        for (option, value) in options {
            stream.set_option(*option, *value)?;
        }
        let Id { index, generation } = stream.id;
        {
            let mut inner = stack.handle.shared.lock();
            if let Some(from) = from {
                let [a0, a1, a2, a3] = address::words(from.ip());
                let port = u32::from(from.port());
                inner.call("bind", |engine| {
                    engine.tcp_bind(index, generation, a0, a1, a2, a3, port)
                })?;
            }
            let [a0, a1, a2, a3] = address::words(to.ip());
            let port = u32::from(to.port());
            inner.call("connect", |engine| {
                engine.tcp_connect(index, generation, a0, a1, a2, a3, port)
            })?;
            inner.request();
        }
        poll_fn(|context| stream.poll_connected(context)).await?;
        Ok(stream)
    }

    fn open(stack: &Stack) -> Result<TcpStream, Error> {
        let mut inner = stack.handle.shared.lock();
        let index = inner.call("socket", |engine| engine.tcp_open())?;
        let id = Id {
            index,
            generation: inner.engine.result(0),
        };
        inner.connections.attach(id);
        Ok(TcpStream {
            handle: Arc::clone(&stack.handle),
            id,
        })
    }

    fn poll_connected(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.handle.shared.lock();
        inner.alive()?;
        let Some(slot) = inner.connections.get(self.id) else {
            return Poll::Ready(Err(io::Error::from_raw_os_error(libc::EBADF)));
        };
        if slot.seen & abi::EVENT_ERROR != 0 {
            drop(inner);
            return Poll::Ready(Err(self.pending_error()));
        }
        if slot.seen & abi::EVENT_CONNECTED != 0 {
            return Poll::Ready(Ok(()));
        }
        slot.writer = Some(context.waker().clone());
        Poll::Pending
    }

    /// SO_ERROR; an end without a name looks like a reset.
    fn pending_error(&self) -> io::Error {
        match self.option(option::SO_ERROR) {
            Ok(0) => io::Error::from_raw_os_error(libc::ECONNRESET),
            Ok(number) => io::Error::from_raw_os_error(number.cast_signed()),
            Err(error) => error,
        }
    }

    // ---- Bytes -------------------------------------------------------------------------------

    /// Consumes everything readable without copying it; 0 is the end of the stream.
    ///
    /// # Errors
    /// ECONNRESET, ETIMEDOUT, … or the stack has ended.
    pub fn poll_discard(&self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let Id { index, generation } = self.id;
        let mut inner = self.handle.shared.lock();
        let mut total = 0;
        loop {
            let ready = inner.number(|engine| engine.tcp_recv_peek(index, generation, total))?;
            match u32::try_from(ready) {
                Ok(more) if more > 0 => total += more,
                _ if total > 0 => break,
                _ => return self.nothing(&mut inner, ready, context),
            }
        }
        inner.call("read", |engine| {
            engine.tcp_recv_consume(index, generation, total)
        })?;
        // The window opens by what was consumed: the engine wants to tell the peer.
        inner.request();
        Poll::Ready(Ok(total as usize))
    }

    /// Waits for bytes and consumes them without copying; 0 is the end of the stream.
    ///
    /// # Errors
    /// As `poll_discard`.
    pub async fn discard(&self) -> io::Result<usize> {
        poll_fn(|context| self.poll_discard(context)).await
    }

    /// What a read finds that finds no bytes.
    fn nothing(
        &self,
        inner: &mut Inner,
        ready: i32,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if ready != EAGAIN {
            let end = checked("read", ready)?;
            return Poll::Ready(Ok(end as usize));
        }
        if let Some(slot) = inner.connections.get(self.id) {
            slot.reader = Some(context.waker().clone());
        }
        Poll::Pending
    }

    fn read(&self, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Id { index, generation } = self.id;
        let mut inner = self.handle.shared.lock();
        let mut total = 0;
        while into.remaining() > 0 {
            // Behind bytes that were read the engine is asked for more bytes only: an error that
            // follows them is told once, and must be for the next call.
            let ready = inner.number(|engine| engine.tcp_recv_peek(index, generation, total))?;
            let Some(ready) = usize::try_from(ready).ok().filter(|ready| *ready > 0) else {
                if total > 0 {
                    break;
                }
                return self.nothing(&mut inner, ready, context).map_ok(|_| ());
            };
            let length = ready.min(into.remaining());
            let from = inner.engine.result(0);
            let bytes = inner.engine.bytes(from, length).ok_or_else(outside)?;
            into.put_slice(bytes);
            total += u32::try_from(length).unwrap_or_default();
        }
        if total > 0 {
            inner.call("read", |engine| {
                engine.tcp_recv_consume(index, generation, total)
            })?;
            inner.request();
        }
        Poll::Ready(Ok(()))
    }

    fn write(&self, context: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        let Id { index, generation } = self.id;
        let mut inner = self.handle.shared.lock();
        let mut at = 0;
        while at < from.len() {
            let want = u32::try_from(from.len() - at).unwrap_or(u32::MAX);
            let room = inner.number(|engine| engine.tcp_send_reserve(index, generation, want))?;
            if room <= 0 && at > 0 {
                break;
            }
            if room == 0 {
                if let Some(slot) = inner.connections.get(self.id) {
                    slot.writer = Some(context.waker().clone());
                }
                return Poll::Pending;
            }
            let length = checked("write", room)?.min(want);
            let to = inner.engine.result(0);
            let bytes = &from[at..at + length as usize];
            if !inner.engine.write(to, bytes) {
                return Poll::Ready(Err(outside()));
            }
            let queued = inner.call("write", |engine| {
                engine.tcp_send_commit(index, generation, length, 0)
            })?;
            at += queued as usize;
        }
        inner.request();
        Poll::Ready(Ok(at))
    }

    // ---- Ending ------------------------------------------------------------------------------

    fn shut(&self, how: u32) -> io::Result<()> {
        let Id { index, generation } = self.id;
        let mut inner = self.handle.shared.lock();
        inner.call("shutdown", |engine| {
            engine.tcp_shutdown(index, generation, how)
        })?;
        inner.request();
        Ok(())
    }

    /// ABORT (RFC 9293 §3.9.1.5): RST, and what is queued is lost. To close in order, shut down and
    /// drop the stream.
    pub fn abort(self) {
        let Id { index, generation } = self.id;
        let mut inner = self.handle.shared.lock();
        // A stack that has ended has no connection to abort.
        let _ = inner.number(|engine| engine.tcp_abort(index, generation));
        inner.request();
    }

    // ---- Options -----------------------------------------------------------------------------

    /// Sets an option of `abi::option` (`option_by_name`), in Linux's units.
    ///
    /// # Errors
    /// ENOPROTOOPT, EINVAL.
    pub fn set_option(&self, option: u32, value: u32) -> io::Result<()> {
        let Id { index, generation } = self.id;
        let mut inner = self.handle.shared.lock();
        inner.call("setsockopt", |engine| {
            engine.tcp_set_option(index, generation, option, value)
        })?;
        inner.request();
        Ok(())
    }

    /// Reads an option of `abi::option`.
    ///
    /// # Errors
    /// ENOPROTOOPT.
    pub fn option(&self, option: u32) -> io::Result<u32> {
        let Id { index, generation } = self.id;
        let got = self.handle.shared.lock().call("getsockopt", |engine| {
            engine.tcp_get_option(index, generation, option)
        })?;
        Ok(got)
    }

    /// `TCP_NODELAY`: small writes leave at once (RFC 9293 §3.7.4 off).
    ///
    /// # Errors
    /// The stack has ended.
    pub fn set_nodelay(&self, on: bool) -> io::Result<()> {
        self.set_option(option::TCP_NODELAY, u32::from(on))
    }

    fn name(&self, name: &'static str, peer: u32) -> io::Result<SocketAddr> {
        let Id { index, generation } = self.id;
        let mut inner = self.handle.shared.lock();
        inner.call(name, |engine| engine.tcp_name(index, generation, peer))?;
        let words = [0, 1, 2, 3, 4].map(|at| inner.engine.result(at));
        Ok(address::endpoint(&words))
    }

    /// Our end.
    ///
    /// # Errors
    /// The stack has ended.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.name("getsockname", 0)
    }

    /// The other end.
    ///
    /// # Errors
    /// ENOTCONN.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.name("getpeername", 1)
    }

    /// Linux's `tcp_info`.
    ///
    /// # Errors
    /// The stack has ended.
    pub fn tcp_info(&self) -> io::Result<TcpInfo> {
        let Id { index, generation } = self.id;
        let mut inner = self.handle.shared.lock();
        inner.call("tcp_info", |engine| engine.tcp_info(index, generation))?;
        Ok(TcpInfo::read(&inner.engine))
    }
}

fn outside() -> io::Error {
    io::Error::other("the engine named bytes outside its memory")
}

impl AsyncRead for TcpStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.read(context, into)
    }
}

impl AsyncWrite for TcpStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.write(context, from)
    }

    /// What is written is on its way: there is nothing to flush.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// FIN behind what was written; reading goes on.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.shut(abi::SHUT_WR))
    }
}

/// CLOSE (RFC 9293 §3.9.1.4): the connection ends by itself, with a reset where unread bytes are
/// lost.
impl Drop for TcpStream {
    fn drop(&mut self) {
        let Id { index, generation } = self.id;
        let mut inner = self.handle.shared.lock();
        // After abort the handle is stale, after the stack's end there is none: both are fine.
        let _ = inner.number(|engine| engine.tcp_close(index, generation));
        inner.request();
    }
}
