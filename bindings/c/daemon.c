/* A daemon that queues what it reads and stops cleanly:
 *
 *   daemon CONFIG.toml < events      a line an event: TOKEN <tab> USER <tab> EVENT [<tab> VALUE]
 *
 * One thread waits for input and signals at once. SIGTERM and SIGINT end it, as does the end of the
 * input: what was read is queued, and delivered if that takes no more than 10 seconds; the rest waits
 * in the spool for the next start. SIGHUP prints the statistics. Signals come through a descriptor,
 * since no function of the library may be called in a signal handler; the library's own threads block
 * them all.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <meditopia.h>

#define STOP_WITHIN_MS 10000

static meditopia_error error;

static int failed(const char *what) {
  fprintf(stderr, "%s: %s: %s\n", what, meditopia_status_name(error.status), error.message);
  return 1;
}

static void log_to_stderr(const meditopia_log_record *record, void *user_data) {
  (void)user_data;
  fprintf(stderr, "<%d> meditopia: %s\n", record->level <= MEDITOPIA_LOG_WARN ? 4 : 6, record->message); /* as journald reads it */
}

/* A bad line is told and left out; a full spool ends the daemon, so that nothing is dropped silently. */
static int queue_line(meditopia_client *client, char *line) {
  char *rest = line;
  char *token = strsep(&rest, "\t"), *user = strsep(&rest, "\t"), *event = strsep(&rest, "\t");

  if (event == NULL) {
    fprintf(stderr, "not an event: %s\n", line);
    return 0;
  }
  if (meditopia_enqueue(client, token, user, event, rest, NULL, &error) == MEDITOPIA_OK)
    return 0;
  failed(user);
  return error.status == MEDITOPIA_ERROR_INVALID_EVENT || error.status == MEDITOPIA_ERROR_INVALID_ARGUMENT ? 0 : 1;
}

/* Takes what can be read without waiting. 1: there may be more; 0: the end; -1: give up. */
static int queue_input(meditopia_client *client) {
  static char buffer[1 << 16];
  static size_t filled;
  ssize_t got = read(STDIN_FILENO, buffer + filled, sizeof buffer - filled);
  char *line = buffer, *end;

  if (got <= 0)
    return got < 0 && errno == EINTR ? 1 : (int)got;
  filled += (size_t)got;
  while ((end = memchr(line, '\n', filled - (size_t)(line - buffer))) != NULL) {
    *end = '\0';
    if (queue_line(client, line) != 0)
      return -1;
    line = end + 1;
  }
  filled -= (size_t)(line - buffer);
  memmove(buffer, line, filled);
  if (filled < sizeof buffer)
    return 1;
  fprintf(stderr, "a line is longer than %zu bytes\n", sizeof buffer);
  return -1;
}

static void print_stats(meditopia_client *client) {
  meditopia_text *text = NULL;
  if (meditopia_stats_text(client, MEDITOPIA_FORMAT_JSON, &text, &error) < 0)
    failed("stats");
  else
    printf("%s\n", meditopia_text_data(text));
  meditopia_text_free(text);
  fflush(stdout);
}

/* Until a signal or the end of the input says stop: 0, or 1 after an error. */
static int loop(meditopia_client *client, int signals) {
  struct pollfd waits[2] = {{.fd = signals, .events = POLLIN}, {.fd = STDIN_FILENO, .events = POLLIN}};

  for (;;) {
    if (poll(waits, 2, -1) < 0 && errno != EINTR)
      return perror("poll"), 1;
    if (waits[0].revents != 0) {
      struct signalfd_siginfo came;
      if (read(signals, &came, sizeof came) == sizeof came && came.ssi_signo == SIGHUP)
        print_stats(client);
      else
        return 0;
    }
    if (waits[1].revents != 0) {
      int more = queue_input(client);
      if (more <= 0)
        return -more;
    }
  }
}

static int stop(meditopia_client *client) {
  meditopia_report report = {.struct_size = sizeof report};
  meditopia_status status = meditopia_client_close(client, STOP_WITHIN_MS, &report, &error);

  printf("delivered %" PRIu64 ", rejected %" PRIu64 ", pending %" PRIu64 "\n", report.delivered, report.rejected,
         report.pending);
  /* What waits is safe, and the next start sends it: no failure of this daemon. */
  return status < 0 && error.retryable == 0 ? failed("close") : 0;
}

int main(int argc, char **argv) {
  meditopia_config *config = meditopia_config_new();
  meditopia_client *client = NULL;
  sigset_t wanted;
  int exit_code;

  /* Before any thread is there, so that none of them takes one. */
  sigemptyset(&wanted);
  sigaddset(&wanted, SIGTERM);
  sigaddset(&wanted, SIGINT);
  sigaddset(&wanted, SIGHUP);
  sigprocmask(SIG_BLOCK, &wanted, NULL);

  if (argc == 2 && meditopia_config_load_file(config, argv[1], &error) < 0) {
    exit_code = failed(argv[1]);
  } else if (meditopia_config_load_env(config, &error) < 0) {
    exit_code = failed("environment");
  } else if (meditopia_client_open(config, &client, &error) < 0 ||
             meditopia_set_log_callback(client, log_to_stderr, NULL, &error) < 0) {
    exit_code = failed("open");
  } else {
    exit_code = loop(client, signalfd(-1, &wanted, SFD_CLOEXEC));
    exit_code |= stop(client);
  }
  meditopia_client_free(client);
  meditopia_config_free(config);
  return exit_code;
}
