//! `ackorn-replay ENGINE.wasm RECORDING`: replays a recorded run on wasmtime. Exit code 0 and
//! `N polls, N frames in, N frames out, identical` when every output is the recorded one; 1 and
//! the first difference with its place; 2 and one line on stderr when nothing could be compared: no
//! such file, a malformed recording, a module of another ABI.
#![forbid(unsafe_code)]

mod abi;
mod engine;
mod format;
mod replay;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use std::{env, fs};

use replay::Stop;

const USAGE: &str = "usage: ackorn-replay ENGINE.wasm RECORDING";

fn read(path: &Path) -> Result<Vec<u8>, Stop> {
    fs::read(path).map_err(|error| Stop::Refused(format!("{}: {error}", path.display())))
}

fn run(arguments: &[OsString]) -> Result<replay::Summary, Stop> {
    let [wasm, recording] = arguments else {
        return Err(Stop::Refused(USAGE.to_owned()));
    };
    let path = Path::new(recording);
    let data = read(path)?;
    let recording = format::parse(&data)
        .map_err(|malformed| Stop::Refused(format!("{}: {malformed}", path.display())))?;
    replay::replay(&recording, &read(Path::new(wasm))?)
}

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    match run(&arguments) {
        Ok(summary) => {
            println!("{summary}, identical");
            ExitCode::SUCCESS
        }
        Err(Stop::Different(what)) => {
            println!("different: {what}");
            ExitCode::from(1)
        }
        Err(Stop::Refused(why)) => {
            eprintln!("ackorn-replay: {why}");
            ExitCode::from(2)
        }
    }
}
