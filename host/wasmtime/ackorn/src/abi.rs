//! The constants of assembly/abi.ts, the profiles of host/core/config.ts and the list of the
//! engine's calls, as tools/generate-abi.ts writes them. Nothing is written by hand here.

include!(concat!(env!("OUT_DIR"), "/abi.rs"));

/// The name that a table of this module gives to a number.
pub fn name_of(names: &'static [(&str, u32)], value: u32) -> Option<&'static str> {
    let found = names.iter().find(|(_, number)| *number == value);
    found.map(|(name, _)| *name)
}

/// The number that a table of this module gives to a name.
pub fn number_of(names: &[(&str, u32)], name: &str) -> Option<u32> {
    let found = names.iter().find(|(other, _)| *other == name);
    found.map(|(_, number)| *number)
}
