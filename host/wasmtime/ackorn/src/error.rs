//! What can go wrong between a host and the engine, as things that are never mixed: a call that
//! the engine refuses (with Linux's errno), an engine that stopped because an invariant broke, a
//! module or configuration that cannot be used, and the host's own input and output.

use std::{fmt, io};

use crate::abi;

/// A number of Linux's errno that the engine returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(pub u32);

impl Errno {
    /// Linux's name, `?` for a number that the engine does not define.
    pub fn name(self) -> &'static str {
        abi::name_of(abi::errno::NAMES, self.0).unwrap_or("?")
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// The engine trapped: its memory is not to be trusted any more, only to be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The call that trapped.
    pub call: &'static str,
    /// `abi::fault`: the part whose invariant broke; 0 for a trap without a code.
    pub code: u32,
    pub detail: u32,
    /// What the machine said; `None` when it was no trap of WebAssembly.
    pub trap: Option<wasmtime::Trap>,
}

impl Fault {
    /// The name of the code in assembly/abi.ts.
    pub fn name(&self) -> &'static str {
        abi::name_of(abi::fault::NAMES, self.code).unwrap_or("None")
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (code, detail) = (self.code, self.detail);
        write!(
            formatter,
            "the engine stopped in {}: {} (code {code}, detail {detail})",
            self.call,
            self.name()
        )?;
        match self.trap {
            Some(trap) => write!(formatter, ": {trap}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Fault {}

impl From<Fault> for io::Error {
    fn from(fault: Fault) -> io::Error {
        io::Error::other(fault)
    }
}

/// Everything that the crate's calls can fail with.
#[derive(Debug)]
pub enum Error {
    /// The engine refuses a call; nothing has changed.
    Refused { call: &'static str, errno: Errno },
    /// The engine stopped; every further call of this stack fails with the same.
    Fault(Fault),
    /// The module or its configuration cannot be used; the text is one line and says why.
    Setup(String),
    /// A device or file of the host.
    Io { what: String, error: io::Error },
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Refused { call, errno } => write!(formatter, "{call} {errno}"),
            Error::Fault(fault) => fault.fmt(formatter),
            Error::Setup(why) => formatter.write_str(why),
            Error::Io { what, error } => write!(formatter, "{what}: {error}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io { error, .. } => Some(error),
            Error::Fault(fault) => Some(fault),
            _ => None,
        }
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Error {
        Error::Fault(fault)
    }
}

/// The engine's errno are Linux's, so that `kind()` says what std's own sockets would say.
impl From<Error> for io::Error {
    fn from(error: Error) -> io::Error {
        match error {
            Error::Refused { errno, .. } => io::Error::from_raw_os_error(errno.0.cast_signed()),
            Error::Io { error, .. } => error,
            other => io::Error::other(other),
        }
    }
}

/// The result of a call of the engine: negative is an errno.
pub(crate) fn checked(call: &'static str, result: i32) -> Result<u32, Error> {
    u32::try_from(result).map_err(|_| Error::Refused {
        call,
        errno: Errno(result.unsigned_abs()),
    })
}
