/**
 * tcpSetOption and tcpGetOption by Linux's names (abi.ts, Option), and those of listeners, which
 * their connections inherit. Called through index.ts; a value out of range is -EINVAL and changes
 * nothing, an option without meaning here -ENOPROTOOPT.
 */
import { Config, Errno, Option, State } from "../abi";
import { config } from "../config";
import { streamHeld } from "../core/stream";
import { recvStream, sendStream } from "./busy";
import { congestionKnown, congestionSet } from "./congestion/controller";
import { RATE_MAX, paceLimit } from "./congestion/pacing-rate";
import {
  Extra, LF_REUSEADDR, LF_V6ONLY, Listener, TF_CORK, TF_KEEPALIVE, TF_LINGER, TF_NODELAY,
  TF_NO_SOFT_ERRORS, TF_QUICKACK, TF_RCVBUF_LOCK, TF_REUSEADDR, TF_SNDBUF_LOCK, TF_URGENT_RECV,
  TF_V6ONLY, TF_PINGPONG, TOS_ECN, Tcb, TF_DELACK, TimerKind,
} from "./records";
import { OF_FORCE } from "./output";
import { busyOf, busyTake, extraOf, extraTake, outputList } from "./tcb";
import { ackNow } from "./text";
import { sendRoom } from "./user";
import { receiveBufferOf } from "./window";

/** The largest rate that a non-negative answer can tell; SO_MAX_PACING_RATE off reads as this. */
const I32_MAX: u32 = 0x7fffffff;

function flag(flags: u32, bit: u32, value: u32): u32 {
  return value != 0 ? flags | bit : flags & ~bit;
}

/** The TF_* bit of an option that is one, else 0. */
function bitOf(option: Option): u32 {
  if (option == Option.SO_REUSEADDR) return TF_REUSEADDR;
  if (option == Option.SO_KEEPALIVE) return TF_KEEPALIVE;
  if (option == Option.IPV6_V6ONLY) return TF_V6ONLY;
  if (option == Option.TCP_NODELAY) return TF_NODELAY;
  if (option == Option.TCP_CORK) return TF_CORK;
  if (option == Option.TCP_QUICKACK) return TF_QUICKACK;
  return 0;
}

/** Bounds of a buffer size, as Linux's sysctls set them. */
function bufferBytes(value: u32, least: Config, most: Config): u32 {
  return min(max(value, config(least)), config(most));
}

//= rfc9293 MUST-17
//= rfc9293 MUST-21
//= rfc9293 MUST-24
//= rfc9293 MUST-25
//= rfc9293 MUST-48
//= rfc9293 MUST-49
//= rfc9293 SHLD-20
//= rfc9293 SHLD-21
export function optionSet(tcb: Tcb, option: Option, value: u32): i32 {
  const bit = bitOf(option);
  if (bit != 0) return bitSet(tcb, option, bit, value);
  if (option == Option.IP_RECVERR) {
    tcb.flags = flag(tcb.flags, TF_NO_SOFT_ERRORS, value == 0 ? 1 : 0);
    return 0;
  }
  if (option == Option.IP_TOS) return byteSet(value, 255) ? tos(tcb, value) : -Errno.EINVAL;
  if (option == Option.IP_TTL) {
    if (value == 0 || value > 255) return -Errno.EINVAL;
    tcb.ttl = <u8>value;
    return 0;
  }
  if (option == Option.SO_LINGER) {
    if (value > 256) return -Errno.EINVAL;
    tcb.flags = flag(tcb.flags, TF_LINGER, value);
    tcb.lingerSeconds = value != 0 ? <u8>(value - 1) : 0;
    return 0;
  }
  if (option == Option.TCP_MAXSEG) {
    if (tcb.state != State.CLOSE) return -Errno.EINVAL;
    if (value != 0 && (value < config(Config.tcp_min_snd_mss) || value > 32767)) {
      return -Errno.EINVAL;
    }
    tcb.rcvMss = <u16>value; // options.ts takes it from there while there is no peer
    return 0;
  }
  if (option == Option.TCP_CONGESTION) {
    if (!congestionKnown(value)) return -Errno.EINVAL;
    congestionSet(tcb, value);
    return 0;
  }
  if (option == Option.SO_MAX_PACING_RATE) return pacingRateSet(tcb, value);
  return extraSet(tcb, option, value);
}

/**
 * Bytes per second; 0xffffffff: no limit. It stands in Busy, which stays as long as it is set, and
 * before there is a peer in cwnd, which nobody else needs until then (userConnect takes it).
 */
function pacingRateSet(tcb: Tcb, value: u32): i32 {
  if (value == 0) return -Errno.EINVAL;
  const limit: u32 = value == RATE_MAX ? 0 : value;
  if (tcb.remotePort == 0) tcb.cwnd = limit;
  else if (tcb.state != State.CLOSE && (limit != 0 || tcb.busy != 0)) {
    if (!busyTake(tcb)) return -Errno.ENOBUFS;
    paceLimit(tcb, busyOf(tcb), limit);
  }
  return 0;
}

function pacingRateGet(tcb: Tcb): i32 {
  let limit: u32 = tcb.busy != 0 ? busyOf(tcb).maxPacingRate : 0;
  if (tcb.remotePort == 0) limit = tcb.cwnd;
  return limit == 0 || limit > I32_MAX ? I32_MAX : limit;
}

function byteSet(value: u32, most: u32): bool {
  return value <= most;
}

function tos(tcb: Tcb, value: u32): i32 {
  tcb.tos = <u8>((value & ~TOS_ECN) | (<u32>tcb.tos & TOS_ECN)); // the ECN bits are TCP's own
  return 0;
}

function bitSet(tcb: Tcb, option: Option, bit: u32, value: u32): i32 {
  if (option == Option.SO_KEEPALIVE && value != 0 && !extraTake(tcb)) return -Errno.ENOBUFS;
  tcb.flags = flag(tcb.flags, bit, value);
  if (option == Option.SO_KEEPALIVE) keepAliveChanged(tcb);
  if (option == Option.TCP_QUICKACK && value != 0) {
    tcb.flags &= ~TF_PINGPONG;
    if (tcb.flags & TF_DELACK) ackNow(tcb);
  }
  const release = option == Option.TCP_NODELAY ? value != 0 : value == 0;
  if ((option == Option.TCP_NODELAY || option == Option.TCP_CORK) && release && tcb.busy != 0) {
    if (option == Option.TCP_CORK) busyOf(tcb).outputFlags |= OF_FORCE;
    outputList(tcb);
  }
  return 0;
}

/** The next poll arms the timer anew, by a clock that is right. */
function keepAliveChanged(tcb: Tcb): void {
  if (tcb.timerKind == TimerKind.KeepAlive) tcb.timerKind = <u8>TimerKind.None;
  outputList(tcb);
}

/** Options that need the Extra record. */
function extraSet(tcb: Tcb, option: Option, value: u32): i32 {
  if (!extraOption(option)) return -Errno.ENOPROTOOPT;
  if (!extraTake(tcb)) return -Errno.ENOBUFS;
  const extra = extraOf(tcb);
  if (option == Option.SO_RCVBUF) {
    extra.rcvBuf = bufferBytes(value, Config.tcp_rmem_min, Config.tcp_rmem_max);
    tcb.flags |= TF_RCVBUF_LOCK;
    if (tcb.busy != 0) busyOf(tcb).rcvBuf = extra.rcvBuf;
    return 0;
  }
  if (option == Option.SO_SNDBUF) {
    extra.sndBuf = bufferBytes(value, Config.tcp_wmem_min, Config.tcp_wmem_max);
    tcb.flags |= TF_SNDBUF_LOCK;
    if (tcb.busy != 0) busyOf(tcb).sndBuf = extra.sndBuf;
    return 0;
  }
  if (option == Option.TCP_USER_TIMEOUT) {
    if (value > 0x7fffffff) return -Errno.EINVAL;
    extra.userTimeoutMs = value;
    return 0;
  }
  return keepAliveSet(tcb, extra, option, value);
}

function extraOption(option: Option): bool {
  return option == Option.SO_RCVBUF || option == Option.SO_SNDBUF ||
    option == Option.TCP_USER_TIMEOUT || option == Option.TCP_KEEPIDLE ||
    option == Option.TCP_KEEPINTVL || option == Option.TCP_KEEPCNT ||
    option == Option.TCP_SYNCNT || option == Option.TCP_LINGER2;
}

/** Linux's bounds: MAX_TCP_KEEPIDLE 32767 s, MAX_TCP_KEEPINTVL 32767 s, 127 probes and SYNs. */
function keepAliveSet(tcb: Tcb, extra: Extra, option: Option, value: u32): i32 {
  const most: u32 = option == Option.TCP_KEEPCNT || option == Option.TCP_SYNCNT ? 127 : 32767;
  if (value == 0 || value > most) return -Errno.EINVAL;
  if (option == Option.TCP_KEEPIDLE) extra.keepIdleS = <u16>value;
  else if (option == Option.TCP_KEEPINTVL) extra.keepIntvlS = <u16>value;
  else if (option == Option.TCP_KEEPCNT) extra.keepCnt = <u8>value;
  else if (option == Option.TCP_SYNCNT) extra.synCnt = <u8>value;
  else extra.linger2S = <u16>value;
  if (tcb.flags & TF_KEEPALIVE) keepAliveChanged(tcb);
  return 0;
}

export function optionGet(tcb: Tcb, option: Option): i32 {
  const bit = bitOf(option);
  if (bit != 0) return tcb.flags & bit ? 1 : 0;
  if (option == Option.SO_ERROR) {
    const error = tcb.error;
    tcb.error = 0;
    return error;
  }
  if (option == Option.IP_RECVERR) return tcb.flags & TF_NO_SOFT_ERRORS ? 0 : 1;
  if (option == Option.IP_TOS) return tcb.tos & ~TOS_ECN;
  if (option == Option.IP_TTL) return tcb.ttl;
  if (option == Option.IP_MTU) return tcb.pmtu;
  if (option == Option.SO_LINGER) return tcb.flags & TF_LINGER ? <i32>tcb.lingerSeconds + 1 : 0;
  if (option == Option.TCP_MAXSEG) return tcb.state == State.CLOSE ? tcb.rcvMss : tcb.sndMss;
  if (option == Option.TCP_CONGESTION) return tcb.congestion;
  if (option == Option.SO_MAX_PACING_RATE) return pacingRateGet(tcb);
  if (option == Option.SENDROOM) return sendRoom(tcb);
  if (option >= Option.SIOCOUTQ) return queueGet(tcb, option);
  return extraGet(tcb, option);
}

//= rfc9293 MUST-33
function queueGet(tcb: Tcb, option: Option): i32 {
  if (option == Option.SIOCATMARK) {
    if ((tcb.flags & TF_URGENT_RECV) == 0 || tcb.busy == 0) return -Errno.EINVAL;
    return busyOf(tcb).rcvUp - recvStream(busyOf(tcb)).head;
  }
  if (option == Option.SIOCINQ) {
    return tcb.busy == 0 ? 0 : streamHeld(recvStream(busyOf(tcb)));
  }
  if (option != Option.SIOCOUTQ) return -Errno.ENOPROTOOPT;
  return tcb.busy == 0 ? 0 : streamHeld(sendStream(busyOf(tcb)));
}

function extraGet(tcb: Tcb, option: Option): i32 {
  if (option == Option.SO_RCVBUF) return receiveBufferOf(tcb);
  const has = tcb.extra != 0;
  if (option == Option.SO_SNDBUF) {
    if (tcb.busy != 0) return busyOf(tcb).sndBuf;
    const own: u32 = has ? extraOf(tcb).sndBuf : 0;
    return own != 0 ? own : config(Config.tcp_wmem_default);
  }
  if (!extraOption(option)) return -Errno.ENOPROTOOPT;
  if (option == Option.TCP_USER_TIMEOUT) return has ? extraOf(tcb).userTimeoutMs : 0;
  if (option == Option.TCP_KEEPIDLE) {
    return own(has ? extraOf(tcb).keepIdleS : 0, Config.tcp_keepalive_time);
  }
  if (option == Option.TCP_KEEPINTVL) {
    return own(has ? extraOf(tcb).keepIntvlS : 0, Config.tcp_keepalive_intvl);
  }
  if (option == Option.TCP_KEEPCNT) {
    return own(has ? extraOf(tcb).keepCnt : 0, Config.tcp_keepalive_probes);
  }
  if (option == Option.TCP_SYNCNT) {
    return own(has ? extraOf(tcb).synCnt : 0, Config.tcp_syn_retries);
  }
  return own(has ? extraOf(tcb).linger2S : 0, Config.tcp_fin_timeout);
}

function own(value: u32, standard: Config): i32 {
  return value != 0 ? value : config(standard);
}

// ---- Listeners

export function listenerOptionSet(l: Listener, option: Option, value: u32): i32 {
  if (option == Option.SO_REUSEADDR || option == Option.IPV6_V6ONLY) {
    const bit = option == Option.SO_REUSEADDR ? LF_REUSEADDR : LF_V6ONLY;
    l.flags = value != 0 ? l.flags | bit : l.flags & ~bit;
    return 0;
  }
  const bit = bitOf(option);
  if (bit != 0) {
    l.tcbFlags = flag(l.tcbFlags, bit, value);
    return 0;
  }
  if (option == Option.IP_TOS) {
    if (value > 255) return -Errno.EINVAL;
    l.tos = <u8>(value & ~TOS_ECN);
  } else if (option == Option.IP_TTL) {
    if (value == 0 || value > 255) return -Errno.EINVAL;
    l.ttl = <u8>value;
  } else if (option == Option.SO_LINGER) {
    if (value > 256) return -Errno.EINVAL;
    l.tcbFlags = flag(l.tcbFlags, TF_LINGER, value);
    l.lingerSeconds = value != 0 ? <u8>(value - 1) : 0;
  } else if (option == Option.SO_RCVBUF) {
    l.rcvBuf = bufferBytes(value, Config.tcp_rmem_min, Config.tcp_rmem_max);
    l.tcbFlags |= TF_RCVBUF_LOCK;
  } else if (option == Option.SO_SNDBUF) {
    l.sndBuf = bufferBytes(value, Config.tcp_wmem_min, Config.tcp_wmem_max);
    l.tcbFlags |= TF_SNDBUF_LOCK;
  } else if (option == Option.TCP_USER_TIMEOUT) {
    if (value > 0x7fffffff) return -Errno.EINVAL;
    l.userTimeoutMs = value;
  } else if (option == Option.TCP_MAXSEG) {
    if (value != 0 && (value < config(Config.tcp_min_snd_mss) || value > 32767)) {
      return -Errno.EINVAL;
    }
    l.maxSegment = <u16>value;
  } else if (option == Option.TCP_CONGESTION) {
    if (!congestionKnown(value)) return -Errno.EINVAL;
    l.congestion = <u8>value;
  } else return -Errno.ENOPROTOOPT;
  return 0;
}

export function listenerOptionGet(l: Listener, option: Option): i32 {
  if (option == Option.SO_REUSEADDR) return l.flags & LF_REUSEADDR ? 1 : 0;
  if (option == Option.IPV6_V6ONLY) return l.flags & LF_V6ONLY ? 1 : 0;
  const bit = bitOf(option);
  if (bit != 0) return l.tcbFlags & bit ? 1 : 0;
  if (option == Option.SO_ERROR) return 0;
  if (option == Option.IP_TOS) return l.tos;
  if (option == Option.IP_TTL) return l.ttl;
  if (option == Option.SO_LINGER) return l.tcbFlags & TF_LINGER ? l.lingerSeconds + 1 : 0;
  if (option == Option.SO_RCVBUF) return l.rcvBuf != 0 ? l.rcvBuf : config(Config.tcp_rmem_default);
  if (option == Option.SO_SNDBUF) return l.sndBuf != 0 ? l.sndBuf : config(Config.tcp_wmem_default);
  if (option == Option.TCP_USER_TIMEOUT) return l.userTimeoutMs;
  if (option == Option.TCP_MAXSEG) return l.maxSegment;
  if (option == Option.TCP_CONGESTION) return l.congestion;
  return -Errno.ENOPROTOOPT;
}
