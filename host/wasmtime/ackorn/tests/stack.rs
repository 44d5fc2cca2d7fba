//! Streams and listeners between two stacks on a wire: what tokio's own would do. Everything runs
//! on the shipped engine.wasm.

use std::io::ErrorKind;
use std::time::Duration;

use ackorn::abi::{option, state};
use ackorn::{EngineConfig, EngineModule, Error, Stack, TcpListener, TcpStream, wire};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy, split};
use tokio::time::timeout;

fn module() -> EngineModule {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../build/engine.wasm");
    let wasm = std::fs::read(path).expect("npm run build makes it");
    EngineModule::compile(&wasm).expect("an engine")
}

/// Two stacks, 10.0.0.1 and 10.0.0.2 (fd00::1 and fd00::2), on a wire.
fn pair(offload: bool) -> (Stack, Stack) {
    let module = module();
    let (one, other) = wire(1500, offload);
    let mut number = 0;
    let stacks = [one, other].map(|end| {
        number += 1;
        let mut config = EngineConfig::profile("test").unwrap();
        config.seed([number, 2, 3, 4]);
        config
            .set("rxSlotBytes", if offload { 68 * 1024 } else { 2048 })
            .unwrap();
        // A server that closes a hundred at once leaves as many orphans; half of the pool is the
        // default, and one beyond it is reset, as on Linux.
        config.set("tcp_max_orphans", 128).unwrap();
        let stack = Stack::start(&module, &config, vec![Box::new(end)]).unwrap();
        for cidr in [format!("10.0.0.{number}/24"), format!("fd00::{number}/64")] {
            stack.add_address(0, cidr.parse().unwrap()).unwrap();
        }
        stack
    });
    stacks.into()
}

/// Echoes every connection until its peer has ended.
fn echo(stack: &Stack, at: &str) {
    let listener = TcpListener::bind(stack, at.parse().unwrap()).unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await?;
            tokio::spawn(async move {
                let (mut reader, mut writer) = split(stream);
                copy(&mut reader, &mut writer).await?;
                writer.shutdown().await
            });
        }
        #[allow(unreachable_code)]
        Ok::<(), std::io::Error>(())
    });
}

/// Bytes that no two places of a transfer have in common.
fn text(length: usize) -> Vec<u8> {
    let mut state: u32 = 1;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}

/// Sends `text` and reads until the other end's FIN.
async fn through(stream: TcpStream, text: Vec<u8>) -> Vec<u8> {
    let (mut reader, mut writer) = split(stream);
    let sent = tokio::spawn(async move {
        writer.write_all(&text).await.unwrap();
        writer.shutdown().await.unwrap();
    });
    let mut heard = Vec::new();
    reader.read_to_end(&mut heard).await.unwrap();
    sent.await.unwrap();
    heard
}

#[tokio::test]
async fn three_mebibytes_come_back_as_they_were_sent() {
    for (offload, to) in [(true, "10.0.0.2:7"), (false, "[fd00::2]:7")] {
        let (client, server) = pair(offload);
        echo(&server, "[::]:7");
        let stream = TcpStream::connect(&client, to.parse().unwrap())
            .await
            .unwrap();
        let sent = text(3 << 20);
        let heard = timeout(Duration::from_secs(60), through(stream, sent.clone())).await;
        assert!(heard.unwrap() == sent, "offload {offload}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_connections_at_once_on_two_threads() {
    let (client, server) = pair(true);
    echo(&server, "10.0.0.2:7");
    let mut tasks = Vec::new();
    for number in 0..100 {
        let client = client.clone();
        tasks.push(tokio::spawn(async move {
            let to = "10.0.0.2:7".parse().unwrap();
            let stream = TcpStream::connect(&client, to).await.unwrap();
            let sent = text(20_000 + number);
            assert!(through(stream, sent.clone()).await == sent);
        }));
    }
    for task in tasks {
        timeout(Duration::from_secs(60), task)
            .await
            .unwrap()
            .unwrap();
    }
}

#[tokio::test]
async fn nobody_listens_the_connection_is_refused() {
    let (client, _server) = pair(true);
    let error = TcpStream::connect(&client, "10.0.0.2:9".parse().unwrap())
        .await
        .err()
        .unwrap();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    let error = TcpStream::connect(&client, "10.0.0.1:9".parse().unwrap())
        .await
        .err()
        .unwrap();
    assert_eq!(
        error.kind(),
        ErrorKind::NetworkUnreachable,
        "to oneself there is no way"
    );
}

#[tokio::test]
async fn abort_is_a_reset_and_drop_is_a_fin() {
    let (client, server) = pair(true);
    let at = "10.0.0.2:7".parse().unwrap();
    let listener = TcpListener::bind(&server, at).unwrap();
    let aborted = TcpStream::connect(&client, at).await.unwrap();
    let (mut here, peer) = listener.accept().await.unwrap();
    assert_eq!(peer, aborted.local_addr().unwrap());
    aborted.abort();
    let mut byte = [0];
    assert_eq!(
        here.read(&mut byte).await.err().unwrap().kind(),
        ErrorKind::ConnectionReset
    );
    let dropped = TcpStream::connect(&client, at).await.unwrap();
    let (mut here, _) = listener.accept().await.unwrap();
    drop(dropped);
    assert_eq!(here.read(&mut byte).await.unwrap(), 0);
}

#[tokio::test]
async fn a_port_is_taken_until_its_listener_is_gone() {
    let (client, _server) = pair(true);
    let at = "0.0.0.0:80".parse().unwrap();
    let first = TcpListener::bind(&client, at).unwrap();
    let error = TcpListener::bind(&client, at).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    drop(first);
    TcpListener::bind(&client, at).unwrap();
    let chosen = TcpListener::bind(&client, "0.0.0.0:0".parse().unwrap()).unwrap();
    assert!(chosen.port() >= 32_768);
}

#[tokio::test]
async fn options_by_name_and_what_tcp_info_says() {
    let (client, server) = pair(true);
    let at = "10.0.0.2:7".parse().unwrap();
    let listener = TcpListener::bind(&server, at).unwrap();
    listener.set_option(option::SO_KEEPALIVE, 1).unwrap();
    let options = [(option::TCP_MAXSEG, 1000)];
    let mut stream = TcpStream::connect_with(&client, at, None, &options)
        .await
        .unwrap();
    let (here, _) = listener.accept().await.unwrap();
    assert_eq!(here.option(option::SO_KEEPALIVE).unwrap(), 1);
    let nodelay = ackorn::option_by_name("TCP_NODELAY").unwrap();
    assert_eq!(stream.option(nodelay).unwrap(), 0);
    stream.set_nodelay(true).unwrap();
    assert_eq!(stream.option(nodelay).unwrap(), 1);
    assert!(ackorn::option_by_name("TCP_TELEPORT").is_err());
    stream.write_all(&text(5000)).await.unwrap();
    let mut dropped = 0;
    while dropped < 5000 {
        dropped += here.discard().await.unwrap();
    }
    let info = here.tcp_info().unwrap();
    assert_eq!((info.state(), info.congestion()), ("ESTABLISHED", "cubic"));
    let received = info.numbers().find(|(name, _)| *name == "bytes_received");
    assert_eq!(received, Some(("bytes_received", 5000)));
    let sockets = server.sockets().unwrap();
    let states: Vec<_> = sockets.iter().map(|socket| socket.state).collect();
    assert!(
        states.contains(&"LISTEN") && states.contains(&"ESTABLISHED"),
        "{states:?}"
    );
    let counters = server.counters();
    assert!(counters.contains(&("TcpPassiveOpens", 1)), "{counters:?}");
    let used = server.pools().unwrap();
    assert!(
        used.iter()
            .any(|pool| pool.name == "connections" && pool.used == 1)
    );
}

#[tokio::test]
async fn a_writer_waits_for_a_reader_that_does_not_read() {
    let (client, server) = pair(true);
    let at = "10.0.0.2:7".parse().unwrap();
    let listener = TcpListener::bind(&server, at).unwrap();
    let mut stream = TcpStream::connect(&client, at).await.unwrap();
    let (mut here, _) = listener.accept().await.unwrap();
    let sent = text(16 << 20);
    let all = sent.clone();
    let writing = tokio::spawn(async move {
        stream.write_all(&all).await.unwrap();
        stream.shutdown().await.unwrap();
        stream
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(
        !writing.is_finished(),
        "16 MiB do not fit into an arena of 8 MiB"
    );
    let mut heard = Vec::new();
    let reading = here.read_to_end(&mut heard);
    timeout(Duration::from_secs(60), reading)
        .await
        .unwrap()
        .unwrap();
    assert!(heard == sent);
    writing.await.unwrap();
}

#[tokio::test]
async fn a_closed_stack_says_so_and_wakes_who_waits() {
    let (client, server) = pair(true);
    let listener = TcpListener::bind(&server, "10.0.0.2:7".parse().unwrap()).unwrap();
    let waiting = tokio::spawn(async move { listener.accept().await.map(|_| ()) });
    tokio::task::yield_now().await;
    server.close();
    let error = timeout(Duration::from_secs(5), waiting)
        .await
        .unwrap()
        .unwrap();
    assert!(error.err().unwrap().to_string().contains("closed"));
    assert!(matches!(server.ended().await, Error::Setup(_)));
    assert!(client.sockets().is_ok(), "the other stack lives");
}

#[tokio::test]
async fn sysctls_by_linux_names() {
    let (client, _server) = pair(true);
    assert!(client.sysctls().contains(&("tcp_sack", 1)));
    client.set_sysctl("tcp_sack", 0).unwrap();
    assert!(client.sysctls().contains(&("tcp_sack", 0)));
    assert!(matches!(
        client.set_sysctl("tcp_congestion_control", 99),
        Err(Error::Refused { .. })
    ));
    assert!(matches!(
        client.set_sysctl("arenaBytes", 1),
        Err(Error::Setup(_))
    ));
}

#[tokio::test]
async fn a_configuration_that_cannot_be_names_its_word() {
    let mut config = EngineConfig::profile("test").unwrap();
    config.set("linksMax", 0).unwrap();
    let error = Stack::start(&module(), &config, Vec::new()).err().unwrap();
    assert!(error.to_string().contains("linksMax"), "{error}");
}

#[tokio::test]
async fn a_link_whose_super_segments_do_not_fit_is_refused() {
    let (one, _other) = wire(1500, true);
    let config = EngineConfig::profile("test").unwrap();
    let error = Stack::start(&module(), &config, vec![Box::new(one)])
        .err()
        .unwrap();
    assert!(error.to_string().contains("wire0") && error.to_string().contains("rxSlotBytes"));
}

#[tokio::test]
async fn the_trace_tells_a_connections_states_to_each_reader() {
    let (client, server) = pair(true);
    let at = "10.0.0.2:7".parse().unwrap();
    let listener = TcpListener::bind(&server, at).unwrap();
    let mut reader = client.trace();
    let stream = TcpStream::connect(&client, at).await.unwrap();
    listener.accept().await.unwrap();
    let port = stream.local_addr().unwrap().port();
    let records = reader.read();
    let states: Vec<_> = records
        .iter()
        .filter(|record| record.kind == "StateChange" && record.local_port == port)
        .map(|record| record.b)
        .collect();
    assert_eq!(states, [state::SYN_SENT, state::ESTABLISHED]);
    assert!(
        records
            .iter()
            .all(|record| record.time_us <= client.now_us())
    );
    assert!(reader.read().is_empty() && client.trace().read().is_empty());
}
