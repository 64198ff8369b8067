/* A client that carries out one command for each line of its input and answers with the status.
 *
 *   status_client CONFIG.toml [DESCRIPTORS]
 *
 *   enqueue USER NUMBER   enqueues one event
 *   fill USER             enqueues events of USER, numbered from 0 on, until an enqueue fails
 *   fill_large USER BYTES FROM   the same with numbers from FROM on that have so many digits, zeros in front
 *   flush MILLISECONDS
 *   close MILLISECONDS    closes the client; the count is how many events are pending
 *   limit_files BYTES     RLIMIT_FSIZE
 *   hold
 *   open_descriptors      opens descriptors until the limit, DESCRIPTORS, is reached
 *   close_descriptors     closes them again
 *   close_all             closes every descriptor from 3 on, as closefrom(3) does
 *   close_range           the same by close_range(2)
 *   closefrom             the same by closefrom(3)
 *   dup_over FILE         puts FILE in the place of every open descriptor from 3 on
 *   own DIRECTORY COUNT   opens COUNT files of its own, and writes a line to each
 *   check_own             checks that they are open, and hold that line and nothing else
 *   fork_close DIRECTORY USER NUMBER   forks a child that checks the same, closes all descriptors, opens files of its
 *                         own in DIRECTORY, enqueues one event, checks its files, and ends
 *   reopen SPOOL          puts a descriptor of its own in the place of each one of a file of SPOOL, of that same file
 *   check_reopened        counts which of these are open, and of that file
 *   fork_standard USER NUMBER   forks a child that closes all descriptors, also the standard streams, enqueues one
 *                         event, and checks that it still has no standard streams
 *   fork COUNT EVENTS     forks COUNT children, which enqueue EVENTS events each, of the users child-<n>, and
 *                         then wait until this process ends
 *
 * Each answer is a line of the status, a count, and the error's message. The count is how many events were
 * enqueued or delivered, how many descriptors were opened, or how many children were forked. */

#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "program.h"

enum { DESCRIPTORS_MAX = 4096, CHILDREN_MAX = 1000 };

static meditopia_client *client;
static int opened[DESCRIPTORS_MAX], opened_count;

static meditopia_status try_enqueue(const char *user, long number, meditopia_error *error) {
  char value[32];
  snprintf(value, sizeof value, "%ld", number);
  return meditopia_enqueue(client, "token", user, "video", value, "2024-08-06 15:04:05", error);
}

/* An event whose number has `bytes` digits. */
static meditopia_status try_enqueue_large(const char *user, long number, int bytes, meditopia_error *error) {
  char *value = malloc((size_t)bytes + 1);
  meditopia_status status;
  CHECK(value != NULL);
  snprintf(value, (size_t)bytes + 1, "%0*ld", bytes, number);
  status = meditopia_enqueue(client, "token", user, "video", value, "2024-08-06 15:04:05", error);
  free(value);
  return status;
}

static void answer(meditopia_status status, long count, const meditopia_error *error) {
  printf("%s %ld %s\n", meditopia_status_name(status), count, status < 0 ? error->message : "");
  fflush(stdout);
}

static void run_child(int index, long events, int ready) {
  char user[32];
  long number;
  CHECK(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0);
  snprintf(user, sizeof user, "child-%d", index);
  for (number = 0; number < events; number++) enqueue(client, user, number);
  CHECK(write(ready, "", 1) == 1);
  close(ready);
  for (;;) pause();
}

static void fork_children(long count, long events) {
  int pipe_ends[2], i;
  char byte;
  CHECK(count <= CHILDREN_MAX && pipe(pipe_ends) == 0);
  for (i = 0; i < count; i++) {
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) run_child(i, events, pipe_ends[1]);
  }
  close(pipe_ends[1]);
  for (i = 0; i < count; i++) CHECK(read(pipe_ends[0], &byte, 1) == 1);
  close(pipe_ends[0]);
}

/* Returns in how many places the file is. */
static long dup_over(const char *path) {
  int file = open(path, O_RDWR | O_CLOEXEC), number;
  struct stat about;
  long count = 0;
  CHECK(file >= 0);
  for (number = 3; number < DESCRIPTORS_MAX; number++)
    if (number != file && fstat(number, &about) == 0) count += dup2(file, number) == number;
  close(file);
  return count;
}

static void close_all(void) {
  int number;
  for (number = 3; number < DESCRIPTORS_MAX; number++) close(number);
}

static const char own_line[] = "of the application\n";
static int own_files[DESCRIPTORS_MAX], own_count;

static void open_own(const char *directory, int count) {
  char path[512];
  for (own_count = 0; own_count < count; own_count++) {
    snprintf(path, sizeof path, "%s/%d-%d", directory, (int)getpid(), own_count);
    own_files[own_count] = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    CHECK(own_files[own_count] >= 0);
    CHECK(write(own_files[own_count], own_line, sizeof own_line) == (ssize_t)sizeof own_line);
  }
}

/* Returns how many of the files are open and hold what was written to them. */
static long check_own(void) {
  char content[256];
  int i;
  long count = 0;
  for (i = 0; i < own_count; i++)
    count += pread(own_files[i], content, sizeof content, 0) == (ssize_t)sizeof own_line &&
             memcmp(content, own_line, sizeof own_line) == 0;
  return count;
}

/* Returns whether the child has found everything as it should be. */
static int fork_and_close(const char *directory, const char *user, long number) {
  int result, count = own_count;
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    meditopia_error error;
    CHECK(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0);
    CHECK(check_own() == count);
    close_all();
    open_own(directory, 16);
    succeed("enqueue in a child", try_enqueue(user, number, &error), &error);
    CHECK(check_own() == own_count);
    _exit(0);
  }
  CHECK(waitpid(child, &result, 0) == child);
  return WIFEXITED(result) && WEXITSTATUS(result) == 0;
}

static ino_t reopened[DESCRIPTORS_MAX];

static long reopen_files(const char *spool) {
  char link[64], path[512];
  struct stat about;
  long count = 0;
  int number;
  for (number = 3; number < DESCRIPTORS_MAX; number++) {
    ssize_t length;
    int file;
    snprintf(link, sizeof link, "/proc/self/fd/%d", number);
    length = readlink(link, path, sizeof path - 1);
    path[length < 0 ? 0 : length] = '\0';
    if (strncmp(path, spool, strlen(spool)) != 0 || stat(path, &about) != 0) continue;
    file = open(path, (S_ISDIR(about.st_mode) ? O_RDONLY : O_RDWR | O_APPEND) | O_CLOEXEC);
    CHECK(file >= 0 && dup2(file, number) == number && close(file) == 0);
    reopened[number] = about.st_ino;
    count++;
  }
  return count;
}

static long check_reopened(void) {
  struct stat about;
  long count = 0;
  int number;
  for (number = 3; number < DESCRIPTORS_MAX; number++)
    count += reopened[number] != 0 && fstat(number, &about) == 0 && about.st_ino == reopened[number];
  return count;
}

static int fork_standard(const char *user, long number) {
  int result;
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    meditopia_error error;
    struct stat about;
    int standard;
    for (standard = 0; standard < 3; standard++) close(standard);
    close_all();
    if (try_enqueue(user, number, &error) < 0) _exit(2);
    for (standard = 0; standard < 3; standard++)
      if (fstat(standard, &about) == 0) _exit(3);
    _exit(0);
  }
  CHECK(waitpid(child, &result, 0) == child);
  return WIFEXITED(result) ? WEXITSTATUS(result) : -1;
}

int main(int argc, char **argv) {
  meditopia_error error;
  meditopia_status status;
  char line[512], user[64], path[256];
  long number, count, first;

  CHECK(argc >= 2);
  client = open_client(argv[1]);
  if (argc == 3) {
    struct rlimit limit = {(rlim_t)atol(argv[2]), (rlim_t)atol(argv[2])};
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
  }
  while (fgets(line, sizeof line, stdin) != NULL) {
    if (sscanf(line, "enqueue %63s %ld", user, &number) == 2) {
      status = try_enqueue(user, number, &error);
      answer(status, 1, &error);
    } else if (sscanf(line, "fill_large %63s %ld %ld", user, &number, &first) == 3) {
      for (count = 0; (status = try_enqueue_large(user, first + count, (int)number, &error)) == MEDITOPIA_OK; count++)
        continue;
      answer(status, count, &error);
    } else if (sscanf(line, "fill %63s", user) == 1) {
      for (count = 0; (status = try_enqueue(user, count, &error)) == MEDITOPIA_OK; count++) continue;
      answer(status, count, &error);
    } else if (sscanf(line, "limit_files %ld", &number) == 1) {
      struct rlimit limit = {(rlim_t)number, RLIM_INFINITY};
      CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
      answer(MEDITOPIA_OK, 0, &error);
    } else if (strcmp(line, "hold\n") == 0) {
      status = meditopia_hold(client, &error);
      answer(status, 0, &error);
    } else if (sscanf(line, "close %ld", &number) == 1) {
      meditopia_report report = {.struct_size = sizeof report};
      status = meditopia_client_close(client, (uint32_t)number, &report, &error);
      answer(status, (long)report.pending, &error);
    } else if (sscanf(line, "flush %ld", &number) == 1) {
      meditopia_report report = {.struct_size = sizeof report};
      status = meditopia_flush(client, (uint32_t)number, &report, &error);
      answer(status, (long)report.delivered, &error);
    } else if (strcmp(line, "open_descriptors\n") == 0) {
      while (opened_count < DESCRIPTORS_MAX && (opened[opened_count] = open("/dev/null", O_RDONLY)) >= 0) opened_count++;
      answer(MEDITOPIA_OK, opened_count, &error);
    } else if (strcmp(line, "close_descriptors\n") == 0) {
      while (opened_count > 0) close(opened[--opened_count]);
      answer(MEDITOPIA_OK, 0, &error);
    } else if (strcmp(line, "close_all\n") == 0) {
      close_all();
      answer(MEDITOPIA_OK, 0, &error);
    } else if (strcmp(line, "close_range\n") == 0) {
      CHECK(syscall(SYS_close_range, 3, ~0U, 0) == 0);
      answer(MEDITOPIA_OK, 0, &error);
    } else if (strcmp(line, "closefrom\n") == 0) {
      closefrom(3);
      answer(MEDITOPIA_OK, 0, &error);
    } else if (sscanf(line, "own %255s %ld", path, &number) == 2) {
      open_own(path, (int)number);
      answer(MEDITOPIA_OK, own_count, &error);
    } else if (strcmp(line, "check_own\n") == 0) {
      answer(MEDITOPIA_OK, check_own(), &error);
    } else if (sscanf(line, "fork_close %255s %63s %ld", path, user, &number) == 3) {
      answer(fork_and_close(path, user, number) ? MEDITOPIA_OK : MEDITOPIA_ERROR_INTERNAL, 1, &error);
    } else if (sscanf(line, "reopen %255s", path) == 1) {
      answer(MEDITOPIA_OK, reopen_files(path), &error);
    } else if (strcmp(line, "check_reopened\n") == 0) {
      answer(MEDITOPIA_OK, check_reopened(), &error);
    } else if (sscanf(line, "fork_standard %63s %ld", user, &number) == 2) {
      answer(MEDITOPIA_OK, fork_standard(user, number), &error);
    } else if (sscanf(line, "dup_over %255s", path) == 1) {
      answer(MEDITOPIA_OK, dup_over(path), &error);
    } else if (sscanf(line, "fork %ld %ld", &count, &number) == 2) {
      fork_children(count, number);
      answer(MEDITOPIA_OK, count, &error);
    } else {
      CHECK(!"a known command");
    }
  }
  return 0;
}
