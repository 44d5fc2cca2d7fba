/**
 * Ordered sets of records by sequence number: a treap whose nodes begin with {seq, left, right,
 * parent} (Segment and Range of tcp/busy.ts). A node's priority is a keyed hash of its address, so
 * it needs no field, and neither order of insertion nor a peer who frees records in an order of his
 * choice shapes the tree: expected depth is O(log n) always. tcp/segments.ts and reassembly.ts call
 * it. All keys of one tree lie within half the number space. The root is a word of the caller's.
 */
import { Fault } from "../abi";
import { system } from "../memory";
import { readU32, writeU32 } from "./bytes";
import { invariant } from "./invariant";
import { seqLt } from "./seq";

@unmanaged
export class TreapNode {
  seq: u32;
  left: u32;
  right: u32;
  parent: u32;
}

// @ts-ignore: decorator
@inline
function at(address: usize): TreapNode {
  return changetype<TreapNode>(address);
}

/**
 * murmur3's finaliser: a bijection, so two addresses never tie. The key is a secret of boot and
 * must not change while a tree stands.
 */
// @ts-ignore: decorator
@inline
function priority(address: usize): u32 {
  let h = <u32>address ^ <u32>system().hashKey1;
  h = (h ^ (h >> 16)) * 0x85ebca6b;
  h = (h ^ (h >> 13)) * 0xc2b2ae35;
  return h ^ (h >> 16);
}

/** The word that holds the address of `node`. */
// @ts-ignore: decorator
@inline
function linkOf(rootAt: usize, node: usize): usize {
  const parent: usize = at(node).parent;
  if (!parent) return rootAt;
  return at(parent).left == <u32>node
    ? parent + offsetof<TreapNode>("left")
    : parent + offsetof<TreapNode>("right");
}

/** Puts a node in by its seq; behind those that have the same. */
export function treapInsert(rootAt: usize, node: usize): void {
  const seq = at(node).seq;
  let parent: usize = 0;
  let link = rootAt;
  for (let child: usize = readU32(rootAt); child; child = readU32(link)) {
    parent = child;
    link = seqLt(seq, at(child).seq)
      ? child + offsetof<TreapNode>("left")
      : child + offsetof<TreapNode>("right");
    invariant(child != node, Fault.Treap);
  }
  at(node).left = 0;
  at(node).right = 0;
  at(node).parent = <u32>parent;
  writeU32(link, <u32>node);
  const mine = priority(node);
  while (parent && priority(parent) < mine) {
    rotateUp(rootAt, node, parent);
    parent = at(node).parent;
  }
}

/** One rotation: node takes its parent's place. */
function rotateUp(rootAt: usize, node: usize, parent: usize): void {
  const link = linkOf(rootAt, parent);
  const grandparent = at(parent).parent;
  let inner: u32;
  if (at(parent).left == <u32>node) {
    inner = at(node).right;
    at(parent).left = inner;
    at(node).right = <u32>parent;
  } else {
    inner = at(node).left;
    at(parent).right = inner;
    at(node).left = <u32>parent;
  }
  if (inner) at(inner).parent = <u32>parent;
  at(parent).parent = <u32>node;
  at(node).parent = grandparent;
  writeU32(link, <u32>node);
}

/** Takes a node out; it must be in this tree. Its fields are left as they were. */
export function treapRemove(rootAt: usize, node: usize): void {
  let link = linkOf(rootAt, node);
  invariant(readU32(link) == <u32>node, Fault.Treap);
  let parent = at(node).parent;
  let a: usize = at(node).left;
  let b: usize = at(node).right;
  // Merge the two subtrees downward: the higher priority comes on top.
  while (a && b) {
    if (priority(a) > priority(b)) {
      writeU32(link, <u32>a);
      at(a).parent = parent;
      parent = <u32>a;
      link = a + offsetof<TreapNode>("right");
      a = at(a).right;
    } else {
      writeU32(link, <u32>b);
      at(b).parent = parent;
      parent = <u32>b;
      link = b + offsetof<TreapNode>("left");
      b = at(b).left;
    }
  }
  const rest = a | b;
  writeU32(link, <u32>rest);
  if (rest) at(rest).parent = parent;
}

/** The node with the greatest key <= seq, or 0. */
export function treapFloor(rootAt: usize, seq: u32): usize {
  let found: usize = 0;
  let node: usize = readU32(rootAt);
  while (node) {
    if (seqLt(seq, at(node).seq)) {
      node = at(node).left;
    } else {
      found = node;
      node = at(node).right;
    }
  }
  return found;
}

/** The node with the lowest key, or 0. */
export function treapFirst(rootAt: usize): usize {
  const root: usize = readU32(rootAt);
  return root ? leftmost(root) : 0;
}

/** The node with the highest key, or 0. */
export function treapLast(rootAt: usize): usize {
  const root: usize = readU32(rootAt);
  return root ? rightmost(root) : 0;
}

function leftmost(node: usize): usize {
  while (at(node).left) node = at(node).left;
  return node;
}

function rightmost(node: usize): usize {
  while (at(node).right) node = at(node).right;
  return node;
}

/** The node after this one, or 0. Amortised O(1) over a walk. */
export function treapNext(node: usize): usize {
  if (at(node).right) return leftmost(at(node).right);
  let parent: usize = at(node).parent;
  while (parent && at(parent).right == <u32>node) {
    node = parent;
    parent = at(node).parent;
  }
  return parent;
}

/** The node before this one, or 0. */
export function treapPrev(node: usize): usize {
  if (at(node).left) return rightmost(at(node).left);
  let parent: usize = at(node).parent;
  while (parent && at(parent).left == <u32>node) {
    node = parent;
    parent = at(node).parent;
  }
  return parent;
}

if (offsetof<TreapNode>() != 16) ERROR("TreapNode");
