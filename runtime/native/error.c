#include <stdarg.h>
#include <stdio.h>

#include "internal.h"

lucet_status lucet_fail(lucet_error *error, lucet_status code, uint64_t offset, const char *format, ...) {
  if (error != NULL) {
    error->code = (int32_t)code;
    error->trap = 0;
    error->offset = offset;
    va_list list;
    va_start(list, format);
    vsnprintf(error->message, sizeof error->message, format, list);
    va_end(list);
  }
  return code;
}
