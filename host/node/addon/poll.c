/*
 * Readiness of a descriptor through Node's own libuv loop: one uv_poll_t a device.
 * libuv's headers do not come with node-api-headers, so the few functions are declared here and
 * the handle's size is asked for. Called by link/tun.ts through N-API. When the environment ends
 * (a worker that is terminated too) an asynchronous clean-up hook closes every handle and waits
 * for libuv to give it back: Node aborts if a worker's loop still holds one.
 */
#include "ackorn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* From uv.h; stable since libuv 1.0, and checked by name in polls_begin. */
#define UV_POLL 8
#define UV_READABLE 1
#define UV_WRITABLE 2
typedef void (*uv_poll_cb)(void *handle, int status, int events);
typedef void (*uv_close_cb)(void *handle);
extern size_t uv_handle_size(int type);
extern const char *uv_handle_type_name(int type);
extern int uv_poll_init(void *loop, void *handle, int fd);
extern int uv_poll_start(void *handle, int events, uv_poll_cb callback);
extern int uv_poll_stop(void *handle);
extern void uv_close(void *handle, uv_close_cb callback);
extern void uv_ref(void *handle);
extern void uv_unref(void *handle);
extern void *uv_handle_get_data(const void *handle);
extern void uv_handle_set_data(void *handle, void *data);

struct poll {
  struct poll *next;
  struct state *state;
  void *handle;
  napi_ref callback;
  napi_async_context context;
  uint32_t id;
};

static void end_if_idle(struct state *state) {
  if (!state->ending || state->open_handles > 0) return;
  napi_remove_async_cleanup_hook(state->hook);
  free(state);
}

static void on_closed(void *handle) {
  struct poll *poll = uv_handle_get_data(handle);
  struct state *state = poll->state;
  free(handle);
  free(poll);
  state->open_handles--;
  end_if_idle(state);
}

static void close_poll(struct state *state, struct poll *poll) {
  struct poll **link = &state->polls;
  while (*link != poll) link = &(*link)->next;
  *link = poll->next;
  napi_delete_reference(state->env, poll->callback);
  napi_async_destroy(state->env, poll->context);
  poll->callback = NULL;
  uv_poll_stop(poll->handle);
  uv_close(poll->handle, on_closed);
}

static void on_environment_end(napi_async_cleanup_hook_handle hook, void *data) {
  (void)hook;
  struct state *state = data;
  state->ending = true;
  while (state->polls != NULL) close_poll(state, state->polls);
  end_if_idle(state);
}

bool polls_begin(napi_env env) {
  const char *name = uv_handle_type_name(UV_POLL);
  if (name == NULL || strcmp(name, "poll") != 0) {
    napi_throw_error(env, "ERR_LIBUV", "this libuv numbers its handles otherwise");
    return false;
  }
  struct state *state = calloc(1, sizeof *state);
  if (state == NULL) return false;
  state->env = env;
  if (napi_get_uv_event_loop(env, (struct uv_loop_s **)&state->loop) != napi_ok ||
      napi_add_async_cleanup_hook(env, on_environment_end, state, &state->hook) != napi_ok) {
    free(state);
    napi_throw_error(env, "ERR_LIBUV", "this environment has no event loop");
    return false;
  }
  /* No finalizer: the hook frees it, when the last handle has been given back. */
  napi_set_instance_data(env, state, NULL, NULL);
  return true;
}

static struct state *state_of(napi_env env) {
  void *data = NULL;
  napi_get_instance_data(env, &data);
  return data;
}

static struct poll *find(struct state *state, uint32_t id) {
  struct poll *poll = state->polls;
  while (poll != NULL && poll->id != id) poll = poll->next;
  return poll;
}

/* JavaScript in a callback scope of its own: promises and nextTick run before libuv goes on. */
static void on_ready(void *handle, int status, int events) {
  struct poll *poll = uv_handle_get_data(handle);
  if (poll->callback == NULL) return;
  napi_env env = poll->state->env;
  napi_handle_scope scope;
  if (napi_open_handle_scope(env, &scope) != napi_ok) return;
  napi_value receiver, callback;
  napi_value values[2] = {number(env, status), number(env, events)};
  if (napi_get_global(env, &receiver) == napi_ok &&
      napi_get_reference_value(env, poll->callback, &callback) == napi_ok) {
    napi_status done =
        napi_make_callback(env, poll->context, receiver, callback, 2, values, NULL);
    /* The poll may be closed by now: only env is touched below. */
    napi_value thrown;
    if (done == napi_pending_exception &&
        napi_get_and_clear_last_exception(env, &thrown) == napi_ok) {
      napi_fatal_exception(env, thrown);
    }
  }
  napi_close_handle_scope(env, scope);
}

static int begin_poll(struct state *state, int fd, int events, struct poll **out) {
  struct poll *poll = calloc(1, sizeof *poll);
  void *handle = calloc(1, uv_handle_size(UV_POLL));
  int result = poll == NULL || handle == NULL ? -ENOMEM : uv_poll_init(state->loop, handle, fd);
  if (result < 0) {
    free(poll);
    free(handle);
    return result;
  }
  poll->state = state;
  poll->handle = handle;
  poll->id = ++state->next_id;
  poll->next = state->polls;
  state->polls = poll;
  state->open_handles++;
  uv_handle_set_data(handle, poll);
  *out = poll;
  return uv_poll_start(handle, events, on_ready);
}

static bool as_events(napi_env env, napi_value readable, napi_value writable, int *events) {
  bool read, write;
  if (napi_get_value_bool(env, readable, &read) != napi_ok ||
      napi_get_value_bool(env, writable, &write) != napi_ok) {
    napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "booleans are wanted");
    return false;
  }
  *events = (read ? UV_READABLE : 0) | (write ? UV_WRITABLE : 0);
  return true;
}

/* startPoll(fd, readable, writable, callback(status, events)) -> id or -errno */
napi_value start_poll(napi_env env, napi_callback_info info) {
  napi_value values[4];
  int32_t fd;
  int events;
  napi_valuetype type;
  if (!arguments(env, info, 4, values) || !as_int(env, values[0], &fd) ||
      !as_events(env, values[1], values[2], &events)) {
    return NULL;
  }
  if (napi_typeof(env, values[3], &type) != napi_ok || type != napi_function) {
    napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "a function is wanted");
    return NULL;
  }
  struct poll *poll = NULL;
  int result = begin_poll(state_of(env), fd, events, &poll);
  if (poll == NULL) return number(env, result);
  napi_value name;
  napi_create_string_utf8(env, "AckornPoll", NAPI_AUTO_LENGTH, &name);
  napi_async_init(env, NULL, name, &poll->context);
  napi_create_reference(env, values[3], 1, &poll->callback);
  if (result < 0) {
    close_poll(poll->state, poll);
    return number(env, result);
  }
  return number(env, poll->id);
}

/* The poll that the first argument names, or NULL when it was stopped. */
static struct poll *poll_argument(napi_env env, napi_value value) {
  uint32_t id;
  return as_u32(env, value, &id) ? find(state_of(env), id) : NULL;
}

/* updatePoll(id, readable, writable) -> 0 or -errno. With neither, libuv forgets the fd. */
napi_value update_poll(napi_env env, napi_callback_info info) {
  napi_value values[3];
  int events;
  if (!arguments(env, info, 3, values)) return NULL;
  struct poll *poll = poll_argument(env, values[0]);
  if (!as_events(env, values[1], values[2], &events)) return NULL;
  if (poll == NULL) return number(env, -EBADF);
  int result = events == 0 ? uv_poll_stop(poll->handle)
                           : uv_poll_start(poll->handle, events, on_ready);
  return number(env, result);
}

/* stopPoll(id) -> 0, also when it was stopped before. After it the fd may be closed at once. */
napi_value stop_poll(napi_env env, napi_callback_info info) {
  napi_value values[1];
  if (!arguments(env, info, 1, values)) return NULL;
  struct poll *poll = poll_argument(env, values[0]);
  if (poll != NULL) close_poll(poll->state, poll);
  return number(env, 0);
}

/* refPoll(id, keep) -> 0 or -errno: whether the poll keeps the event loop alive. */
napi_value ref_poll(napi_env env, napi_callback_info info) {
  napi_value values[2];
  bool keep;
  if (!arguments(env, info, 2, values)) return NULL;
  struct poll *poll = poll_argument(env, values[0]);
  if (napi_get_value_bool(env, values[1], &keep) != napi_ok) {
    napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "a boolean is wanted");
    return NULL;
  }
  if (poll == NULL) return number(env, -EBADF);
  if (keep) {
    uv_ref(poll->handle);
  } else {
    uv_unref(poll->handle);
  }
  return number(env, 0);
}
