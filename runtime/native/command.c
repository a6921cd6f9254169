/** Programs that run once in an instance of their own: everything between a request and its response in one call. */
#include <string.h>

#include "internal.h"
#include "wasi.h"

lucet_status lucet_command_run(const lucet_command *c, lucet_instance **instance, lucet_event *event, lucet_error *error) {
  struct lucet_instance *i;
  *instance = NULL;
  if (c->module->meta.header->start_function != NONE)
    return lucet_fail(error, LUCET_ERROR_STATE, 0, "the module has a start function, which is to be run first");
  lucet_status status = lucet_instance_new_with(c->region, c->module, c->imports, c->import_count, c->options, &i, error);
  if (status != LUCET_OK) return status;
  uint64_t none[2] = {0, 0};
  lucet_instance_set_wasi(i, c->wasi);
  if (c->timeout != 0) lucet_instance_set_timeout(i, c->timeout);
  status = lucet_instance_call_export(i, c->export_, none, event, error);
  if (status == LUCET_OK && event->kind != LUCET_EVENT_RETURNED && event->kind != LUCET_EVENT_TERMINATED)
    *instance = i;
  else {
    /*
     * Nobody has had its handle. Of what it imports only functions run, on this thread; a reference to its own that one
     * of them keeps unites the groups.
     */
    i->sole = !i->told && lucet_group_alone(i);
    lucet_instance_release(i);
  }
  return status;
}

/** Standard output and error, to the block. False: there is no room. */
static bool keep_output(lucet_command_block *b) {
  uint64_t at = 0;
  for (uint32_t fd = 1; fd <= 2; fd++) {
    size_t length;
    const void *bytes = lucet_wasi_ctx_output(b->command.wasi, fd, &length);
    b->output[fd - 1] = length;
    if (length > b->room_size - at) return false;
    if (length != 0) memcpy(b->room + at, bytes, length);
    at += length;
  }
  return true;
}

void lucet_block_run(double call, double command, const void *input, size_t input_length) {
  lucet_call_block *to = (lucet_call_block *)(uintptr_t)call;
  lucet_command_block *b = (lucet_command_block *)(uintptr_t)command;
  b->instance = NULL;
  b->truncated = 0;
  b->output[0] = b->output[1] = 0;
  int failed = b->prepared == 0 && input != NULL ? lucet_wasi_ctx_set_input(b->command.wasi, input, input_length) : 0;
  if (failed != 0)
    to->status = lucet_fail(&to->error, LUCET_ERROR_RESOURCES, 0, "no memory for the standard input");
  else
    to->status = lucet_command_run(&b->command, &b->instance, &to->event, &to->error);
  lucet_block_tell(to);
  if (b->instance != NULL) return;
  if (keep_output(b))
    lucet_wasi_ctx_reset(b->command.wasi);
  else
    b->truncated = 1;
}
