/*
 * Timers finer than the event loop's milliseconds: a timerfd(2) each, waited for by start_poll like
 * any descriptor. Called by link/alarm.ts through N-API. What JavaScript forgets to close is closed
 * when its environment ends.
 */
#define _GNU_SOURCE
#include "ackorn.h"

#include <errno.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

static void close_descriptor(void *data) {
  close((int)(intptr_t)data);
}

/* openTimer() -> fd or -errno */
napi_value open_timer(napi_env env, napi_callback_info info) {
  (void)info;
  int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
  if (fd < 0) return number(env, -errno);
  napi_add_env_cleanup_hook(env, close_descriptor, (void *)(intptr_t)fd);
  return number(env, fd);
}

/* setTimer(fd, microseconds) -> 0 or -errno. 0 stops it; both take back an expiry not yet seen. */
napi_value set_timer(napi_env env, napi_callback_info info) {
  napi_value values[2];
  int32_t fd;
  uint32_t us;
  if (!arguments(env, info, 2, values) || !as_int(env, values[0], &fd) ||
      !as_u32(env, values[1], &us)) {
    return NULL;
  }
  struct itimerspec when = {.it_value = {.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000}};
  return number(env, timerfd_settime(fd, 0, &when, NULL) < 0 ? -errno : 0);
}

/* closeTimer(fd) -> 0: of openTimer's, once. Stop its poll before. */
napi_value close_timer(napi_env env, napi_callback_info info) {
  napi_value values[1];
  int32_t fd;
  if (!arguments(env, info, 1, values) || !as_int(env, values[0], &fd)) return NULL;
  napi_remove_env_cleanup_hook(env, close_descriptor, (void *)(intptr_t)fd);
  close(fd);
  return number(env, 0);
}
