/**
 * The DHCP client of an Ethernet link: RFC 2131 §3.1, §4.4 (figure 5), §4.1 (back-off). ip/
 * autoconf.ts starts it, calls dhcpTimer at its deadline and dhcpConflict when the address is
 * another's; udp/input.ts hands in what comes to port 68. The lease becomes an address and a route
 * with an end. Messages that cannot be used are counted: AckornDhcpInErrors.
 */
import { Config, Counter, Dhcp, Origin, TX_L3_HEADER } from "../abi";
import { config } from "../config";
import { arenaAlloc, arenaFree } from "../core/arena";
import { readBe16, readU32, readU8, zeroBytes } from "../core/bytes";
import { count } from "../core/counters";
import { addressExpire } from "../ip/autoconf";
import { addressBegin, dhcpAfter, jitter } from "../ip/dad";
import { ipBegin, ipFinish, ipWrite } from "../ip/output";
import { MAPPED_WORD, isMulticast, Packet, packetDrop } from "../ip/packet";
import { ADDRESS_USED, addressAny, addressEntry, FOREVER_S } from "../ip/route";
import { routesForget, routeSet } from "../ip/route-table";
import { IpState, ipState, scratchEndpoint } from "../ip/state";
import { ethernetTransmit } from "../link/ethernet";
import { Link, linkAt, LinkAuto, linkAuto, linkIsUp, PENDING_DHCP } from "../link/link";
import { txPiece, txReserve } from "../link/output";
import { system } from "../memory";
import { random32 } from "../tcp/isn";
import {
  DHCP_ACK, DHCP_CLIENT_PORT, DHCP_DECLINE, DHCP_DISCOVER, DHCP_MIN_BYTES, DHCP_NAK, DHCP_OFFER,
  DHCP_REQUEST, DHCP_SERVER_PORT, dhcpAddress, dhcpBegin, dhcpCheck, dhcpEnd, DhcpMessage,
  dhcpNumber, dhcpOption, OPTION_LEASE, OPTION_MTU, OPTION_REBINDING, OPTION_RENEWAL,
  OPTION_REQUESTED, OPTION_ROUTER, OPTION_SERVER, OPTION_SUBNET, OPTION_TYPE,
} from "../wire/dhcp";
import { ETHERTYPE_IPV4, MAC_BROADCAST_HIGH, MAC_BROADCAST_LOW } from "../wire/ethernet";
import { IPV4_HEADER_BYTES, IPV4_MIN_MTU, PROTOCOL_UDP } from "../wire/ipv4";
import { UDP_HEADER_BYTES, udpWrite } from "../wire/udp";

/** RFC 2131 §4.1: the first wait, ms; doubled up to sixteen times, a second of chance each way. */
const WAIT: u32 = 4000;
const DOUBLINGS: u32 = 4;
/** Requests for an offer before another is looked for (§3.1, item 5). */
const REQUESTS: u8 = 4;
/** After a refusal, ms; §3.1 item 5: ten seconds after a declined address. */
const REFUSED: u32 = 1000;
const DECLINED: u32 = 10_000;
/** §4.4.5: no more often than this, seconds. */
const RENEW_LEAST: u32 = 60;
/** A lease shorter than this would be renewed all the time. */
const LEASE_LEAST: u32 = 60;
/** We have no address yet: the answer comes as a broadcast. */
const FLAG_BROADCAST: u32 = 0x8000;

// ---- States

/** From the beginning, or, where a lease is held (the link was down), by asking for it again. */
export function dhcpStart(link: Link): void {
  const own = linkAuto(link);
  if (own.dhcp >= <u8>Dhcp.Bound) {
    own.dhcp = <u8>Dhcp.Renewing;
    own.xid = random32();
  } else {
    own.dhcp = <u8>Dhcp.Init;
  }
  dhcpAfter(link, jitter(REFUSED));
}

function restart(link: Link, ms: u32): void {
  linkAuto(link).dhcp = <u8>Dhcp.Init;
  dhcpAfter(link, ms + jitter(REFUSED));
}

/** Its deadline has come. */
export function dhcpTimer(link: Link): void {
  const own = linkAuto(link);
  own.pending &= ~PENDING_DHCP;
  switch (<u32>own.dhcp) {
    case Dhcp.Init: {
      own.xid = random32();
      own.dhcpBeganS = system().nowS;
      own.dhcpRetries = 0;
      own.dhcp = <u8>Dhcp.Selecting;
    }
    case Dhcp.Selecting: return again(link, own, DHCP_DISCOVER);
    case Dhcp.Requesting: {
      if (own.dhcpRetries > REQUESTS) return restart(link, 0);
      return again(link, own, DHCP_REQUEST);
    }
    case Dhcp.Bound: {
      own.dhcp = <u8>Dhcp.Renewing;
      own.xid = random32();
    }
    case Dhcp.Renewing:
    case Dhcp.Rebinding: return renew(link, own);
    default: return;
  }
}

/** Says it, and again after a wait that doubles. */
function again(link: Link, own: LinkAuto, type: u32): void {
  send(link, own, type);
  const doublings = min<u32>(own.dhcpRetries, DOUBLINGS);
  if (own.dhcpRetries < 255) own.dhcpRetries += 1;
  dhcpAfter(link, (WAIT << doublings) - 1000 + jitter(2000));
}

/** T1 and T2 (§4.4.5): the one who gave the lease, then everybody, then it is over. */
function renew(link: Link, own: LinkAuto): void {
  const nowS = system().nowS;
  if (nowS >= own.dhcpExpiryS) {
    leave(link, own);
    return restart(link, 0);
  }
  if (nowS >= own.dhcpRebindS) own.dhcp = <u8>Dhcp.Rebinding;
  const until = own.dhcp == <u8>Dhcp.Rebinding ? own.dhcpExpiryS : own.dhcpRebindS;
  own.dhcpAskedS = nowS;
  send(link, own, DHCP_REQUEST);
  const left = until - nowS;
  const wait = min(max(left >> 1, RENEW_LEAST), left);
  dhcpAfter(link, min<u32>(max<u32>(wait, 1), 36_000) * 1000);
}

/** The lease is over or was taken back: what stands on its address ends. */
function leave(link: Link, own: LinkAuto): void {
  const i = addressAny(0, 0, MAPPED_WORD, own.dhcpAddress);
  if (i >= 0 && addressEntry(i).origin == <u8>Origin.Dhcp) addressExpire(i);
  routesForget(link.id, Origin.Dhcp);
}

/** Probing found that somebody has the address (§3.1 item 5). */
export function dhcpConflict(link: Link): void {
  const own = linkAuto(link);
  send(link, own, DHCP_DECLINE);
  routesForget(link.id, Origin.Dhcp);
  restart(link, DECLINED);
}

// ---- In

/** What came from port 67 to port 68; true: it was for us. `at`: behind the UDP header. */
export function dhcpInput(packet: Packet, at: usize, length: u32): bool {
  const link = linkAt(packet.link);
  const own = linkAuto(link);
  if (own.dhcp <= <u8>Dhcp.Init || own.dhcp == <u8>Dhcp.Bound) return own.dhcp != 0;
  if (!dhcpCheck(at, length)) {
    packetDrop(packet, Counter.AckornDhcpInErrors);
    return true;
  }
  const message = changetype<DhcpMessage>(at);
  const mine = message.macHigh == link.macHigh && message.macLow == link.macLow;
  if (message.xid != own.xid || !mine) return true; // for another client, or late
  const kind = dhcpOption(at, OPTION_TYPE, 1);
  const type = kind == 0 ? 0 : readU8(kind);
  const selecting = own.dhcp == <u8>Dhcp.Selecting;
  if (type == DHCP_OFFER && selecting) offered(link, own, at);
  else if (type == DHCP_ACK && !selecting) acknowledged(packet, link, own, at);
  else if (type == DHCP_NAK && !selecting) {
    count(Counter.AckornDhcpInNaks);
    leave(link, own);
    restart(link, REFUSED);
  }
  return true;
}

/** Can a host have the address? */
function usable(raw: u32): bool {
  const first = raw & 0xff;
  return first != 0 && first != 127 && raw != 0xffffffff && !isMulticast(0, 0, MAPPED_WORD, raw);
}

function offered(link: Link, own: LinkAuto, at: usize): void {
  const address = changetype<DhcpMessage>(at).yourAddress;
  const server = dhcpOption(at, OPTION_SERVER, 4);
  if (server == 0 || !usable(address)) return count(Counter.AckornDhcpInErrors);
  own.dhcpServer = readU32(server);
  own.dhcpAddress = address;
  own.dhcp = <u8>Dhcp.Requesting;
  own.dhcpRetries = 0;
  own.dhcpAskedS = system().nowS;
  again(link, own, DHCP_REQUEST);
}

/** The lease runs from when we asked for it (§4.4.1). */
function acknowledged(packet: Packet, link: Link, own: LinkAuto, at: usize): void {
  const address = changetype<DhcpMessage>(at).yourAddress;
  const lease = dhcpNumber(at, OPTION_LEASE, 0);
  if (!usable(address) || lease == 0) return packetDrop(packet, Counter.AckornDhcpInErrors);
  count(Counter.AckornDhcpInAcks);
  const before = addressAny(0, 0, MAPPED_WORD, own.dhcpAddress);
  const moved = own.dhcp >= <u8>Dhcp.Renewing && address != own.dhcpAddress;
  if (moved && before >= 0) leave(link, own);
  const server = dhcpOption(at, OPTION_SERVER, 4);
  if (server != 0) own.dhcpServer = readU32(server);
  own.dhcpAddress = address;
  own.dhcpPrefix = prefixOf(dhcpNumber(at, OPTION_SUBNET, 0xffffff00));
  const mtu = dhcpOption(at, OPTION_MTU, 2);
  if (mtu != 0) {
    const told = readBe16(mtu);
    if (told >= IPV4_MIN_MTU && told <= link.mtu) own.mtu4 = told;
  }
  leaseTimes(own, at, lease);
  const made = addressBegin(0, 0, MAPPED_WORD, address, own.dhcpPrefix, link.id, Origin.Dhcp);
  if (made < 0) return restart(link, DECLINED);
  addressEntry(made).validS = own.dhcpExpiryS;
  const router = dhcpOption(at, OPTION_ROUTER, 4);
  if (router != 0 && usable(readU32(router))) defaultRoute(link, own, readU32(router));
  own.dhcp = <u8>Dhcp.Bound;
  own.dhcpRetries = 0;
  if (own.dhcpExpiryS != FOREVER_S) sleepUntilRenewal(link, own);
}

/** T1 before T2 before the end, whatever the server says (§4.4.5: half, and seven eighths). */
function leaseTimes(own: LinkAuto, at: usize, lease: u32): void {
  own.pending &= ~PENDING_DHCP;
  own.dhcpExpiryS = FOREVER_S;
  if (lease == FOREVER_S) return;
  const seconds = min<u32>(max(lease, LEASE_LEAST), 0x7fffffff);
  const told2 = dhcpNumber(at, OPTION_REBINDING, seconds);
  const rebind = told2 < seconds ? told2 : seconds - (seconds >> 3);
  const told1 = dhcpNumber(at, OPTION_RENEWAL, seconds >> 1);
  own.dhcpExpiryS = own.dhcpAskedS + seconds;
  own.dhcpRebindS = own.dhcpAskedS + rebind;
  own.dhcpRenewS = own.dhcpAskedS + (told1 < rebind ? told1 : rebind >> 1);
}

function sleepUntilRenewal(link: Link, own: LinkAuto): void {
  const nowS = system().nowS;
  const wait = own.dhcpRenewS > nowS ? own.dhcpRenewS - nowS : 1;
  dhcpAfter(link, min<u32>(wait, 36_000) * 1000);
}

/** Leading ones of a mask; one with holes counts up to the first. */
function prefixOf(mask: u32): u32 {
  return clz<u32>(~mask);
}

function defaultRoute(link: Link, own: LinkAuto, router: u32): void {
  const state = ipState();
  const at = changetype<usize>(state) + offsetof<IpState>("from0");
  zeroBytes(at, 32);
  state.from2 = MAPPED_WORD;
  state.to2 = MAPPED_WORD;
  state.to3 = router;
  routesForget(link.id, Origin.Dhcp);
  routeSet(at, 96, link.id, Origin.Dhcp, own.dhcpExpiryS);
}

// ---- Out

function send(link: Link, own: LinkAuto, type: u32): void {
  const leased = own.dhcp >= <u8>Dhcp.Bound;
  const local = leased ? addressAny(0, 0, MAPPED_WORD, own.dhcpAddress) : -1;
  const inUse = local >= 0 && addressEntry(local).flags == ADDRESS_USED;
  const unicast = own.dhcp == <u8>Dhcp.Renewing && inUse;
  let slot: usize = 0;
  if (unicast) slot = ipBegin(local, false);
  else if (linkIsUp(link)) slot = txReserve(link);
  if (slot == 0) return;
  const shift = max<u32>(9, config(Config.arenaBlockShift));
  const block = arenaAlloc(shift);
  if (block == 0) return count(Counter.AckornArenaExhausted);
  compose(link, own, type, block, inUse);
  txPiece(slot, block, DHCP_MIN_BYTES);
  const l4 = slot + TX_L3_HEADER + IPV4_HEADER_BYTES;
  udpWrite(l4, DHCP_CLIENT_PORT, DHCP_SERVER_PORT, UDP_HEADER_BYTES + DHCP_MIN_BYTES);
  count(Counter.UdpOutDatagrams);
  if (unicast) toServer(own, slot, local);
  else toEverybody(link, own, slot, inUse);
  arenaFree(block, shift);
}

function compose(link: Link, own: LinkAuto, type: u32, at: usize, inUse: bool): void {
  zeroBytes(at, DHCP_MIN_BYTES);
  let option = dhcpBegin(at, type, own.xid, link.macHigh, link.macLow);
  const message = changetype<DhcpMessage>(at);
  message.seconds = min<u32>(system().nowS - own.dhcpBeganS, 65535);
  message.flags = inUse ? 0 : FLAG_BROADCAST;
  if (inUse) message.clientAddress = own.dhcpAddress;
  const named = type == DHCP_DECLINE || own.dhcp == <u8>Dhcp.Requesting;
  if (named) {
    option = dhcpAddress(option, OPTION_REQUESTED, own.dhcpAddress);
    option = dhcpAddress(option, OPTION_SERVER, own.dhcpServer);
  }
  dhcpEnd(option);
}

function toServer(own: LinkAuto, slot: usize, local: u32): void {
  const e = scratchEndpoint();
  e.remote0 = 0;
  e.remote1 = 0;
  e.remote2 = MAPPED_WORD;
  e.remote3 = own.dhcpServer;
  e.remotePort = <u16>DHCP_SERVER_PORT;
  e.localPort = <u16>DHCP_CLIENT_PORT;
  e.localAddress = <u16>local;
  ipFinish(slot, e, PROTOCOL_UDP, 0, 0, UDP_HEADER_BYTES, DHCP_MIN_BYTES, 0, false);
}

function toEverybody(link: Link, own: LinkAuto, slot: usize, inUse: bool): void {
  const state = ipState();
  const from = changetype<usize>(state) + offsetof<IpState>("from0");
  zeroBytes(from, 32);
  state.from2 = MAPPED_WORD;
  state.from3 = inUse ? own.dhcpAddress : 0;
  state.to2 = MAPPED_WORD;
  state.to3 = 0xffffffff;
  const header = ipWrite(
    slot, link, from, from + 16, PROTOCOL_UDP, 0, 0, UDP_HEADER_BYTES, DHCP_MIN_BYTES, 0, false, 0,
  );
  const low = MAC_BROADCAST_LOW;
  ethernetTransmit(link, slot, ETHERTYPE_IPV4, MAC_BROADCAST_HIGH, low, header);
}
