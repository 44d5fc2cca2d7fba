//! `ackornd run FILE`, `ackornd check FILE`: a stack on a TUN or TAP device or a network card as
//! one board.toml says (docs/board.md), with services and the control socket (docs/control.md), in
//! the network namespace it is started in. Logs to stderr; says `ackorn: ready` on stdout and to
//! the service manager. Exit code 1 and one line when it cannot be brought up or the engine
//! stopped, 2 for a wrong command line or board.

mod board;
mod control;
mod http;
mod links;
mod notify;
mod services;
mod streams;
mod sysctl;

use std::future::poll_fn;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::task::{Context, Poll};

use ackorn::{EngineConfig, EngineModule, Stack};
use clap::{Arg, ArgMatches, Command, value_parser};
use tokio::signal::unix::{SignalKind, signal};

use board::{Board, LinkKind};
use control::{Control, Facts};

const ENGINE: &str = "/usr/lib/ackorn/engine.cwasm";

/// One line, and the exit code.
struct Failure(u8, String);

fn failed(what: &str) -> impl Fn(String) -> Failure + '_ {
    move |why| {
        Failure(
            1,
            if what.is_empty() {
                why
            } else {
                format!("{what}: {why}")
            },
        )
    }
}

fn command() -> Command {
    let file = Arg::new("FILE")
        .required(true)
        .value_parser(value_parser!(PathBuf))
        .help("a board.toml");
    let engine = Arg::new("engine")
        .long("engine")
        .value_name("FILE")
        .default_value(ENGINE)
        .value_parser(value_parser!(PathBuf))
        .help("the engine, of ackorn-compile for this machine");
    Command::new("ackornd")
        .about("A TCP/IP stack for a board")
        .version(env!("CARGO_PKG_VERSION"))
        .subcommand_required(true)
        .subcommand(
            Command::new("check")
                .about("Judges a board")
                .arg(file.clone()),
        )
        .subcommand(
            Command::new("run")
                .about("Brings a stack up")
                .arg(file)
                .arg(engine),
        )
}

fn path<'a>(matches: &'a ArgMatches, name: &str) -> &'a Path {
    matches
        .get_one::<PathBuf>(name)
        .map_or(Path::new(""), PathBuf::as_path)
}

fn read(file: &Path) -> Result<Board, Failure> {
    Board::read(file).map_err(|mistake| Failure(2, mistake.to_string()))
}

/// The stack and what runs on it, when it has its addresses.
async fn bring_up(board: Board, engine: &Path) -> Result<(Stack, Control), Failure> {
    let setup = |error: ackorn::Error| Failure(1, error.to_string());
    let mut config = EngineConfig::profile("default").map_err(setup)?;
    for (name, value) in &board.settings {
        config.set(name, *value).map_err(setup)?;
    }
    // SAFETY: the operator vouches for the file, which comes with this program.
    let module = unsafe { EngineModule::load_file(engine) }.map_err(setup)?;
    let link = links::open(&board).map_err(setup)?;
    let facts = (link.name().to_owned(), link.mtu(), link.flags());
    let stack = Stack::start(&module, &config, vec![link]).map_err(setup)?;
    for cidr in &board.addresses {
        stack.add_address(0, *cidr).map_err(setup)?;
    }
    for (to, gateway) in &board.routes {
        stack.add_route(0, *to, *gateway).map_err(setup)?;
    }
    if board.kind != LinkKind::Tun {
        links::await_addresses(&stack, &board)
            .await
            .map_err(setup)?;
    }
    for (service, port) in &board.services {
        services::start(&stack, service, *port)
            .map_err(|error| failed(service)(format!("port {port}: {error}")))?;
    }
    for (port, directory) in &board.http {
        let what = format!("http port {port}, {}", directory.display());
        http::start(&stack, directory, *port).map_err(|error| failed(&what)(error.to_string()))?;
    }
    let facts = Facts::new(board, stack.clone(), facts);
    let control = Control::start(facts).map_err(|error| failed("control")(error.to_string()))?;
    Ok((stack, control))
}

/// Until SIGTERM or SIGINT, or the stack's end.
async fn run(board: Board, engine: &Path) -> Result<(), Failure> {
    let hook = |kind| signal(kind).map_err(|error| failed("signal")(error.to_string()));
    let mut terminate = hook(SignalKind::terminate())?;
    let mut interrupt = hook(SignalKind::interrupt())?;
    let name = board.name.clone();
    let mut signalled = move |context: &mut Context<'_>| {
        terminate.poll_recv(context).is_ready() || interrupt.poll_recv(context).is_ready()
    };
    let mut up = std::pin::pin!(bring_up(board, engine));
    let up = poll_fn(|context| {
        if signalled(context) {
            return Poll::Ready(None);
        }
        up.as_mut().poll(context).map(Some)
    })
    .await;
    let Some(up) = up else {
        return Ok(());
    };
    let (stack, control) = up?;
    tracing::info!(name, memory = stack.memory_bytes(), "ready");
    println!("ackorn: ready");
    notify::notify("READY=1");
    let mut ended = std::pin::pin!(stack.ended());
    let why = poll_fn(|context| {
        if signalled(context) {
            return Poll::Ready(None);
        }
        ended.as_mut().poll(context).map(Some)
    })
    .await;
    notify::notify("STOPPING=1");
    drop(control);
    match why {
        None => Ok(()),
        Some(error) => Err(Failure(1, error.to_string())),
    }
}

fn dispatch(matches: &ArgMatches) -> Result<(), Failure> {
    match matches.subcommand() {
        Some(("check", matches)) => {
            let file = path(matches, "FILE");
            read(file)?;
            println!("{}: good", file.display());
            Ok(())
        }
        Some((_, matches)) => {
            let board = read(path(matches, "FILE"))?;
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(|error| failed("tokio")(error.to_string()))?;
            runtime.block_on(run(board, path(matches, "engine")))
        }
        None => Err(Failure(2, "a command is wanted".to_owned())),
    }
}

fn main() -> ExitCode {
    let matches = command().get_matches();
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_target(false)
        .init();
    match dispatch(&matches) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure(code, why)) => {
            eprintln!("ackornd: {why}");
            ExitCode::from(code)
        }
    }
}
