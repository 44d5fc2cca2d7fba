//! A TCP/IP stack whose engine is one small WebAssembly module, for tokio: listeners and streams
//! that behave as tokio's own, over a TUN or TAP device, a network card or, for tests, a wire
//! within the process. The same engine runs in Node and elsewhere; this crate moves its frames and
//! its bytes and holds no protocol logic.
//!
//! [`Stack`] has an example that runs.
#![deny(unsafe_code)]

pub mod abi;
mod address;
mod config;
mod device;
mod driver;
mod engine;
mod error;
mod ethernet;
mod inner;
mod inspect;
mod link;
#[allow(unsafe_code)] // it loads machine code
mod module;
mod packet;
mod ring;
mod settings;
mod stack;
mod sys;
mod tables;
mod tcp;
mod trace;
mod tun;
mod wire;

pub use address::Cidr;
pub use config::EngineConfig;
pub use engine::{Engine, PAGE};
pub use error::{Errno, Error, Fault};
pub use ethernet::{Ethernet, Mac};
pub use inspect::{POOLS, PoolRecord, SocketRecord, TcpInfo};
pub use link::Link;
pub use module::EngineModule;
pub use packet::{Packet, PacketMac, PacketOptions};
pub use ring::{Corrupt, Pieces, Ring, RxEntry};
pub use settings::settings;
pub use stack::Stack;
pub use tables::{AddressRecord, LinkRecord, NeighborRecord, RouteRecord};
pub use tcp::{ListenOptions, TcpListener, TcpStream, option_by_name};
pub use trace::{TraceReader, TraceRecord};
pub use tun::{Tun, TunOptions};
pub use wire::{WireEnd, wire};
