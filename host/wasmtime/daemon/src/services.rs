//! Echo (RFC 862), discard (RFC 863), chargen (RFC 864) and daytime (RFC 867) on a stack: a task
//! for each connection, which ends with its peer. Called by main.rs. Knows streams only.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ackorn::{Stack, TcpListener, TcpStream};
use tokio::io::{AsyncReadExt, AsyncWriteExt, split};
use tokio::time::timeout;

/// Of echo: as much as a super-segment holds, so that copies are few.
const BUFFER_BYTES: usize = 65_536;
/// How long a peer may keep its side open after daytime's line.
const LINGER: Duration = Duration::from_secs(10);

/// 9 cycles of 95 lines of 74 bytes: just under one super-segment.
const CYCLES: usize = 9;
const PRINTABLES: u8 = 95;

/// Lines of 72 printable characters, each beginning one character further on.
fn pattern() -> Vec<u8> {
    let mut bytes = Vec::new();
    for start in 0..PRINTABLES {
        bytes.extend((0..72).map(|at| b' ' + (start + at) % PRINTABLES));
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.repeat(CYCLES)
}

/// Bytes as they come, until the peer ends. Read in whatever pieces they arrive.
async fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let length = stream.read(&mut buffer).await?;
        if length == 0 {
            return stream.shutdown().await;
        }
        stream.write_all(&buffer[..length]).await?;
    }
}

async fn discard(mut stream: TcpStream) -> io::Result<()> {
    while stream.discard().await? > 0 {}
    stream.shutdown().await
}

/// Sends until the peer ends: a FIN is "the user terminates the connection".
async fn chargen(stream: TcpStream) -> io::Result<()> {
    let pattern = pattern();
    let (mut reader, mut writer) = split(stream);
    let sending = async {
        loop {
            writer.write_all(&pattern).await?;
        }
    };
    let mut unread = [0; 512];
    let ending = async {
        while reader.read(&mut unread).await? > 0 {}
        Ok::<(), io::Error>(())
    };
    either(sending, ending).await?;
    writer.shutdown().await
}

/// Whichever of the two ends first.
async fn either(
    sending: impl Future<Output = io::Result<()>>,
    ending: impl Future<Output = io::Result<()>>,
) -> io::Result<()> {
    let mut sending = std::pin::pin!(sending);
    let mut ending = std::pin::pin!(ending);
    std::future::poll_fn(|context| {
        if let ended @ std::task::Poll::Ready(_) = ending.as_mut().poll(context) {
            return ended;
        }
        sending.as_mut().poll(context)
    })
    .await
}

const DAYS: [&str; 7] = [
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// Year, month from 0, and day from 1 of a number of days since 1970 (proleptic Gregorian).
fn date(days: u64) -> (u64, usize, u64) {
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let (mut year, mut left) = (1970, days);
    while left >= 365 + u64::from(leap(year)) {
        left -= 365 + u64::from(leap(year));
        year += 1;
    }
    let lengths = [
        31,
        28 + u64::from(leap(year)),
        31,
        30,
        31,
        30,
        31,
        31,
        30,
        31,
        30,
        31,
    ];
    let mut month = 0;
    while left >= lengths[month] {
        left -= lengths[month];
        month += 1;
    }
    (year, month, left + 1)
}

/// The form that RFC 867 shows first: `Tuesday, February 22, 1982 17:37:43-UTC`.
fn daytime_line(seconds: u64) -> String {
    let days = seconds / 86_400;
    let (year, month, day) = date(days);
    let weekday = DAYS[usize::try_from(days % 7).unwrap_or_default()];
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let month = MONTHS[month];
    format!("{weekday}, {month} {day}, {year} {hour:02}:{minute:02}:{second:02}-UTC\r\n")
}

async fn daytime(mut stream: TcpStream) -> io::Result<()> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    stream
        .write_all(daytime_line(now.as_secs()).as_bytes())
        .await?;
    stream.shutdown().await?;
    // Closing over unread bytes would answer with a RST, and the line could be lost.
    let reading = async {
        while stream.discard().await? > 0 {}
        Ok::<(), io::Error>(())
    };
    timeout(LINGER, reading).await.unwrap_or(Ok(()))
}

async fn serve(service: &'static str, stream: TcpStream, peer: SocketAddr) {
    let served = match service {
        "echo" => echo(stream).await,
        "discard" => discard(stream).await,
        "chargen" => chargen(stream).await,
        _ => daytime(stream).await,
    };
    match served {
        Ok(()) => tracing::debug!(service, %peer, "closed"),
        Err(error) => tracing::debug!(service, %peer, %error, "ended"),
    }
}

/// Listens on every address of the stack and serves until the stack ends.
///
/// # Errors
/// The port cannot be had.
pub fn start(stack: &Stack, service: &'static str, port: u16) -> io::Result<()> {
    let any = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port);
    let listener = TcpListener::bind(stack, any)?;
    tokio::spawn(async move {
        while let Ok((stream, peer)) = listener.accept().await {
            tracing::debug!(service, %peer, "accepted");
            tokio::spawn(serve(service, stream, peer));
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(
            daytime_line(0),
            "Thursday, January 1, 1970 00:00:00-UTC\r\n"
        );
        assert_eq!(
            daytime_line(383_161_063),
            "Sunday, February 21, 1982 17:37:43-UTC\r\n"
        );
        assert_eq!(
            daytime_line(951_782_400),
            "Tuesday, February 29, 2000 00:00:00-UTC\r\n"
        );
        assert_eq!(
            daytime_line(4_107_542_399),
            "Sunday, February 28, 2100 23:59:59-UTC\r\n"
        );
    }

    #[test]
    fn chargen_begins_each_line_one_character_further_on() {
        let bytes = pattern();
        assert_eq!(bytes.len(), 63_270);
        assert_eq!((bytes[0], bytes[74], bytes[71]), (b' ', b'!', b'g'));
        assert_eq!(&bytes[..74 * 95], &bytes[74 * 95..74 * 95 * 2]);
    }
}
