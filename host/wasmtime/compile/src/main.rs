//! `ackorn-compile ENGINE.wasm TARGET FILE.cwasm`: compiles the engine ahead of time, with the
//! settings that the crate `ackorn` wants of the file. Without a target only what the machine's
//! family has in common is used, never its own extras, so that the file serves other machines too.
//! Exit code 1 and one line on stderr when it cannot be done.
#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use std::{env, fs};

use ackorn::EngineModule;

const USAGE: &str = "usage: ackorn-compile ENGINE.wasm TARGET FILE.cwasm\n\
    TARGET is a triple such as x86_64-unknown-linux-gnu or, where this program was built with the \
    feature arm64, aarch64-unknown-linux-gnu; files serve gnu and musl alike.";

fn run(arguments: &[OsString]) -> Result<usize, String> {
    let [wasm, target, file] = arguments else {
        return Err(USAGE.to_owned());
    };
    let (wasm, file) = (Path::new(wasm), Path::new(file));
    let target = target.to_str().ok_or(USAGE)?;
    let bytes = fs::read(wasm).map_err(|error| format!("{}: {error}", wasm.display()))?;
    let compiled = EngineModule::precompile(&bytes, target)
        .map_err(|error| format!("{}: {error}", wasm.display()))?;
    fs::write(file, &compiled).map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(compiled.len())
}

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    match run(&arguments) {
        Ok(bytes) => {
            println!("{bytes} bytes");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("ackorn-compile: {why}");
            ExitCode::FAILURE
        }
    }
}
