/*
 * Batched I/O between a device and the rings in the engine's memory (assembly/abi.ts, "Links").
 * Called through N-API by link/tun.ts once a wake-up. Frames are read and written in place.
 * Everything the ring says is checked against the memory before it is used: whatever stands
 * there, no byte outside the memory is read or written; the answer is -EFAULT.
 */
#include "ackorn.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>

#include "abi.h"

struct memory {
  uint8_t *base;
  uint64_t size;
};

static inline bool inside(const struct memory *memory, uint64_t at, uint64_t length) {
  return at <= memory->size && length <= memory->size - at;
}

static inline uint32_t *words(const struct memory *memory, uint64_t at) {
  return (uint32_t *)(void *)(memory->base + at);
}

/* The ring at `at`, or NULL when it does not lie whole and aligned in the memory. */
static uint32_t *ring_at(const struct memory *memory, uint32_t at) {
  if (at % 4 != 0 || !inside(memory, at, ACKORN_LINK_RING_BYTES)) return NULL;
  return words(memory, at);
}

static bool table_fits(const struct memory *memory, uint32_t at, uint32_t mask, uint32_t stride) {
  return at % 4 == 0 && inside(memory, at, ((uint64_t)mask + 1) * stride);
}

/* Does the buffer of an entry lie in the memory, with its room for a virtio_net_hdr? */
static bool buffer_fits(const struct memory *memory, const uint32_t *entry) {
  uint32_t address = entry[ACKORN_RX_ADDRESS / 4];
  if (address < ACKORN_VNET_HDR_BYTES) return false;
  uint64_t room = (uint64_t)entry[ACKORN_RX_CAPACITY / 4] + ACKORN_VNET_HDR_BYTES;
  return inside(memory, address - ACKORN_VNET_HDR_BYTES, room);
}

/* A frame read: bytes of it, without the virtio_net_hdr; or -errno. */
static int64_t read_frame(const struct memory *memory, int fd, uint32_t *entry, bool vnet) {
  uint32_t address = entry[ACKORN_RX_ADDRESS / 4];
  uint32_t capacity = entry[ACKORN_RX_CAPACITY / 4];
  uint32_t lead = vnet ? ACKORN_VNET_HDR_BYTES : 0;
  if (!buffer_fits(memory, entry)) return -EFAULT;
  uint64_t start = address - ACKORN_VNET_HDR_BYTES;
  /* One byte more than fits, elsewhere: a frame that was cut is told from one that just fits. */
  uint8_t spare;
  struct iovec pieces[2] = {
      {.iov_base = memory->base + address - lead, .iov_len = (size_t)capacity + lead},
      {.iov_base = &spare, .iov_len = 1},
  };
  ssize_t got;
  do {
    got = readv(fd, pieces, 2);
  } while (got < 0 && errno == EINTR);
  if (got < 0) return -errno;
  if (got < (ssize_t)lead) return -EIO;
  if (!vnet) memset(memory->base + start, 0, ACKORN_VNET_HDR_BYTES);
  uint64_t length = (uint64_t)got - lead;
  entry[ACKORN_RX_FLAGS / 4] = length > capacity ? ACKORN_RX_TRUNCATED : 0;
  entry[ACKORN_RX_LENGTH / 4] = length > capacity ? capacity : (uint32_t)length;
  return (int64_t)length;
}

/*
 * A batch ends here, full or not: what is read should still be in the processor's cache when the
 * engine copies it out.
 */
#define BATCH_BYTES (256 * 1024)

/*
 * Gives the free entry at `head` the buffer of the one at `warm`, also free: the host may permute
 * buffers among entries that are its own. The ring alone would go round through all of them, which
 * for 64 of 68 KiB is more than the cache holds. One that is wrong stays, to be refused.
 */
static void swap_buffers(const struct memory *memory, uint32_t table, uint32_t head,
                         uint32_t warm) {
  uint32_t *a = words(memory, (uint64_t)table + (uint64_t)head * ACKORN_RX_DESCRIPTOR_BYTES);
  uint32_t *b = words(memory, (uint64_t)table + (uint64_t)warm * ACKORN_RX_DESCRIPTOR_BYTES);
  if (!buffer_fits(memory, a)) return;
  uint32_t address = a[ACKORN_RX_ADDRESS / 4];
  uint32_t capacity = a[ACKORN_RX_CAPACITY / 4];
  a[ACKORN_RX_ADDRESS / 4] = b[ACKORN_RX_ADDRESS / 4];
  a[ACKORN_RX_CAPACITY / 4] = b[ACKORN_RX_CAPACITY / 4];
  b[ACKORN_RX_ADDRESS / 4] = address;
  b[ACKORN_RX_CAPACITY / 4] = capacity;
}

static int64_t fill_rx(const struct memory *memory, int fd, uint32_t at, uint32_t max) {
  uint32_t *ring = ring_at(memory, at);
  if (ring == NULL) return -EFAULT;
  uint32_t mask = ring[ACKORN_LINK_WORD_rxMask];
  uint32_t table = ring[ACKORN_LINK_WORD_rxDescriptors];
  uint32_t head = ring[ACKORN_LINK_WORD_rxHead];
  bool vnet = (ring[ACKORN_LINK_WORD_flags] & ACKORN_LINK_VNET_HDR) != 0;
  uint64_t used = (uint32_t)(head - ring[ACKORN_LINK_WORD_rxTail]);
  if (used > (uint64_t)mask + 1 ||
      !table_fits(memory, table, mask, ACKORN_RX_DESCRIPTOR_BYTES)) {
    return -EFAULT;
  }
  uint64_t room = (uint64_t)mask + 1 - used;
  int64_t moved = 0;
  int64_t result = 0;
  int64_t bytes = 0;
  /* All entries are free: the buffers used last come first, as far as both are still free. */
  uint32_t first = head;
  uint32_t swaps = used == 0 ? mask / 2 : 0;
  while (moved < (int64_t)max && moved < (int64_t)room && bytes < BATCH_BYTES) {
    if (moved < swaps) swap_buffers(memory, table, head & mask, (first - 1 - moved) & mask);
    uint64_t entry = (uint64_t)table + (uint64_t)(head & mask) * ACKORN_RX_DESCRIPTOR_BYTES;
    result = read_frame(memory, fd, words(memory, entry), vnet);
    if (result < 0) break;
    bytes += result;
    ring[ACKORN_LINK_WORD_rxHead] = ++head;
    moved++;
  }
  /* What was moved is told first; the error meets the next call again. */
  if (moved > 0 || result >= 0 || result == -EAGAIN) return moved;
  return result;
}

/* Bytes written, or -errno. -EFAULT comes only from here: the kernel's own cannot happen. */
static int64_t write_frame(const struct memory *memory, int fd, const uint32_t *slot, bool vnet) {
  uint32_t count = slot[ACKORN_TX_PIECE_COUNT / 4];
  if (count == 0 || count > ACKORN_TX_PIECES_MAX) return -EFAULT;
  struct iovec pieces[ACKORN_TX_PIECES_MAX];
  for (uint32_t i = 0; i < count; i++) {
    uint32_t address = slot[ACKORN_TX_PIECES / 4 + 2 * i];
    uint32_t length = slot[ACKORN_TX_PIECES / 4 + 2 * i + 1];
    if (!inside(memory, address, length)) return -EFAULT;
    pieces[i].iov_base = memory->base + address;
    pieces[i].iov_len = length;
  }
  if (vnet) {
    if (slot[ACKORN_TX_PIECES / 4] < ACKORN_VNET_HDR_BYTES) return -EFAULT;
    pieces[0].iov_base = (uint8_t *)pieces[0].iov_base - ACKORN_VNET_HDR_BYTES;
    pieces[0].iov_len += ACKORN_VNET_HDR_BYTES;
  }
  ssize_t done;
  do {
    done = writev(fd, pieces, (int)count);
  } while (done < 0 && errno == EINTR);
  return done < 0 ? -errno : done;
}

/* The descriptor is gone or its device was deleted: no frame will ever pass again. */
static inline bool is_final(int64_t result) {
  return result == -EBADF || result == -EBADFD || result == -EFAULT;
}

static int64_t drain_tx(const struct memory *memory, int fd, uint32_t at) {
  uint32_t *ring = ring_at(memory, at);
  if (ring == NULL) return -EFAULT;
  uint32_t mask = ring[ACKORN_LINK_WORD_txMask];
  uint32_t table = ring[ACKORN_LINK_WORD_txSlots];
  uint32_t tail = ring[ACKORN_LINK_WORD_txTail];
  bool vnet = (ring[ACKORN_LINK_WORD_flags] & ACKORN_LINK_VNET_HDR) != 0;
  uint64_t pending = (uint32_t)(ring[ACKORN_LINK_WORD_txHead] - tail);
  if (pending > (uint64_t)mask + 1 ||
      !table_fits(memory, table, mask, ACKORN_TX_SLOT_BYTES)) {
    return -EFAULT;
  }
  for (uint64_t moved = 0; moved < pending; moved++) {
    uint64_t slot = (uint64_t)table + (uint64_t)(tail & mask) * ACKORN_TX_SLOT_BYTES;
    int64_t result = write_frame(memory, fd, words(memory, slot), vnet);
    if (result == -EAGAIN) return (int64_t)moved;
    if (is_final(result)) return moved > 0 ? (int64_t)moved : result;
    if (result < 0) ring[ACKORN_LINK_WORD_txErrors]++;
    ring[ACKORN_LINK_WORD_txTail] = ++tail;
  }
  return (int64_t)pending;
}

/* readBatch(fd, ArrayBuffer, ringAddress, max) -> frames or -errno */
napi_value read_batch(napi_env env, napi_callback_info info) {
  napi_value values[4];
  int32_t fd;
  uint32_t at, max;
  uint8_t *base;
  size_t size;
  if (!arguments(env, info, 4, values) || !as_int(env, values[0], &fd) ||
      !as_memory(env, values[1], &base, &size) || !as_u32(env, values[2], &at) ||
      !as_u32(env, values[3], &max)) {
    return NULL;
  }
  struct memory memory = {.base = base, .size = size};
  return number(env, fill_rx(&memory, fd, at, max));
}

/* writeBatch(fd, ArrayBuffer, ringAddress) -> entries given back or -errno */
napi_value write_batch(napi_env env, napi_callback_info info) {
  napi_value values[3];
  int32_t fd;
  uint32_t at;
  uint8_t *base;
  size_t size;
  if (!arguments(env, info, 3, values) || !as_int(env, values[0], &fd) ||
      !as_memory(env, values[1], &base, &size) || !as_u32(env, values[2], &at)) {
    return NULL;
  }
  struct memory memory = {.base = base, .size = size};
  return number(env, drain_tx(&memory, fd, at));
}
