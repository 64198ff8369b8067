/* Loads the library as a program with plugins does: dlopen, use, dlclose. It then still uses a function
 * and a constant of the library, because the library stays mapped. Prints nothing if all is well. */

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include <meditopia.h>

static int failed(const char *what) {
  fprintf(stderr, "dlclose.c: %s\n", what);
  return 1;
}

int main(int argc, char **argv) {
  void *library = argc == 2 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
  uint32_t (*abi_version)(void);
  const char *(*status_name)(meditopia_status);
  const char *name;

  if (library == NULL) return failed("cannot load the library");
  *(void **)&abi_version = dlsym(library, "meditopia_abi_version");
  *(void **)&status_name = dlsym(library, "meditopia_status_name");
  if (abi_version == NULL || status_name == NULL) return failed("a function is missing");
  if (abi_version() >> 16 != MEDITOPIA_ABI_MAJOR) return failed("another major version");
  if ((abi_version() & 0xffff) < MEDITOPIA_ABI_MINOR) return failed("an older library");

  name = status_name(MEDITOPIA_ERROR_PAUSED);
  dlclose(library);
  if (strcmp(name, "MEDITOPIA_ERROR_PAUSED") != 0) return failed("another name");
  if (status_name(MEDITOPIA_OK) == NULL) return failed("unmapped");
  return 0;
}
