//! What a host writes into CONFIG before boot: a profile's values, what the user changes of them,
//! and what follows from a size that the user gave. The same as host/core/config.ts, whose values
//! and examples are generated into abi.rs; each number's reason stands there.

use std::fs::File;
use std::io::Read;

use crate::abi::{self, ConfigWords, config};
use crate::error::Error;

/// The sizes and sysctls of an engine, by the names of `abi::config`.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    profile: &'static str,
    base: ConfigWords,
    given: Vec<(u32, u32)>,
    seed: Option<[u32; 4]>,
}

/// What depends on the sizes, in Linux's proportions.
fn derive(words: &mut ConfigWords) {
    let arena = u64::from(words[config::arenaBytes as usize]);
    let part = |numerator: u64, denominator: u64| {
        u32::try_from(arena * numerator / denominator).unwrap_or(u32::MAX)
    };
    words[config::tcp_mem_low as usize] = part(1, 2);
    words[config::tcp_mem_pressure as usize] = part(2, 3);
    words[config::tcp_mem_high as usize] = part(1, 1);
    words[config::tcp_max_tw_buckets as usize] = words[config::timeWaitMax as usize];
    let orphans = words[config::connectionsMax as usize] >> 1;
    words[config::tcp_max_orphans as usize] = orphans.max(1);
    let backlog = words[config::synRequestsMax as usize];
    words[config::tcp_max_syn_backlog as usize] = backlog.min(4096);
}

/// Buckets, a power of two: at most one for each record, at least one for two.
fn hash_buckets(words: &ConfigWords) -> u32 {
    let pools = [
        config::connectionsMax,
        config::timeWaitMax,
        config::synRequestsMax,
        config::listenersMax,
    ];
    let records: u64 = pools
        .iter()
        .map(|pool| u64::from(words[*pool as usize]))
        .sum();
    1 << records.max(1).ilog2().min(31)
}

impl EngineConfig {
    /// A profile of host/core/config.ts: `default` (a server), `test` (small) or `mcu` (128 KiB).
    ///
    /// # Errors
    /// `Error::Setup`: no such profile.
    pub fn profile(name: &str) -> Result<EngineConfig, Error> {
        let found = abi::PROFILES.iter().find(|(profile, _)| *profile == name);
        let Some((profile, base)) = found else {
            return Err(Error::Setup(format!("unknown profile: {name}")));
        };
        Ok(EngineConfig {
            profile,
            base: *base,
            given: Vec::new(),
            seed: None,
        })
    }

    /// The profile's name.
    pub fn profile_name(&self) -> &'static str {
        self.profile
    }

    /// Sets one word by its name in `abi::config`; the last one counts.
    ///
    /// # Errors
    /// `Error::Setup`: no such word. Whether the value can be is the engine's to say at boot.
    pub fn set(&mut self, name: &str, value: u32) -> Result<&mut EngineConfig, Error> {
        let word = abi::number_of(config::NAMES, name);
        match word.filter(|word| *word > config::seed3) {
            Some(word) => self.given.push((word, value)),
            None => return Err(Error::Setup(format!("unknown setting: {name}"))),
        }
        Ok(self)
    }

    /// Makes every run with equal inputs equal. Without it the seed is the system's.
    pub fn seed(&mut self, seed: [u32; 4]) -> &mut EngineConfig {
        self.seed = Some(seed);
        self
    }

    /// CONFIG as it stands in memory.
    pub(crate) fn words(&self) -> Result<ConfigWords, Error> {
        let mut words = self.base;
        let sizes = [
            config::arenaBytes,
            config::connectionsMax,
            config::timeWaitMax,
            config::synRequestsMax,
        ];
        for (word, value) in &self.given {
            words[*word as usize] = *value;
        }
        words[config::hashBuckets as usize] = hash_buckets(&words);
        if self.given.iter().any(|(word, _)| sizes.contains(word)) {
            derive(&mut words);
        }
        if self
            .given
            .iter()
            .any(|(word, _)| *word == config::connectionsMax)
        {
            words[config::extrasMax as usize] = words[config::connectionsMax as usize];
        }
        for (word, value) in &self.given {
            words[*word as usize] = *value;
        }
        let seed = match self.seed {
            Some(seed) => seed,
            None => random_seed()?,
        };
        words[..4].copy_from_slice(&seed);
        Ok(words)
    }
}

/// 128 bits of the system's generator.
fn random_seed() -> Result<[u32; 4], Error> {
    let mut bytes = [0; 16];
    let read = File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    read.map_err(|error| Error::Io {
        what: "/dev/urandom".to_owned(),
        error,
    })?;
    let (words, _) = bytes.as_chunks();
    let mut seed = [0; 4];
    for (to, from) in seed.iter_mut().zip(words) {
        *to = u32::from_le_bytes(*from);
    }
    Ok(seed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_makes_what_the_typescript_host_makes() {
        assert!(abi::CONFIG_CASES.len() > 4);
        for (profile, given, expected) in abi::CONFIG_CASES {
            let mut config = EngineConfig::profile(profile).unwrap();
            config.seed([0; 4]);
            for (name, value) in *given {
                config.set(name, *value).unwrap();
            }
            let words = config.words().unwrap();
            for (name, word) in config::NAMES {
                let (got, wanted) = (words[*word as usize], expected[*word as usize]);
                assert_eq!(got, wanted, "{name} of {profile} with {given:?}");
            }
        }
    }

    #[test]
    fn unknown_names_and_the_seed_are_refused() {
        assert!(EngineConfig::profile("huge").is_err());
        let mut config = EngineConfig::profile("test").unwrap();
        assert!(config.set("tcp_teleport", 1).is_err());
        assert!(config.set("seed0", 1).is_err());
    }

    #[test]
    fn seeds_of_the_system_differ() {
        let config = EngineConfig::profile("test").unwrap();
        assert_ne!(config.words().unwrap()[..4], config.words().unwrap()[..4]);
    }
}
