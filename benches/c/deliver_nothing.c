/* A process without the library, to compare a footprint with: says "done" and waits for the end of its input. */

#include <stdio.h>

int main(void) {
  puts("done");
  fflush(stdout);
  while (getchar() != EOF) {
  }
  return 0;
}
