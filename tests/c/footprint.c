/* Checks what the library adds to a process: threads, signal handlers, descriptors and output.
 *
 *   footprint CONFIG.toml both|enqueue
 *
 * Prints nothing on success. */

#define _POSIX_C_SOURCE 200809L
#include <dirent.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "program.h"

/* SIGKILL and SIGSTOP cannot be blocked, and the C library keeps 32 and 33 for itself. */
static const uint64_t ALL_SIGNALS = ~(UINT64_C(1) << 8 | UINT64_C(1) << 18 | UINT64_C(3) << 31);

/* One of the signal sets of a thread; all signals if the thread has just ended. */
static uint64_t signals(const char *thread, const char *key) {
  char path[300], line[256];
  uint64_t set = ALL_SIGNALS;
  FILE *file;
  snprintf(path, sizeof path, "/proc/self/task/%s/status", thread);
  file = fopen(path, "r");
  if (file == NULL) return set;
  while (fgets(line, sizeof line, file) != NULL)
    if (strncmp(line, key, strlen(key)) == 0) set = strtoull(line + strlen(key), NULL, 16);
  fclose(file);
  return set;
}

static int entries(const char *path) {
  int count = 0;
  struct dirent *entry;
  DIR *directory = opendir(path);
  CHECK(directory != NULL);
  while ((entry = readdir(directory)) != NULL) count += entry->d_name[0] != '.';
  closedir(directory);
  return count;
}

static int threads(void) { return entries("/proc/self/task"); }

/* Every thread except the application's, the first one, must have every signal blocked. */
static void check_blocked(void) {
  char first[32];
  struct dirent *entry;
  DIR *directory = opendir("/proc/self/task");
  CHECK(directory != NULL);
  snprintf(first, sizeof first, "%ld", (long)getpid());
  while ((entry = readdir(directory)) != NULL) {
    if (entry->d_name[0] == '.' || strcmp(entry->d_name, first) == 0) continue;
    CHECK((signals(entry->d_name, "SigBlk:") & ALL_SIGNALS) == ALL_SIGNALS);
  }
  closedir(directory);
  CHECK(signals(first, "SigBlk:") == 0);
}

/* The kernel may list a thread for a while after the library has joined it. */
static void wait_for_one_thread(void) {
  const struct timespec nap = {0, 1000000};
  int naps;
  for (naps = 0; threads() > 1; naps++) {
    CHECK(naps < 20000);
    nanosleep(&nap, NULL);
  }
}

int main(int argc, char **argv) {
  meditopia_report report = {.struct_size = sizeof report};
  meditopia_client *client;
  meditopia_status status;
  char self[32];
  uint64_t caught, ignored;
  int descriptors, both;
  long number;

  CHECK(argc == 3);
  both = strcmp(argv[2], "both") == 0;
  snprintf(self, sizeof self, "%ld", (long)getpid());
  caught = signals(self, "SigCgt:") & ALL_SIGNALS;
  ignored = signals(self, "SigIgn:") & ALL_SIGNALS;
  descriptors = entries("/proc/self/fd");

  client = open_client(argv[1]);
  CHECK(threads() == 1);
  for (number = 0; number < 10; number++) enqueue(client, "u-1", number);
  if (both) {
    CHECK(threads() > 1);
    CHECK(flush(client, 30000).delivered <= 10);
    check_blocked();
  } else {
    CHECK(threads() == 1);
  }
  for (; number < 260; number++) enqueue(client, "u-1", number);
  if (!both) CHECK(threads() == 1);

  status = meditopia_client_close(client, 0, &report, NULL);
  CHECK(status == MEDITOPIA_OK || (both && status == MEDITOPIA_ERROR_TIMEOUT));
  CHECK(meditopia_enqueue(client, "token", "u-1", "video", NULL, NULL, NULL) == MEDITOPIA_ERROR_CLOSED);
  CHECK(meditopia_client_close(client, 0, NULL, NULL) == MEDITOPIA_OK);
  meditopia_client_free(client);
  wait_for_one_thread();

  CHECK((signals(self, "SigCgt:") & ALL_SIGNALS) == caught);
  CHECK((signals(self, "SigIgn:") & ALL_SIGNALS) == ignored);
  CHECK(signals(self, "SigBlk:") == 0);
  /* With role "enqueue" the spool's directory and one segment stay open for the next client, however many
   * clients follow. */
  if (!both) {
    close_client(open_client(argv[1]));
    descriptors += 2;
  }
  CHECK(entries("/proc/self/fd") == descriptors);
  return 0;
}
