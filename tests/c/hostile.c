/* An application that does all at once what a library must survive: while it enqueues, sends and lists, it
 * copies its own spool by open, read and close of every file, loads a second copy of the library, and forks
 * children that enqueue and flush, some of which outlive it.
 *
 *   hostile CONFIG.toml SPOOL SECOND_LIBRARY SECONDS ACKNOWLEDGED COPY
 *
 * SECOND_LIBRARY is a copy of the library's file, COPY a directory for copies of the spool. ACKNOWLEDGED is
 * a file of numbers of 8 bytes, in the order of struct acknowledged: how many events of each user are
 * acknowledged. Users: app-0, app-1, second, and child-0 ... Prints nothing. */

#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "program.h"

enum { THREADS = 2, CHILDREN_MAX = 200000, EVENTS_PER_CHILD = 3, LAST_ORPHANS = 5, TIME_LIMIT_S = 120, FLUSH_MS = 60000 };

struct acknowledged {
  int64_t app[THREADS], second, children, child[CHILDREN_MAX];
};

static meditopia_client *client;
static volatile struct acknowledged *acknowledged;
static const char *config_file, *spool, *second_library, *copy;
static volatile int ended;

static void *enqueue_busily(void *argument) {
  const int index = *(int *)argument;
  char user[16];
  snprintf(user, sizeof user, "app-%d", index);
  while (!ended) {
    enqueue(client, user, acknowledged->app[index]);
    acknowledged->app[index]++;
    usleep(500);
  }
  return NULL;
}

/* Copies one file, if it is one and still there. */
static void copy_file(const char *from, const char *to) {
  char bytes[65536];
  ssize_t length;
  struct stat about;
  const int in = open(from, O_RDONLY | O_NONBLOCK);
  int out;
  if (in < 0) return;
  if (fstat(in, &about) == 0 && S_ISREG(about.st_mode)) {
    out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    CHECK(out >= 0);
    while ((length = read(in, bytes, sizeof bytes)) > 0) CHECK(write(out, bytes, (size_t)length) == length);
    close(out);
  }
  close(in);
}

static void copy_tree(const char *from, const char *to) {
  char old[PATH_MAX], new[PATH_MAX];
  struct dirent *entry;
  DIR *list = opendir(from);
  if (list == NULL) return;
  CHECK(mkdir(to, 0700) == 0 || access(to, W_OK) == 0);
  while ((entry = readdir(list)) != NULL) {
    if (entry->d_name[0] == '.') continue;
    CHECK(snprintf(old, sizeof old, "%s/%s", from, entry->d_name) < (int)sizeof old);
    CHECK(snprintf(new, sizeof new, "%s/%s", to, entry->d_name) < (int)sizeof new);
    if (entry->d_type == DT_DIR)
      copy_tree(old, new);
    else
      copy_file(old, new);
  }
  closedir(list);
}

static void *copy_spool(void *unused) {
  char path[PATH_MAX];
  long number;
  /* A few names in turn, so that the copies take no more and more room. */
  for (number = 0; !ended; number++) {
    CHECK(snprintf(path, sizeof path, "%s/%ld", copy, number % 3) < (int)sizeof path);
    copy_tree(spool, path);
    usleep(2000);
  }
  return unused;
}

static void *list(void *unused) {
  meditopia_error error;
  meditopia_cursor *cursor = NULL;
  meditopia_receipts *receipts = NULL;
  meditopia_row row = {.struct_size = sizeof row};
  meditopia_receipt receipt = {.struct_size = sizeof receipt};
  meditopia_stats stats = {.struct_size = sizeof stats};
  meditopia_status status;
  while (!ended) {
    succeed("stats", meditopia_get_stats(client, &stats, &error), &error);
    succeed("rejected", meditopia_rejected_open(client, NULL, NULL, 0, &cursor, &error), &error);
    succeed("next", meditopia_cursor_next(cursor, &row, &error), &error);
    meditopia_cursor_free(cursor);
    succeed("in doubt", meditopia_in_doubt_open(client, 0, &cursor, &error), &error);
    while ((status = meditopia_cursor_next(cursor, &row, &error)) == MEDITOPIA_OK) continue;
    succeed("next", status, &error);
    meditopia_cursor_free(cursor);
    succeed("receipts", meditopia_receipts_open(client, "second", 0, 0, 0, &receipts, &error), &error);
    succeed("next", meditopia_receipts_next(receipts, &receipt, &error), &error);
    meditopia_receipts_free(receipts);
    usleep(5000);
  }
  return unused;
}

static void *symbol(void *library, const char *name) {
  void *address = dlsym(library, name);
  if (address == NULL) fprintf(stderr, "%s\n", dlerror());
  CHECK(address != NULL);
  return address;
}

/* Opens, uses and frees clients of the second copy. */
static void *use_second_library(void *unused) {
  meditopia_config *(*config_new)(void);
  meditopia_status (*load_file)(meditopia_config *, const char *, meditopia_error *);
  void (*config_free)(meditopia_config *);
  meditopia_status (*client_open)(const meditopia_config *, meditopia_client **, meditopia_error *);
  void (*client_free)(meditopia_client *);
  meditopia_status (*enqueue_event)(meditopia_client *, const char *, const char *, const char *, const char *,
                                    const char *, meditopia_error *);
  meditopia_status (*flush_all)(meditopia_client *, uint32_t, meditopia_report *, meditopia_error *);
  char value[32];
  meditopia_error error;
  meditopia_client *own;
  meditopia_config *config;
  int events;
  void *library = dlopen(second_library, RTLD_NOW | RTLD_LOCAL);
  if (library == NULL) fprintf(stderr, "%s\n", dlerror());
  CHECK(library != NULL);
  *(void **)&config_new = symbol(library, "meditopia_config_new");
  *(void **)&load_file = symbol(library, "meditopia_config_load_file");
  *(void **)&config_free = symbol(library, "meditopia_config_free");
  *(void **)&client_open = symbol(library, "meditopia_client_open");
  *(void **)&client_free = symbol(library, "meditopia_client_free");
  *(void **)&enqueue_event = symbol(library, "meditopia_enqueue");
  *(void **)&flush_all = symbol(library, "meditopia_flush");
  CHECK(enqueue_event != meditopia_enqueue);

  while (!ended) {
    config = config_new();
    succeed("load", load_file(config, config_file, &error), &error);
    succeed("open", client_open(config, &own, &error), &error);
    config_free(config);
    for (events = 0; events < 20; events++) {
      snprintf(value, sizeof value, "%ld", (long)acknowledged->second);
      succeed("enqueue", enqueue_event(own, "token", "second", "video", value, "2024-08-06 15:04:05", &error), &error);
      acknowledged->second++;
    }
    succeed("flush of the second copy", flush_all(own, FLUSH_MS, NULL, &error), &error);
    client_free(own);
    usleep(5000);
  }
  return unused;
}

static void enqueue_and_flush(long child) {
  char user[32];
  long number;
  snprintf(user, sizeof user, "child-%ld", child);
  for (number = 0; number < EVENTS_PER_CHILD; number++) {
    enqueue(client, user, number);
    acknowledged->child[child]++;
  }
  flush(client, FLUSH_MS);
}

static pid_t fork_child(void) {
  const pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) alarm(TIME_LIMIT_S);
  return child;
}

static void wait_for_success(pid_t child) {
  int status;
  CHECK(waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* Forks child `number` and waits for it, or for the process that leaves an orphan behind. */
static void run_child(long number) {
  pid_t child = fork_child();
  if (child > 0) {
    wait_for_success(child);
    return;
  }
  switch (number % 4) {
    case 0:
      enqueue_and_flush(number);
      _exit(0);
    case 1: /* an orphan that flushes */
      if (fork_child() == 0) enqueue_and_flush(number);
      _exit(0);
    case 2: /* exit handlers and destructors */
      enqueue_and_flush(number);
      meditopia_client_free(client);
      exit(0);
    default: /* an orphan that never calls the library */
      if (fork_child() == 0) usleep(300000);
      _exit(0);
  }
}

/* Flushes once the application has ended. */
static void leave_orphan(long number, pid_t application) {
  if (fork_child() > 0) return;
  while (getppid() == application) usleep(1000);
  enqueue_and_flush(number);
  _exit(0);
}

int main(int argc, char **argv) {
  static int index[THREADS] = {0, 1};
  pthread_t thread[THREADS + 3];
  const pid_t application = getpid();
  meditopia_error error;
  meditopia_status status;
  time_t end;
  long number;
  int i, file;

  CHECK(argc == 7);
  config_file = argv[1];
  spool = argv[2];
  second_library = argv[3];
  copy = argv[6];
  file = open(argv[5], O_RDWR | O_CREAT, 0600);
  CHECK(file >= 0 && ftruncate(file, sizeof *acknowledged) == 0);
  acknowledged = mmap(NULL, sizeof *acknowledged, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  CHECK(acknowledged != MAP_FAILED);
  close(file);

  client = open_client(config_file);
  for (i = 0; i < THREADS; i++) CHECK(pthread_create(&thread[i], NULL, enqueue_busily, &index[i]) == 0);
  CHECK(pthread_create(&thread[i++], NULL, copy_spool, NULL) == 0);
  CHECK(pthread_create(&thread[i++], NULL, list, NULL) == 0);
  CHECK(pthread_create(&thread[i++], NULL, use_second_library, NULL) == 0);

  end = time(NULL) + atol(argv[4]);
  for (number = 0; time(NULL) < end && number < CHILDREN_MAX - LAST_ORPHANS; number++) run_child(number);
  for (i = 0; i < LAST_ORPHANS; i++) leave_orphan(number++, application);
  acknowledged->children = number;
  ended = 1;
  for (i = 0; i < THREADS + 3; i++) CHECK(pthread_join(thread[i], NULL) == 0);
  /* What it leaves, its orphans deliver. */
  status = meditopia_client_close(client, 0, NULL, &error);
  if (status != MEDITOPIA_ERROR_TIMEOUT) succeed("close", status, &error);
  return 0;
}
