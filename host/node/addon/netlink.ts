/**
 * The rtnetlink messages that configure an interface without the `ip` command (rtnetlink(7)):
 * RTM_GETLINK, RTM_SETLINK, RTM_NEWADDR, RTM_GETROUTE. Bytes in and out; device.ts sends them.
 * Netlink speaks the machine's byte order, and every machine we run on is little-endian.
 */

const NLMSG_HEADER_BYTES = 16;
const NLMSG_ERROR = 2;
const NLM_F_REQUEST = 0x1;
const NLM_F_ACK = 0x4;
const NLM_F_REPLACE = 0x100;
const NLM_F_CREATE = 0x400;

const RTM_NEWLINK = 16;
const RTM_GETLINK = 18;
const RTM_SETLINK = 19;
const RTM_NEWADDR = 20;
const RTM_NEWROUTE = 24;
const RTM_GETROUTE = 26;
const RTMSG_BYTES = 12;
const RTA_DST = 1;
const RTN_LOCAL = 2;

const IFLA_IFNAME = 3;
const IFLA_MTU = 4;
const IFLA_TXQLEN = 13;
const IFLA_AF_SPEC = 26;
const IFLA_INET6_ADDR_GEN_MODE = 8;
const IN6_ADDR_GEN_MODE_NONE = 1;
const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_F_NODAD = 2;
const IFF_UP = 1;
const AF_INET = 2;
const AF_INET6 = 10;

/** Room for any answer to the requests below. */
export const REPLY_BYTES = 32768;

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value >>> 0);
  return bytes;
}

/** struct rtattr: length, type, payload, padded to four bytes. */
function attribute(type: number, payload: Uint8Array): Buffer {
  const length = 4 + payload.length;
  const bytes = Buffer.alloc((length + 3) & ~3);
  bytes.writeUInt16LE(length, 0);
  bytes.writeUInt16LE(type, 2);
  bytes.set(payload, 4);
  return bytes;
}

function message(type: number, flags: number, parts: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(parts);
  const header = Buffer.alloc(NLMSG_HEADER_BYTES);
  header.writeUInt32LE(NLMSG_HEADER_BYTES + body.length, 0);
  header.writeUInt16LE(type, 4);
  header.writeUInt16LE(NLM_F_REQUEST | flags, 6);
  header.writeUInt32LE(1, 8);
  return Buffer.concat([header, body]);
}

/** struct ifinfomsg; the interface is named by an attribute. */
function linkHeader(flags: number, change: number): Buffer {
  const bytes = Buffer.alloc(16);
  bytes.writeUInt32LE(flags, 8);
  bytes.writeUInt32LE(change, 12);
  return bytes;
}

function linkName(name: string): Buffer {
  return attribute(IFLA_IFNAME, Buffer.from(`${name}\0`));
}

/** Asks for an interface; the answer is read by linkIndex. */
export function getLink(name: string): Buffer {
  return message(RTM_GETLINK, 0, [linkHeader(0, 0), linkName(name)]);
}

/** Sets an interface up or down. */
export function setLinkUp(name: string, up: boolean): Buffer {
  const header = linkHeader(up ? IFF_UP : 0, IFF_UP);
  return message(RTM_SETLINK, NLM_F_ACK, [header, linkName(name)]);
}

/** Sets the MTU, bytes. */
export function setLinkMtu(name: string, mtu: number): Buffer {
  const parts = [linkHeader(0, 0), linkName(name), attribute(IFLA_MTU, u32(mtu))];
  return message(RTM_SETLINK, NLM_F_ACK, parts);
}

/** Sets how many packets wait for whoever reads the device. */
export function setLinkQueue(name: string, packets: number): Buffer {
  const parts = [linkHeader(0, 0), linkName(name), attribute(IFLA_TXQLEN, u32(packets))];
  return message(RTM_SETLINK, NLM_F_ACK, parts);
}

/** No IPv6 address made by the kernel itself (addr_gen_mode none), hence no solicitations. */
export function setLinkWithoutAutoconf(name: string): Buffer {
  const mode = attribute(IFLA_INET6_ADDR_GEN_MODE, Uint8Array.of(IN6_ADDR_GEN_MODE_NONE));
  const spec = attribute(IFLA_AF_SPEC, attribute(AF_INET6, mode));
  return message(RTM_SETLINK, NLM_F_ACK, [linkHeader(0, 0), linkName(name), spec]);
}

/** Adds an address, or renews one that is there. `address` and `peer` are 4 or 16 bytes. */
export function newAddress(
  index: number,
  address: Uint8Array,
  prefixLength: number,
  peer: Uint8Array,
): Buffer {
  const six = address.length === 16;
  const header = Buffer.alloc(8);
  header[0] = six ? AF_INET6 : AF_INET;
  header[1] = prefixLength;
  header[2] = six ? IFA_F_NODAD : 0;
  header.writeUInt32LE(index, 4);
  const parts = [header, attribute(IFA_LOCAL, address), attribute(IFA_ADDRESS, peer)];
  return message(RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE, parts);
}

/** Asks which route an address takes; the answer is read by isLocalRoute. */
export function getRoute(address: Uint8Array): Buffer {
  const header = Buffer.alloc(RTMSG_BYTES);
  header[0] = address.length === 16 ? AF_INET6 : AF_INET;
  header[1] = address.length * 8;
  return message(RTM_GETROUTE, 0, [header, attribute(RTA_DST, address)]);
}

/** Whether an answer to getRoute says that packets to the address are the kernel's own. */
export function isLocalRoute(reply: Buffer): boolean {
  if (reply.length < NLMSG_HEADER_BYTES + RTMSG_BYTES) return false;
  return reply.readUInt16LE(4) === RTM_NEWROUTE && reply[NLMSG_HEADER_BYTES + 7] === RTN_LOCAL;
}

/** The errno in an answer (negative), or 0. */
export function replyStatus(reply: Buffer): number {
  if (reply.length < NLMSG_HEADER_BYTES + 4) return 0;
  return reply.readUInt16LE(4) === NLMSG_ERROR ? reply.readInt32LE(NLMSG_HEADER_BYTES) : 0;
}

/** The interface's index in an answer to getLink, or 0. */
export function linkIndex(reply: Buffer): number {
  if (reply.length < NLMSG_HEADER_BYTES + 16 || reply.readUInt16LE(4) !== RTM_NEWLINK) return 0;
  return reply.readInt32LE(NLMSG_HEADER_BYTES + 4);
}
