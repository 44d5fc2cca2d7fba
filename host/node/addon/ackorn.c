/*
 * The addon's table of functions, its arguments, and the plain system calls: ioctl, rtnetlink,
 * setns. host/node/addon/addon.ts loads it; device.ts says what the calls are used for.
 * Knows nothing of TCP or IP. Node-API only, so one binary serves Node 20 and everything newer.
 */
#define _GNU_SOURCE
#include "ackorn.h"

#include <errno.h>
#include <linux/ethtool.h>
#include <linux/netlink.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "abi.h"

/* Every request that device.ts makes takes an int or at most a struct ifreq. */
#define IOCTL_ARGUMENT_BYTES 40

bool arguments(napi_env env, napi_callback_info info, size_t count, napi_value *values) {
  size_t given = count;
  if (napi_get_cb_info(env, info, &given, values, NULL, NULL) != napi_ok || given < count) {
    napi_throw_type_error(env, "ERR_MISSING_ARGS", "too few arguments");
    return false;
  }
  return true;
}

static bool refuse(napi_env env, const char *message) {
  napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", message);
  return false;
}

bool as_int(napi_env env, napi_value value, int32_t *out) {
  return napi_get_value_int32(env, value, out) == napi_ok || refuse(env, "an integer is wanted");
}

bool as_u32(napi_env env, napi_value value, uint32_t *out) {
  return napi_get_value_uint32(env, value, out) == napi_ok || refuse(env, "an integer is wanted");
}

bool as_bytes(napi_env env, napi_value value, uint8_t **data, size_t *length) {
  napi_typedarray_type type;
  napi_status status =
      napi_get_typedarray_info(env, value, &type, length, (void **)data, NULL, NULL);
  if (status == napi_ok && type == napi_uint8_array) return true;
  return refuse(env, "a Uint8Array is wanted");
}

bool as_memory(napi_env env, napi_value value, uint8_t **data, size_t *length) {
  if (napi_get_arraybuffer_info(env, value, (void **)data, length) == napi_ok) return true;
  return refuse(env, "an ArrayBuffer is wanted");
}

napi_value number(napi_env env, int64_t value) {
  napi_value result = NULL;
  napi_create_int64(env, value, &result);
  return result;
}

/* ioctl(fd, request, Uint8Array of 40 bytes or more | integer) -> result or -errno */
static napi_value call_ioctl(napi_env env, napi_callback_info info) {
  napi_value values[3];
  int32_t fd;
  uint32_t request;
  napi_valuetype type;
  if (!arguments(env, info, 3, values) || !as_int(env, values[0], &fd) ||
      !as_u32(env, values[1], &request) || napi_typeof(env, values[2], &type) != napi_ok) {
    return NULL;
  }
  int result;
  if (type == napi_number) {
    uint32_t argument;
    if (!as_u32(env, values[2], &argument)) return NULL;
    result = ioctl(fd, (unsigned long)request, (unsigned long)argument);
  } else {
    uint8_t *data;
    size_t length;
    if (!as_bytes(env, values[2], &data, &length)) return NULL;
    /* The kernel writes a whole ifreq back: a shorter buffer would be overrun. */
    if (length < IOCTL_ARGUMENT_BYTES) return number(env, -EINVAL);
    result = ioctl(fd, (unsigned long)request, data);
  }
  return number(env, result < 0 ? -errno : result);
}

static int64_t rtnetlink_round_trip(const uint8_t *request, size_t request_length, uint8_t *reply,
                                    size_t reply_length) {
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  if (fd < 0) return -errno;
  struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
  ssize_t done = sendto(fd, request, request_length, 0, (struct sockaddr *)&kernel, sizeof kernel);
  if (done >= 0) {
    /* The kernel answers within sendto: there is nothing to wait for. */
    do {
      done = recv(fd, reply, reply_length, MSG_DONTWAIT | MSG_TRUNC);
    } while (done < 0 && errno == EINTR);
  }
  int64_t result = done < 0 ? -errno : done;
  if (done > (ssize_t)reply_length) result = -EMSGSIZE;
  close(fd);
  return result;
}

/* rtnetlink(request, reply) -> bytes of the first answer, put in reply, or -errno */
static napi_value call_rtnetlink(napi_env env, napi_callback_info info) {
  napi_value values[2];
  uint8_t *request, *reply;
  size_t request_length, reply_length;
  if (!arguments(env, info, 2, values) || !as_bytes(env, values[0], &request, &request_length) ||
      !as_bytes(env, values[1], &reply, &reply_length)) {
    return NULL;
  }
  return number(env, rtnetlink_round_trip(request, request_length, reply, reply_length));
}

/* ethtool(ifreq, command, value) -> 0 or -errno: a struct ethtool_value through SIOCETHTOOL. */
static napi_value call_ethtool(napi_env env, napi_callback_info info) {
  napi_value values[3];
  uint8_t *data;
  size_t length;
  struct ethtool_value value;
  if (!arguments(env, info, 3, values) || !as_bytes(env, values[0], &data, &length) ||
      !as_u32(env, values[1], &value.cmd) || !as_u32(env, values[2], &value.data)) {
    return NULL;
  }
  struct ifreq request;
  if (length < sizeof request) return number(env, -EINVAL);
  memcpy(&request, data, sizeof request);
  request.ifr_data = (void *)&value;
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return number(env, -errno);
  int result = ioctl(fd, SIOCETHTOOL, &request) < 0 ? -errno : 0;
  close(fd);
  return number(env, result);
}

/* setns(fd) -> 0 or -errno: the calling thread joins the network namespace that fd names. */
static napi_value call_setns(napi_env env, napi_callback_info info) {
  napi_value values[1];
  int32_t fd;
  if (!arguments(env, info, 1, values) || !as_int(env, values[0], &fd)) return NULL;
  return number(env, setns(fd, CLONE_NEWNET) < 0 ? -errno : 0);
}

static bool add_function(napi_env env, napi_value exports, const char *name,
                         napi_callback callback) {
  napi_value function;
  return napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, NULL, &function) == napi_ok &&
         napi_set_named_property(env, exports, name, function) == napi_ok;
}

NAPI_MODULE_INIT() {
  static const struct {
    const char *name;
    napi_callback callback;
  } table[] = {
      {"ioctl", call_ioctl},         {"rtnetlink", call_rtnetlink}, {"ethtool", call_ethtool},
      {"setns", call_setns},         {"readBatch", read_batch},     {"writeBatch", write_batch},
      {"startPoll", start_poll},     {"updatePoll", update_poll},   {"stopPoll", stop_poll},
      {"refPoll", ref_poll},         {"openTimer", open_timer},     {"setTimer", set_timer},
      {"closeTimer", close_timer},
  };
  for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
    if (!add_function(env, exports, table[i].name, table[i].callback)) return NULL;
  }
  /* The layout of the rings this binary was compiled for; addon.ts refuses another one. */
  napi_value version = number(env, ACKORN_ABI_VERSION);
  if (napi_set_named_property(env, exports, "abiVersion", version) != napi_ok) return NULL;
  if (!polls_begin(env)) return NULL;
  return exports;
}
