//! Takes the engine's constants from build/generated/abi.rs, which `npm run build` writes from
//! assembly/abi.ts, so that no number is copied by hand. Runs nothing.

use std::path::Path;
use std::{env, fs};

const GENERATED: &str = "../../../build/generated/abi.rs";

fn main() {
    let folder = env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    let out = env::var_os("OUT_DIR").expect("cargo sets OUT_DIR");
    let source = Path::new(&folder).join(GENERATED);
    println!("cargo::rerun-if-changed={}", source.display());
    if let Err(error) = fs::copy(&source, Path::new(&out).join("abi.rs")) {
        println!("cargo::error=build/generated/abi.rs ({error}): run `npm run build` first");
    }
}
