/*
 * What the files of the addon share: the state of one environment (a thread of Node that loaded
 * it) and the functions each file gives to the table in ackorn.c. Every function that JavaScript
 * sees returns a number: what it did, or a negative errno. Messages are made in TypeScript.
 */
#ifndef ACKORN_H
#define ACKORN_H

#include <node_api.h>
#include <stdbool.h>
#include <stdint.h>

struct poll;

/* One an environment. Freed by the clean-up hook, after libuv gave every handle back. */
struct state {
  napi_env env;
  void *loop;
  struct poll *polls; /* those that are not closing */
  uint32_t next_id;
  uint32_t open_handles; /* closing ones included */
  napi_async_cleanup_hook_handle hook;
  bool ending;
};

#define ARGUMENTS_MAX 4

/* Reads exactly `count` arguments; false (and a pending TypeError) when there are fewer. */
bool arguments(napi_env env, napi_callback_info info, size_t count, napi_value *values);
/* Each returns false, with a TypeError pending, when the value is of another type. */
bool as_int(napi_env env, napi_value value, int32_t *out);
bool as_u32(napi_env env, napi_value value, uint32_t *out);
bool as_bytes(napi_env env, napi_value value, uint8_t **data, size_t *length);
bool as_memory(napi_env env, napi_value value, uint8_t **data, size_t *length);
napi_value number(napi_env env, int64_t value);

/* rings.c */
napi_value read_batch(napi_env env, napi_callback_info info);
napi_value write_batch(napi_env env, napi_callback_info info);

/* poll.c */
napi_value start_poll(napi_env env, napi_callback_info info);
napi_value update_poll(napi_env env, napi_callback_info info);
napi_value stop_poll(napi_env env, napi_callback_info info);
napi_value ref_poll(napi_env env, napi_callback_info info);
/* False when libuv is not the one this file was written for. */
bool polls_begin(napi_env env);

/* timer.c */
napi_value open_timer(napi_env env, napi_callback_info info);
napi_value set_timer(napi_env env, napi_callback_info info);
napi_value close_timer(napi_env env, napi_callback_info info);

#endif
