//! A TCP/IP stack: one engine with its links and addresses, run by a task of the current tokio
//! runtime. Its handle makes listeners and streams (tcp.rs) and tells an operator what it holds
//! (inspect.rs). Holds no protocol logic.

use std::future::poll_fn;
use std::net::IpAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use crate::abi::{self, config};
use crate::address::{self, Cidr};
use crate::config::EngineConfig;
use crate::driver::Driver;
use crate::engine::Engine;
use crate::error::Error;
use crate::ethernet::Ethernet;
use crate::inner::{Attached, BUDGET, Ended, Inner, Shared, Table};
use crate::link::Link;
use crate::module::EngineModule;

/// The longest packet that a link with offload hands over: 64 KiB behind the header of IPv6.
const SUPER_SEGMENT: u32 = 65_535 + 40;

/// What keeps a stack running: every stream, listener and `Stack` holds it; the loop does not.
pub(crate) struct Handle {
    pub shared: Arc<Shared>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.lock().end(Ended::Closed);
    }
}

/// A running stack; a clone is another handle of the same. When the last handle, stream and
/// listener is gone, the stack ends and its links are closed: what is still queued is lost then.
///
/// Two stacks on a wire, and an echo between them:
///
/// ```
/// # #[cfg(feature = "compile")]
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use ackorn::{EngineConfig, EngineModule, Stack, TcpListener, TcpStream, wire};
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
///
/// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../build/engine.wasm");
/// let module = EngineModule::compile(&std::fs::read(path)?)?;
/// let config = EngineConfig::profile("test")?;
/// let (one, other) = wire(1500, false);
/// let client = Stack::start(&module, &config, vec![Box::new(one)])?;
/// client.add_address(0, "10.0.0.1/24".parse()?)?;
/// let server = Stack::start(&module, &config, vec![Box::new(other)])?;
/// server.add_address(0, "10.0.0.2/24".parse()?)?;
///
/// let listener = TcpListener::bind(&server, "10.0.0.2:7".parse()?)?;
/// tokio::spawn(async move {
///     let (stream, _peer) = listener.accept().await?;
///     let (mut reader, mut writer) = tokio::io::split(stream);
///     tokio::io::copy(&mut reader, &mut writer).await?;
///     writer.shutdown().await
/// });
///
/// let mut stream = TcpStream::connect(&client, "10.0.0.2:7".parse()?).await?;
/// stream.write_all(b"hello").await?;
/// stream.shutdown().await?;
/// let mut answer = String::new();
/// stream.read_to_string(&mut answer).await?;
/// assert_eq!(answer, "hello");
/// assert_eq!(stream.tcp_info()?.congestion(), "cubic");
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "compile"))]
/// # fn main() {}
/// ```
#[derive(Clone)]
pub struct Stack {
    pub(crate) handle: Arc<Handle>,
}

impl Stack {
    /// Boots an engine, attaches the links in their order and begins to move frames, as a task of
    /// the current runtime.
    ///
    /// # Errors
    /// `Error::Setup`: the configuration or the memory cannot be, or a link has offload and
    /// `rxSlotBytes` no room for 64 KiB; `Error::Refused`: more links than `linksMax`; `Error::Io`:
    /// a link cannot be waited for.
    ///
    /// # Panics
    /// Outside of a tokio runtime with input, output and time enabled.
    pub fn start(
        module: &EngineModule,
        settings: &EngineConfig,
        links: Vec<Box<dyn Link>>,
    ) -> Result<Stack, Error> {
        let mut inner = Inner {
            engine: Engine::new(module, settings)?,
            links: Vec::new(),
            connections: Table::default(),
            listeners: Table::default(),
            ended: None,
            mourners: Vec::new(),
            driver: None,
            requested: false,
            started: Instant::now(),
        };
        // Calls made before the first poll would happen at time 0.
        let now = inner.now_us();
        inner.engine.poll(now, BUDGET)?;
        let room = inner
            .engine
            .word(abi::CONFIG_AT + 4 * config::rxSlotBytes)
            .unwrap_or_default();
        for mut link in links {
            if link.flags() & (abi::LINK_TSO4 | abi::LINK_TSO6) != 0 && room < SUPER_SEGMENT {
                let (name, least) = (link.name(), SUPER_SEGMENT);
                let why = format!("link {name} has offload: rxSlotBytes {room} is below {least}");
                return Err(Error::Setup(why));
            }
            let (flags, mtu) = (link.flags(), link.mtu());
            let id = inner.call("linkAdd", |engine| engine.link_add(flags, mtu))?;
            if let Some(Ethernet { mac, vlan, auto }) = link.ethernet() {
                let ((high, low), vlan) = (mac.words(), u32::from(vlan));
                inner.call("linkEthernet", |engine| {
                    engine.link_ethernet(id, high, low, vlan, auto)
                })?;
            }
            let ring = inner.call("linkRing", |engine| engine.link_ring(id))?;
            link.attach().map_err(|error| Error::Io {
                what: link.name().to_owned(),
                error,
            })?;
            inner.links.push(Attached { link, ring });
        }
        let shared = Shared::new(inner);
        tokio::spawn(Driver::new(Arc::clone(&shared)));
        Ok(Stack {
            handle: Arc::new(Handle { shared }),
        })
    }

    /// Gives the stack an address on a link, counted from 0. Returns its index. On Ethernet it is
    /// the stack's when nobody else was found to have it (RFC 5227, RFC 4862): `links` tells.
    ///
    /// # Errors
    /// `Error::Refused`: no such link, or more than `addressesMax`.
    pub fn add_address(&self, link: u32, cidr: Cidr) -> Result<u32, Error> {
        let [a0, a1, a2, a3] = address::words(cidr.address);
        let prefix = u32::from(cidr.prefix);
        let mut inner = self.handle.shared.lock();
        let index = inner.call("addressAdd", |engine| {
            engine.address_add(link, a0, a1, a2, a3, prefix)
        })?;
        inner.request();
        Ok(index)
    }

    /// Takes an address away again.
    ///
    /// # Errors
    /// `Error::Refused`: no such address.
    pub fn remove_address(&self, index: u32) -> Result<(), Error> {
        let mut inner = self.handle.shared.lock();
        inner.call("addressRemove", |engine| engine.address_remove(index))?;
        inner.request();
        Ok(())
    }

    /// A route over a link, by its longest prefix; without a gateway its destination is on the
    /// link. Returns its index.
    ///
    /// # Errors
    /// `Error::Refused`: no such link, a gateway of the other family, or more than `routesMax`.
    pub fn add_route(&self, link: u32, to: Cidr, gateway: Option<IpAddr>) -> Result<u32, Error> {
        // Not "any" but the network of all of a family: IPv4's keeps its prefix ::ffff:.
        let [d0, d1, d2, d3] = match to.address {
            IpAddr::V4(four) => [0, 0, 0xffff, four.to_bits()],
            IpAddr::V6(_) => address::words(to.address),
        };
        let [g0, g1, g2, g3] = gateway.map_or([0; 4], address::words);
        let prefix = u32::from(to.prefix);
        self.handle.shared.lock().call("routeAdd", |engine| {
            engine.route_add(link, d0, d1, d2, d3, prefix, g0, g1, g2, g3)
        })
    }

    /// Takes a route away again.
    ///
    /// # Errors
    /// `Error::Refused`: no such route.
    pub fn remove_route(&self, index: u32) -> Result<(), Error> {
        let mut inner = self.handle.shared.lock();
        inner.call("routeRemove", |engine| engine.route_remove(index))?;
        Ok(())
    }

    /// Ends the stack at once: frames that are ready go out, then the links are closed and every
    /// call fails.
    pub fn close(&self) {
        self.handle.shared.lock().end(Ended::Closed);
    }

    /// Waits for the end and says why: an engine that stopped, a device that is gone, `close`.
    pub async fn ended(&self) -> Error {
        poll_fn(|context| {
            let mut inner = self.handle.shared.lock();
            match &inner.ended {
                Some(ended) => Poll::Ready(ended.clone().into()),
                None => {
                    inner.mourners.push(context.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }
}

#[cfg(all(test, feature = "compile"))]
mod tests {
    use super::*;
    use crate::tcp::{TcpListener, TcpStream};
    use crate::wire::wire;

    #[tokio::test]
    async fn an_engine_that_traps_is_an_error_for_everybody_and_no_panic() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../build/engine.wasm");
        let module = EngineModule::compile(&std::fs::read(path).unwrap()).unwrap();
        let config = EngineConfig::profile("test").unwrap();
        let (one, _other) = wire(1500, false);
        let stack = Stack::start(&module, &config, vec![Box::new(one)]).unwrap();
        stack
            .add_address(0, "10.0.0.1/24".parse().unwrap())
            .unwrap();
        let listener = TcpListener::bind(&stack, "10.0.0.1:7".parse().unwrap()).unwrap();
        let waiting = tokio::spawn(async move { listener.accept().await.map(|_| ()) });
        tokio::task::yield_now().await;
        // The engine's own variables: whatever it does next breaks an invariant.
        let private = abi::SYSTEM_AT as usize..(abi::SYSTEM_AT + abi::SYSTEM_BYTES) as usize;
        stack.handle.shared.lock().engine.memory_mut()[private].fill(0xff);
        let to = "10.0.0.9:7".parse().unwrap();
        assert!(TcpStream::connect(&stack, to).await.is_err());
        let Error::Fault(fault) = stack.ended().await else {
            panic!("the engine did not stop");
        };
        assert!(fault.trap.is_some() && !fault.call.is_empty(), "{fault}");
        assert!(
            fault.to_string().starts_with("the engine stopped in"),
            "{fault}"
        );
        let told = waiting.await.unwrap().err().unwrap();
        assert_eq!(told.to_string(), fault.to_string());
        assert!(stack.sockets().is_err());
    }
}
