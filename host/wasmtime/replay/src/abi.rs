//! The constants of assembly/abi.ts and the numbers of the calls in a recording, as
//! tools/generate-abi.ts writes them. Only a part of them is needed here.
#![allow(dead_code)]

include!(concat!(env!("OUT_DIR"), "/abi.rs"));
