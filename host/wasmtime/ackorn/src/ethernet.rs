//! What a link with MAC headers tells the engine beside its MTU: the stack's own MAC, the VLAN id
//! of its frames, what it finds out by itself. Texts and defaults only. Used by tun.rs, packet.rs,
//! stack.rs and the boards of ackornd.

use std::fmt;
use std::fs;
use std::str::FromStr;

/// A unicast MAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mac(pub [u8; 6]);

/// Settings of a link with `abi::LINK_ETHERNET`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ethernet {
    /// The stack's own.
    pub mac: Mac,
    /// Id of the tag that all frames bear; 0: none.
    pub vlan: u16,
    /// `abi::AUTO_*`.
    pub auto: u32,
}

impl Mac {
    /// Locally administered, the same for the same device of the same machine at every start.
    pub fn of_device(name: &str) -> Mac {
        let machine = ["/etc/machine-id", "/proc/sys/kernel/hostname"]
            .iter()
            .find_map(|file| {
                fs::read_to_string(file)
                    .ok()
                    .filter(|text| !text.is_empty())
            })
            .unwrap_or_default();
        // FNV-1a, because std's own hash may change with its version.
        let text = format!("{} {name}", machine.trim());
        let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        let [_, _, mut mac @ ..] = hash.to_be_bytes();
        mac[0] = mac[0] & 0xfc | 2;
        Mac(mac)
    }

    /// The first four bytes and the last two, as linkEthernet wants them.
    pub(crate) fn words(self) -> (u32, u32) {
        let [a, b, c, d, e, f] = self.0;
        let high = u32::from_be_bytes([a, b, c, d]);
        (high, u32::from(u16::from_be_bytes([e, f])))
    }

    /// None where the words are all zero.
    pub(crate) fn from_words(high: u32, low: u32) -> Option<Mac> {
        let ([a, b, c, d], [_, _, e, f]) = (high.to_be_bytes(), low.to_be_bytes());
        (high != 0 || low != 0).then_some(Mac([a, b, c, d, e, f]))
    }
}

impl FromStr for Mac {
    type Err = String;

    /// `02:00:00:00:00:01`.
    fn from_str(text: &str) -> Result<Mac, String> {
        let wrong = || format!("{text}: six bytes such as 02:00:00:00:00:01 are wanted");
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let digits = |part: &&str| part.bytes().all(|letter| letter.is_ascii_hexdigit());
            let part = parts.next().filter(digits).ok_or_else(wrong)?;
            *byte = u8::from_str_radix(part, 16).map_err(|_| wrong())?;
        }
        if parts.next().is_some() || bytes[0] & 1 != 0 || bytes == [0; 6] {
            return Err(wrong());
        }
        Ok(Mac(bytes))
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, f] = self.0;
        write!(formatter, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mac_goes_to_words_and_back() {
        let mac: Mac = "02:A:0:ff:5:06".parse().unwrap();
        assert_eq!(mac.to_string(), "02:0a:00:ff:05:06");
        assert_eq!(mac.words(), (0x020a_00ff, 0x0506));
        assert_eq!(Mac::from_words(0x020a_00ff, 0x0506), Some(mac));
        assert_eq!(Mac::from_words(0, 0), None);
    }

    #[test]
    fn what_is_no_unicast_mac_is_refused() {
        for text in [
            "",
            "02:00:00:00:00",
            "02:00:00:00:00:00:01",
            "03:00:00:00:00:01",
            "00:00:00:00:00:00",
            "02:00:00:00:00:+1",
            "02:00:00:00:00:",
            "02:00:00:00:00:100",
        ] {
            assert!(text.parse::<Mac>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_device_has_the_same_mac_at_every_start() {
        let mac = Mac::of_device("tap0");
        assert_eq!(mac.0[0] & 3, 2);
        assert_eq!(mac, Mac::of_device("tap0"));
        assert_ne!(mac, Mac::of_device("tap1"));
    }
}
