/* Calls the build of the library that it is linked with, through its C header alone. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rhumb.h"

static int failures;

static void check(int good, const char *what) {
  if (!good) {
    failures++;
    printf("FAILED: %s\n", what);
  }
}

/* Sizes on both sides of a warp, a block and a whole grid's stride. */
static void add_agrees(void) {
  static const int64_t counts[] = {0, 1, 2, 31, 32, 33, 255, 256, 257, 1009, 4096 * 256, 4096 * 256 + 1};
  for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
    const int64_t count = counts[c];
    /* Exactly as long as said, so that the sanitizer sees a step beyond. */
    float *a = malloc(count * sizeof *a);
    float *b = malloc(count * sizeof *b);
    float *y = malloc(count * sizeof *y);
    for (int64_t i = 0; i < count; i++) {
      a[i] = (float)(i % 97) - 48.5f;
      b[i] = (float)(i % 61) * 0.25f;
      y[i] = NAN;
    }
    check(rhumb_add(count, 2.0f, a, -0.5f, b, y, NULL) == RHUMB_OK, "rhumb_add");
    int same = 1;
    for (int64_t i = 0; i < count; i++) {
      same &= y[i] == 2.0f * a[i] - 0.5f * b[i];
    }
    check(same, "rhumb_add: y = 2 a - b / 2, exact in these values");
    check(rhumb_add(count, 2.0f, a, -0.5f, b, a, NULL) == RHUMB_OK, "rhumb_add in place");
    check(count == 0 || memcmp(a, y, count * sizeof *a) == 0, "rhumb_add in place gives the same");
    free(a);
    free(b);
    free(y);
  }
}

int main(void) {
  check(rhumb_version() == RHUMB_VERSION, "the version is the header's");
  check(strcmp(rhumb_last_error(), "") == 0, "no error before the first");
  for (int status = RHUMB_OK; status <= RHUMB_DEVICE_ERROR; status++) {
    check(strcmp(rhumb_status_text(status), "unknown status") != 0, "every status has a text");
  }
  check(strcmp(rhumb_status_text(-1), "unknown status") == 0, "an unknown status has one too");

  check(rhumb_device_count(NULL) == RHUMB_INVALID_ARGUMENT, "rhumb_device_count(NULL) is refused");
  check(strstr(rhumb_last_error(), "count is NULL") != NULL, "... in words");
  int count = -1;
  const int status = rhumb_device_count(&count);
  printf("build %s: %d device(s)%s%s\n", rhumb_build(), count, status == RHUMB_OK ? "" : ", ",
         status == RHUMB_OK ? "" : rhumb_last_error());
  if (status == RHUMB_OK) {
    check(count > 0, "devices are counted");
  } else {
    check(status == RHUMB_NO_DEVICE && count == 0, "no device: its status, and a count of 0");
    check(strstr(rhumb_last_error(), "cudaGetDeviceCount: status ") != NULL, "... with the runtime's own words");
  }

  float x[1] = {1.0f};
  check(rhumb_add(-1, 1.0f, x, 1.0f, x, x, NULL) == RHUMB_INVALID_ARGUMENT, "a negative count is refused");
  check(strstr(rhumb_last_error(), "count = -1 is negative") != NULL, "... in words");
  check(rhumb_add(1, 1.0f, NULL, 1.0f, x, x, NULL) == RHUMB_INVALID_ARGUMENT, "NULL is refused");
  check(strstr(rhumb_last_error(), "d_a is NULL") != NULL, "... by its name");
  check(x[0] == 1.0f, "a refused call writes nothing");
  if (strcmp(rhumb_build(), "host") == 0) {
    add_agrees();
  }
  return failures != 0;
}
