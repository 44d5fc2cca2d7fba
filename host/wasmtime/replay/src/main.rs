//! `ackorn-replay ENGINE RECORDING`: replays a recorded run on the engine of the crate `ackorn`,
//! compiled here (.wasm) or ahead of time (.cwasm of ackorn-compile). Exit code 0 and
//! `N polls, N frames in, N frames out, identical` when every output is the recorded one; 1 and
//! the first difference with its place; 2 and one line on stderr when nothing could be compared: no
//! such file, a malformed recording, a module of another ABI.
#![deny(unsafe_code)]

mod format;
mod replay;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use std::{env, fs};

use ackorn::EngineModule;
use replay::Stop;

const USAGE: &str = "usage: ackorn-replay ENGINE RECORDING";

fn read(path: &Path) -> Result<Vec<u8>, Stop> {
    fs::read(path).map_err(|error| Stop::Refused(format!("{}: {error}", path.display())))
}

/// The engine of a file, by how its name ends.
#[allow(unsafe_code)]
fn load(path: &Path) -> Result<EngineModule, Stop> {
    let compiled = path
        .extension()
        .is_some_and(|extension| extension == "cwasm");
    let module = if compiled {
        // SAFETY: whoever runs this names a file that ackorn-compile made.
        unsafe { EngineModule::load_file(path) }
    } else {
        EngineModule::compile(&read(path)?)
    };
    module.map_err(|error| Stop::Refused(error.to_string()))
}

fn run(arguments: &[OsString]) -> Result<replay::Summary, Stop> {
    let [engine, recording] = arguments else {
        return Err(Stop::Refused(USAGE.to_owned()));
    };
    let path = Path::new(recording);
    let data = read(path)?;
    let recording = format::parse(&data)
        .map_err(|malformed| Stop::Refused(format!("{}: {malformed}", path.display())))?;
    replay::replay(&recording, &load(Path::new(engine))?)
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
