//! Settings as a user writes them: Linux's names with or without `net.ipv4.` or `net.core.`,
//! triples such as tcp_rmem in one value, controllers by name. Turned into words of CONFIG, as
//! host/node/board/sysctl.ts does. Called by board.rs and control.rs. Judges names and numbers; the
//! engine judges what they mean.

use ackorn::abi::{config, congestion, number_of};

/// One name on Linux, several words here.
const SEVERAL: &[(&str, &[&str])] = &[
    (
        "tcp_rmem",
        &["tcp_rmem_min", "tcp_rmem_default", "tcp_rmem_max"],
    ),
    (
        "tcp_wmem",
        &["tcp_wmem_min", "tcp_wmem_default", "tcp_wmem_max"],
    ),
    (
        "tcp_mem",
        &["tcp_mem_low", "tcp_mem_pressure", "tcp_mem_high"],
    ),
    (
        "ip_local_port_range",
        &["ip_local_port_range_low", "ip_local_port_range_high"],
    ),
];

/// Words with their values.
pub type Words = Vec<(String, u32)>;

fn whole(name: &str, text: &str) -> Result<u32, String> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let value = text.parse().ok().filter(|_| digits);
    value.ok_or_else(|| {
        format!(
            "{name}={text}: a whole number from 0 to {} is wanted",
            u32::MAX
        )
    })
}

fn plain(written: &str) -> &str {
    let name = written.strip_prefix("net.").unwrap_or(written);
    ["ipv4.", "ipv6.", "core."]
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix))
        .unwrap_or(name)
}

/// One sysctl with its value as text. The error is one line.
pub fn sysctl(written: &str, text: &str) -> Result<Words, String> {
    let name = plain(written);
    if let Some((_, words)) = SEVERAL.iter().find(|(several, _)| *several == name) {
        let separators = |letter: char| letter.is_whitespace() || letter == ',';
        let values: Vec<_> = text
            .split(separators)
            .filter(|value| !value.is_empty())
            .collect();
        if values.len() != words.len() {
            let count = words.len();
            return Err(format!(
                "{written}: {count} numbers are wanted, not '{text}'"
            ));
        }
        let pairs = words.iter().zip(values);
        return pairs
            .map(|(word, value)| Ok(((*word).to_owned(), whole(written, value)?)))
            .collect();
    }
    let known = number_of(config::NAMES, name).is_some_and(|word| word >= config::tcp_rmem_min);
    if !known {
        let names = "the names are Linux's, such as tcp_rmem or somaxconn";
        return Err(format!("unknown sysctl: {written} ({names})"));
    }
    let controller = number_of(congestion::NAMES, text);
    if let Some(number) = controller.filter(|_| name == "tcp_congestion_control") {
        return Ok(vec![(name.to_owned(), number)]);
    }
    Ok(vec![(name.to_owned(), whole(written, text.trim())?)])
}

/// One of the sizes that boot lays out, such as connectionsMax. The error is one line.
pub fn limit(name: &str, text: &str) -> Result<Words, String> {
    let sizes = config::seed3 + 1..config::tcp_rmem_min;
    if number_of(config::NAMES, name).is_some_and(|word| sizes.contains(&word)) {
        return Ok(vec![(name.to_owned(), whole(name, text.trim())?)]);
    }
    let known: Vec<_> = config::NAMES
        .iter()
        .filter(|(_, word)| sizes.contains(word))
        .map(|(name, _)| *name)
        .collect();
    Err(format!(
        "unknown limit: {name} (known: {})",
        known.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_linux_names_and_triples_are_taken_apart() {
        let one = |name: &str, value| vec![(name.to_owned(), value)];
        assert_eq!(sysctl("tcp_sack", "0"), Ok(one("tcp_sack", 0)));
        assert_eq!(sysctl("net.core.somaxconn", "9"), Ok(one("somaxconn", 9)));
        let cubic = Ok(one("tcp_congestion_control", congestion::cubic));
        assert_eq!(sysctl("net.ipv4.tcp_congestion_control", "cubic"), cubic);
        let triple = sysctl("tcp_rmem", "1, 2 3").unwrap();
        assert_eq!(triple[2], ("tcp_rmem_max".to_owned(), 3));
        assert_eq!(limit("connectionsMax", "7"), Ok(one("connectionsMax", 7)));
        for (name, text) in [("tcp_rmem", "1 2"), ("tcp_sack", "-1"), ("arenaBytes", "1")] {
            assert!(sysctl(name, text).is_err(), "{name}");
        }
        assert!(limit("tcp_sack", "1").is_err() && limit("seed0", "1").is_err());
        assert!(limit("arenaBytes", "4294967296").is_err());
    }
}
