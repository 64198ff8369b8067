/* Forks after the library was closed, and looks whether the child has let go of the sender's lock.
 *
 *   fork libmeditopia.so.0       configured by the environment
 *
 * The child closes the lock's descriptor in a handler of pthread_atfork. A library for an old glibc gets that
 * function from libpthread and not from the archive that newer compilers link. */
#include <dirent.h>
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "meditopia.h"

#define CALL(name) ((__typeof__(&name))dlsym(library, #name))

/* How many descriptors of this process are of the sender's lock. */
static int locks(void) {
  char path[300], target[4096];
  int found = 0;
  DIR *descriptors = opendir("/proc/self/fd");
  for (struct dirent *entry; descriptors && (entry = readdir(descriptors));) {
    snprintf(path, sizeof path, "/proc/self/fd/%s", entry->d_name);
    ssize_t length = readlink(path, target, sizeof target - 1);
    target[length > 0 ? length : 0] = 0;
    found += strstr(target, "/sender.lock") != NULL;
  }
  closedir(descriptors);
  return found;
}

int main(int count, char **arguments) {
  void *library = count == 2 ? dlopen(arguments[1], RTLD_NOW | RTLD_LOCAL) : NULL;
  if (!library) return fprintf(stderr, "%s\n", dlerror()), 2;
  meditopia_error error;
  meditopia_client *client = NULL;
  meditopia_config *config = CALL(meditopia_config_new)();
  if (CALL(meditopia_config_load_env)(config, &error) < 0 || CALL(meditopia_client_open)(config, &client, &error) < 0 ||
      CALL(meditopia_enqueue)(client, "token", "user", "signin", NULL, NULL, &error) < 0 ||
      CALL(meditopia_flush)(client, 20000, NULL, &error) < 0)
    return fprintf(stderr, "%s\n", error.message), 2;
  dlclose(library);

  int before = locks();
  pid_t child = fork();
  if (child == 0) _exit(locks());
  int status = 0;
  waitpid(child, &status, 0);
  printf("the sender has %d of its lock, a child %d\n", before, WEXITSTATUS(status));
  return before == 1 && WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : 1;
}
