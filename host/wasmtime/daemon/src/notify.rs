//! sd_notify(3): tells the service manager that the daemon is ready or stopping, over the socket
//! that NOTIFY_SOCKET names. Without one nothing is said.

use std::env;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

fn send(state: &str) -> io::Result<()> {
    let Some(name) = env::var_os("NOTIFY_SOCKET") else {
        return Ok(());
    };
    let address = match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(&name)?,
    };
    UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address)?;
    Ok(())
}

/// `READY=1` or `STOPPING=1`. A manager that does not listen is logged and nothing more.
pub fn notify(state: &str) {
    if let Err(error) = send(state) {
        tracing::warn!(%error, "NOTIFY_SOCKET");
    }
}
