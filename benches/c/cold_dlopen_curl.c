/* A process that loads libcurl, as one that reports events by hand would, and calls nothing in it.
 * Symbols are bound lazily, which is the least that loading can cost. */

#include <dlfcn.h>
#include <stdio.h>

int main(void) {
  if (dlopen("libcurl.so.4", RTLD_LAZY) == NULL) {
    fprintf(stderr, "%s\n", dlerror());
    return 1;
  }
  return 0;
}
