/* A chain of processes, each a child of the last one, and each the sender: a process enqueues in two
 * threads and sends, forks at any moment, and ends at once. Its child sends what is left.
 *
 *   fork_chain CONFIG.toml LINKS ACKNOWLEDGED
 *
 * Users: link-0 ..., with an event before the flush of its process and one behind it; and for each link
 * busy-N-0 and busy-N-1, with as many events as there was time for. How many of these were acknowledged is
 * in the file: two numbers of 8 bytes for each link. The last process prints how many descriptors it has
 * open. A process that fails says why, and ends the chain. */

#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include "program.h"

enum { THREADS = 2, TIME_LIMIT_S = 60, LONGEST_US = 40000 };

static meditopia_client *client;
static long link_number;
static volatile int64_t *acknowledged;

static void *enqueue_busily(void *argument) {
  const int index = *(int *)argument;
  const long link = link_number;
  char user[48];
  long number;
  snprintf(user, sizeof user, "busy-%ld-%d", link, index);
  for (number = 0;; number++) {
    enqueue(client, user, number);
    acknowledged[THREADS * link + index] = number + 1;
    usleep(200);
  }
  return NULL;
}

static void map_acknowledged(const char *path, size_t bytes) {
  const int file = open(path, O_RDWR | O_CREAT, 0600);
  CHECK(file >= 0 && ftruncate(file, (off_t)bytes) == 0);
  acknowledged = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  CHECK(acknowledged != MAP_FAILED);
  close(file);
}

static int open_descriptors(void) {
  DIR *list = opendir("/proc/self/fd");
  int count = 0;
  CHECK(list != NULL);
  while (readdir(list) != NULL) count++;
  closedir(list);
  return count;
}

int main(int argc, char **argv) {
  static int index[THREADS] = {0, 1};
  pthread_t thread;
  char user[32];
  long links;
  pid_t child;
  int i;

  CHECK(argc == 4);
  links = atol(argv[2]);
  map_acknowledged(argv[3], (size_t)links * THREADS * sizeof *acknowledged);
  client = open_client(argv[1]);
  for (link_number = 0; link_number < links; link_number++) {
    alarm(TIME_LIMIT_S);
    snprintf(user, sizeof user, "link-%ld", link_number);
    enqueue(client, user, 0);
    flush(client, 30000);
    enqueue(client, user, 1);
    for (i = 0; i < THREADS; i++) CHECK(pthread_create(&thread, NULL, enqueue_busily, &index[i]) == 0);
    /* Any step of the sender may be under way then. */
    usleep((link_number * 7919) % LONGEST_US);
    child = fork();
    CHECK(child >= 0);
    if (child > 0) _exit(0);
  }
  alarm(TIME_LIMIT_S);
  flush(client, 30000);
  printf("%d\n", open_descriptors());
  close_client(client);
  return 0;
}
