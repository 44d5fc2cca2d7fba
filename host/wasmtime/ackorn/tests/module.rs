//! Compiled engines: one file serves every size of memory; what was made for something else is
//! refused in one line that says so.

use std::path::{Path, PathBuf};

use ackorn::{EngineConfig, EngineModule, Stack, TcpListener, TcpStream, settings, wire};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn wasm() -> Vec<u8> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../build/engine.wasm");
    std::fs::read(path).expect("npm run build makes it")
}

/// The machine's own target, as rustc spells it.
fn target() -> String {
    format!("{}-unknown-linux-gnu", std::env::consts::ARCH)
}

/// A file that is gone when the test ends.
struct Temporary(PathBuf);

impl Temporary {
    fn new(name: &str, bytes: &[u8]) -> Temporary {
        let name = format!("ackorn-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, bytes).unwrap();
        Temporary(path)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Why a file is refused.
fn refusal(path: &Path) -> String {
    // SAFETY: refused before anything of it runs, or made by this test.
    let loaded = unsafe { EngineModule::load_file(path) };
    let text = loaded.err().expect("refused").to_string();
    assert!(!text.contains('\n'), "{text}");
    assert!(text.starts_with(&path.display().to_string()), "{text}");
    text
}

/// An echo between two stacks of one configuration. Returns the size of their memory.
async fn echo(module: &EngineModule, config: &EngineConfig) -> usize {
    let (one, other) = wire(1500, false);
    let client = Stack::start(module, config, vec![Box::new(one)]).unwrap();
    client
        .add_address(0, "10.0.0.1/24".parse().unwrap())
        .unwrap();
    let server = Stack::start(module, config, vec![Box::new(other)]).unwrap();
    server
        .add_address(0, "10.0.0.2/24".parse().unwrap())
        .unwrap();
    let at = "10.0.0.2:7".parse().unwrap();
    let listener = TcpListener::bind(&server, at).unwrap();
    let mut there = TcpStream::connect(&client, at).await.unwrap();
    let (mut here, _) = listener.accept().await.unwrap();
    let sent: Vec<u8> = (0..3000_u16).map(|at| at.to_le_bytes()[0]).collect();
    let mut heard = vec![0; sent.len()];
    there.write_all(&sent).await.unwrap();
    here.read_exact(&mut heard).await.unwrap();
    here.write_all(&heard).await.unwrap();
    there.read_exact(&mut heard).await.unwrap();
    assert!(heard == sent);
    server.memory_bytes()
}

#[tokio::test]
async fn one_file_serves_128_kib_32_mib_and_1_gib() {
    let compiled = EngineModule::precompile(&wasm(), &target()).unwrap();
    let file = Temporary::new("sizes.cwasm", &compiled);
    // SAFETY: made above.
    let module = unsafe { EngineModule::load_file(&file.0) }.unwrap();
    let small = EngineConfig::profile("mcu").unwrap();
    assert!(echo(&module, &small).await <= 128 << 10);
    for (arena, least, most) in [
        (30 << 20, 30 << 20, 34 << 20),
        (1 << 30, 1 << 30, 1100 << 20),
    ] {
        let mut config = EngineConfig::profile("test").unwrap();
        config.set("arenaBytes", arena).unwrap();
        let bytes = echo(&module, &config).await;
        assert!((least..most).contains(&bytes), "{bytes}");
    }
}

#[test]
fn what_is_no_compiled_engine_is_refused() {
    let text = Temporary::new("text.cwasm", b"this is no engine");
    assert!(refusal(&text.0).contains("no compiled engine"));
    let wasm = Temporary::new("plain.cwasm", &wasm());
    assert!(refusal(&wasm.0).contains("no compiled engine"));
    let none = std::env::temp_dir().join("ackorn-none.cwasm");
    refusal(&none);
}

#[test]
fn other_settings_another_version_and_half_a_file_are_refused() {
    let mut other = settings(Some(&target())).unwrap();
    other.memory_reservation(1 << 20).memory_guard_size(0);
    let mut version = settings(Some(&target())).unwrap();
    version
        .module_version(wasmtime::ModuleVersionStrategy::WasmtimeVersion)
        .unwrap();
    for (config, what) in [(other, "memory"), (version, "version")] {
        let engine = wasmtime::Engine::new(&config).unwrap();
        let bytes = engine.precompile_module(&wasm()).unwrap();
        let file = Temporary::new(&format!("{what}.cwasm"), &bytes);
        let why = refusal(&file.0);
        assert!(
            why.contains("compiled for something else") && why.contains(what),
            "{why}"
        );
    }
}

#[test]
fn a_module_that_is_no_engine_is_refused() {
    let why = |wasm: &[u8]| EngineModule::compile(wasm).err().unwrap().to_string();
    assert!(why(b"(module)").contains("not wasm"));
    assert!(why(b"\0asm\x01\0\0\0").contains("no memory"));
    // An import of a function `a.b`, of type () -> ().
    let imports = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x02\x07\x01\x01a\x01b\0\0";
    assert!(why(imports).contains("it imports b"));
    assert!(EngineModule::precompile(&wasm(), "toaster").is_err());
}
