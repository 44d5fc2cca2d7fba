//! The settings of wasmtime, in one function for the compiler ahead of time and for the host that
//! loads its files: a file records reservation, guard, signals and version, and only a host with
//! the same settings takes it. One file for a target serves every size of memory.

use wasmtime::{Config, ModuleVersionStrategy};

use crate::abi::ABI_VERSION;
use crate::error::Error;

/// wasmtime's version, in full: it would compare the major number alone.
const WASMTIME: &str = "48.0.8";

/// Has the target pointers of 32 bits?
fn narrow(target: Option<&str>) -> bool {
    match target {
        Some(target) => ["arm", "i686", "pulley32", "riscv32"]
            .iter()
            .any(|family| target.starts_with(family)),
        None => cfg!(target_pointer_width = "32"),
    }
}

/// What compiles and what loads engines.
///
/// `target` is a triple such as `aarch64-unknown-linux-gnu`; none means the machine that this runs
/// on. A file made without a target needs the very processor features of the machine it was made
/// on; one made for a named target only what every processor of that family has.
///
/// On 64 bits wasmtime's default stays: 4 GiB of addresses are reserved (no memory), so that no
/// access needs a check of its bounds whatever the size. 32 bits have no such room: nothing is
/// reserved, and an access compares and branches instead of trusting a guard page.
pub fn settings(target: Option<&str>) -> Result<Config, Error> {
    let mut config = Config::new();
    if let Some(target) = target {
        config
            .target(target)
            .map_err(|error| Error::Setup(format!("{target}: no target: {error}")))?;
    }
    if narrow(target) {
        config.memory_reservation(0);
        config.memory_guard_size(0);
        config.memory_reservation_for_growth(0);
        config.signals_based_traps(false);
    }
    // A trap says where it was by the engine's own code; frames of wasm are of use to nobody.
    config.generate_address_map(false);
    let version = format!("ackorn ABI {ABI_VERSION}, wasmtime {WASMTIME}");
    config
        .module_version(ModuleVersionStrategy::Custom(version))
        .map_err(|error| Error::Setup(error.to_string()))?;
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_one_that_is_linked() {
        let manifest = include_str!("../../Cargo.toml");
        assert!(manifest.contains(&format!("wasmtime = {{ version = \"={WASMTIME}\"")));
    }

    #[test]
    fn pointers_of_32_bits_are_told_by_the_triple() {
        assert!(narrow(Some("armv7-unknown-linux-gnueabihf")));
        assert!(narrow(Some("pulley32")));
        assert!(!narrow(Some("aarch64-unknown-linux-musl")));
        assert!(!narrow(Some("x86_64-unknown-linux-gnu")));
    }

    #[test]
    fn what_is_no_target_is_refused() {
        assert!(settings(Some("toaster")).is_err());
    }
}
